"""Run a stored graph on Lava 0.10.0's own source, ``Sparse``, ``LIF`` and sink.

``python tests/golden/run_lava.py < graph.json`` prints the neurons that fired in each tick, per
population. Nothing of neurovlm takes part. Lava wants a process of its own: it sets the start
method of multiprocessing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys

import numpy as np
import scipy.sparse


def import_lava():
    """Lava's ``var_model`` has dataclass defaults that Python 3.11 refuses unless hashable."""
    original = dataclasses.dataclass
    dataclasses.dataclass = functools.partial(original, unsafe_hash=True)
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


def run(graph):
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.process import Sparse

    n_ticks = graph["n_ticks"]
    fed = np.zeros((graph["n_inputs"], n_ticks), dtype=np.int32)
    for tick, active in enumerate(graph["input"]):
        fed[active, tick] = 1
    source = Source(data=fed)
    cells = {
        name: LIF(shape=(cell["n"],), du=cell["du"], dv=cell["dv"], vth=cell["vth"])
        for name, cell in graph["cells"].items()
    }
    for link in graph["links"]:
        weights = scipy.sparse.csr_matrix(np.array(link["weights"], dtype=np.int32))
        synapses = Sparse(
            weights=weights, num_weight_bits=link["bits"], weight_exp=link["exponent"]
        )
        sender = source if link["source"] == "input" else cells[link["source"]]
        sender.s_out.connect(synapses.s_in)
        synapses.a_out.connect(cells[link["target"]].a_in)
    sinks = {name: Sink(shape=lif.s_out.shape, buffer=n_ticks) for name, lif in cells.items()}
    for name, sink in sinks.items():
        cells[name].s_out.connect(sink.a_in)
    source.run(condition=RunSteps(n_ticks), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    rasters = {name: sink.data.get() for name, sink in sinks.items()}
    source.stop()
    return {
        name: [np.flatnonzero(column).tolist() for column in raster.T]
        for name, raster in rasters.items()
    }


if __name__ == "__main__":
    import_lava()
    sys.stdout.write(json.dumps(run(json.load(sys.stdin))) + "\n")
