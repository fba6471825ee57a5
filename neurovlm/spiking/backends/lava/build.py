"""A Network as Lava processes; imported in the child only, after ``shim.import_lava``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurovlm.spiking.backends.lava.job import (
    BOUNDS_FILE,
    NEURON_FILE,
    PROBE_FILE,
    SPIKE_FILE,
    VALUE_FILE,
    Job,
)
from neurovlm.spiking.backends.lava.layer import senders
from neurovlm.spiking.backends.lava.processes.models import PyLayerFixed, PyLayerFloat
from neurovlm.spiking.backends.lava.processes.process import (
    EventSource,
    GradedSource,
    Layer,
    ProbeSink,
    SpikeSink,
    gather,
)
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.network import Population


def build(job: Job, folder: Path) -> tuple[EventSource, dict[Layer, type[Any]]]:
    """Connect everything; running the returned source runs it all.

    Returns
    -------
    The source, and the models of the layers that do not run on Lava's own processes.
    """
    network = job.network
    source = _source(job, folder)
    layers = {p.name: _layer(job, p) for p in network.populations}
    out = {network.input_name: source.s_out} | {n: layer.s_out for n, layer in layers.items()}
    sink = SpikeSink(
        size=sum(p.size for p in network.populations),
        n_ticks=job.n_ticks,
        file=str(folder / SPIKE_FILE),
    )
    gather([layer.s_out for layer in layers.values()], sink.s_in)
    for layer in layers.values():
        gather([out[name] for name in senders(layer.proc_params["connections"])], layer.s_in)
    _probe(job, [layers[p.name] for p in network.populations if job.streamed(p.name)], folder)
    fixed = network.dynamics.precision is Precision.LOIHI
    own = PyLayerFixed if fixed else PyLayerFloat
    return source, {layer: own for name, layer in layers.items() if name in job.own}


def _source(job: Job, folder: Path) -> EventSource:
    size, neuron_file = job.network.n_inputs, str(folder / NEURON_FILE)
    bounds_file = str(folder / BOUNDS_FILE)
    if not job.network.input_bits:
        return EventSource(size=size, neuron_file=neuron_file, bounds_file=bounds_file)
    return GradedSource(
        size=size,
        neuron_file=neuron_file,
        bounds_file=bounds_file,
        value_file=str(folder / VALUE_FILE),
    )


def _layer(job: Job, p: Population) -> Layer:
    return Layer(
        population=p,
        connections=[c for c in job.network.connections if c.target == p.name and c.synapses],
        precision=job.network.dynamics.precision,
        cells=job.cells[p.name],
        probed=job.streamed(p.name),
    )


def _probe(job: Job, layers: list[Layer], folder: Path) -> None:
    if not layers:
        return
    sink = ProbeSink(
        size=sum(layer.probe_out.shape[0] for layer in layers),
        n_ticks=job.n_ticks,
        file=str(folder / PROBE_FILE),
    )
    gather([layer.probe_out for layer in layers], sink.s_in)
