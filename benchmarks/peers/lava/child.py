"""The process in which Lava runs: ``python -m benchmarks.peers.lava.child FOLDER``."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from neurovlm.spiking.backends.lava.shim import import_lava


def main(folder: Path) -> None:
    """Run the job that ``run.py`` wrote into ``folder``."""
    import_lava()
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    configs = importlib.import_module("lava.magma.core.run_configs")
    job = json.loads((folder / "job.json").read_text())
    source = network(job, folder)
    try:
        source.run(
            conditions.RunSteps(job["n_ticks"]),
            run_cfg=configs.Loihi2SimCfg(select_tag="fixed_pt"),
            compile_config={"pypy_channel_size": 8},  # the default can fill a small /dev/shm
        )
    finally:
        source.stop()


def network(job: dict[str, Any], folder: Path) -> Any:
    """Source, connection, neurons and sink; running the source runs them all."""
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.process import Sparse

    from benchmarks.peers.lava.processes.process import ClockedSink, CountSource

    weights = scipy.sparse.load_npz(folder / "weights.npz").astype(np.int32)
    n, size = weights.shape
    bits = {"num_message_bits": job["message_bits"]}
    connection = Sparse(weights=weights.tocsr(), **bits)
    if job["connection"] == "Dense":
        connection = Dense(weights=weights.toarray(), **bits)
    source = CountSource(size=size, folder=str(folder))
    neurons = LIF(shape=(n,), du=job["du"], dv=job["dv"], vth=job["vth"])
    sink = ClockedSink(size=n, folder=str(folder), first=job["first"], n_ticks=job["n_ticks"])
    source.s_out.connect(connection.s_in)
    connection.a_out.connect(neurons.a_in)
    neurons.s_out.connect(sink.s_in)
    return source


if __name__ == "__main__":
    main(Path(sys.argv[1]))
