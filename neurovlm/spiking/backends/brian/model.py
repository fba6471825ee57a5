"""One run as Brian2 objects, the same ones in both modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.backends.base import variable_dtype
from neurovlm.spiking.backends.brian.equations import Neurons, neurons
from neurovlm.spiking.linear import Matrix
from neurovlm.spiking.network import Connection, Network, Population
from neurovlm.spiking.trace import SPIKES, NetworkState, Probe
from neurovlm.spiking.train import Fired, SpikeTrain

_PREFERENCES = {
    "codegen.target": "numpy",
    "codegen.loop_invariant_optimisations": False,  # they reorder float operations
    "core.default_float_dtype": np.float64,
}


@dataclass(frozen=True, eq=False)
class Job:
    """What to run."""

    network: Network
    spikes: SpikeTrain
    start: NetworkState
    probes: tuple[Probe, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out, by population, in the dtypes Brian2 used.

    Attributes
    ----------
    fired
        Ticks, neurons and payloads (1 for binary spikes); empty where nothing can fire.
    cells
        Everything the neurons store, after the last tick.
    probed
        Per variable ``(n_ticks, n)``; without ``s``, which follows from ``fired``.
    """

    fired: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
    cells: Mapping[str, Mapping[str, NDArray[Any]]]
    probed: Mapping[str, Mapping[str, NDArray[Any]]]


@contextmanager
def preferences(b2: Any, wanted: Mapping[str, Any]) -> Iterator[None]:
    """Set some of Brian2's preferences, which are global, for a while."""
    before = {name: b2.prefs[name] for name in wanted}
    try:
        for name, value in wanted.items():
            b2.prefs[name] = value
        yield
    finally:
        for name, value in before.items():
            b2.prefs[name] = value


def simulate(b2: Any, job: Job) -> Outcome:
    """Build the objects on Brian2's present device, run them and read them."""
    with preferences(b2, _PREFERENCES):
        clock = b2.Clock(dt=job.spikes.dt_s * b2.second)
        source, channels = _source(b2, clock, job)
        built = {p.name: _group(b2, clock, job, p) for p in job.network.populations}
        groups = {name: group for name, (group, _) in built.items()}
        made = (
            _synapses(b2, clock, job.network, index, groups, source, channels)
            for index in range(len(job.network.connections))
        )
        synapses = [found for found in made if found is not None]
        spikes = {
            name: b2.SpikeMonitor(group, ["s"] if "s" in equations.variables else [])
            for name, (group, equations) in built.items()
            if equations.threshold is not None
        }
        states = {
            request.population: b2.StateMonitor(
                groups[request.population], names, record=True, clock=clock, when="end"
            )
            for request in job.probes
            if (names := [name for name in request.variables if name != SPIKES])
        }
        everything = [source, *groups.values(), *synapses, *spikes.values(), *states.values()]
        b2.Network(everything).run(job.spikes.n_ticks * clock.dt, namespace={})
        return Outcome(
            {name: _fired(monitor, job.spikes.dt_s) for name, monitor in spikes.items()},
            {
                name: {v: np.array(group.variables[v].get_value()) for v in equations.variables}
                for name, (group, equations) in built.items()
            },
            {
                name: {v: np.array(getattr(monitor, v)).T for v in monitor.record_variables}
                for name, monitor in states.items()
            },
        )


def _source(b2: Any, clock: Any, job: Job) -> tuple[Any, Fired]:
    """Input spikes, and channel and payload of each generator, one for each pair that occurs."""
    spikes = job.spikes
    value = np.ones(len(spikes), np.int32) if spikes.value is None else spikes.value
    pairs, generator = np.unique(
        np.stack([spikes.neuron, value], axis=1), axis=0, return_inverse=True
    )
    generators = b2.SpikeGeneratorGroup(
        max(len(pairs), 1), generator.ravel(), spikes.tick * clock.dt, clock=clock, sorted=True
    )
    return generators, Fired(pairs[:, 0], pairs[:, 1])


def _group(b2: Any, clock: Any, job: Job, p: Population) -> tuple[Any, Neurons]:
    network, precision = job.network, job.network.dynamics.precision
    incoming = {f"x{index}": c for index, c in enumerate(network.connections) if c.target == p.name}
    late = {name: _late(c, job.start.recent[c.source]) for name, c in incoming.items()}
    late = {name: rows for name, rows in late.items() if rows.any()}
    history = network.reach(p.name) if p.graded else 0
    equations = neurons(p, precision, list(incoming), list(late), history)
    stored = variable_dtype(p, p.variables[0], precision)
    dtype = stored if stored.kind == "f" else np.dtype(np.float64)
    group = b2.NeuronGroup(
        p.size,
        "\n".join(f"{name} : 1" for name in equations.variables),
        threshold=equations.threshold,
        reset=equations.reset,
        dtype=dict.fromkeys(equations.variables, dtype),
        clock=clock,
        namespace={f"late_{x}": b2.TimedArray(rows, dt=clock.dt) for x, rows in late.items()},
    )
    group.run_regularly(equations.update, when="groups", clock=clock)
    for name, values in {**equations.constants, **job.start.cells[p.name]}.items():
        setattr(group, name, np.broadcast_to(values, (p.size,)).astype(dtype))
    return group, equations


def _late(c: Connection, recent: tuple[Fired, ...]) -> NDArray[np.float64]:
    """What spikes sent before the run deliver in its first ticks, ``(ticks, targets)``.

    The last row is 0: it holds for all later ticks.
    """
    rows = np.zeros((len(recent) + 1, c.matrix.shape[0]))
    for age, sent in enumerate(recent):
        for tick in range(len(recent) - age):
            due = c.delay[sent.neuron] == tick + age
            payload = np.zeros(c.matrix.shape[1])
            payload[sent.neuron[due]] = 1 if sent.value is None else sent.value[due]
            rows[tick] += c.matrix @ payload
    return rows


def _synapses(
    b2: Any,
    clock: Any,
    network: Network,
    index: int,
    groups: Mapping[str, Any],
    source: Any,
    channels: Fired,
) -> Any:
    """Connection number ``index``, which adds to the input ``x<index>`` of its target.

    None if it has no synapses or no input spike reaches one.
    A graded spike finds its payload in the ``s<age>`` of its neuron when it arrives.
    """
    c = network.connections[index]
    matrix: Matrix = c.matrix
    delay, payload = c.delay, ""
    if c.source == network.input_name:
        matrix = c.matrix[:, channels.neuron] * channels.value
        delay = c.delay[channels.neuron]
    elif network.is_graded(c.source):
        ages = np.unique(delay).tolist()
        payload = " * (" + " + ".join(f"s{age or ''}_pre * int(age == {age})" for age in ages) + ")"
    entries = matrix.tocoo()
    if not entries.nnz:
        return None
    sender, target = groups.get(c.source, source), groups[c.target]
    synapses = b2.Synapses(
        sender,
        target,
        "weight : 1\nage : integer" if payload else "weight : 1",
        on_pre=f"x{index}_post += weight{payload}",
        dtype={"weight": target.variables[f"x{index}"].dtype},
        clock=clock,
    )
    synapses.connect(i=entries.col, j=entries.row)
    synapses.weight = entries.data
    if payload:
        synapses.age = delay[entries.col]
    if delay.any():
        synapses.pre.delay = delay[entries.col] * clock.dt
    return synapses


def _fired(monitor: Any, dt_s: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    tick = np.rint(np.array(monitor.t_) / dt_s).astype(np.int32)
    neuron = np.array(monitor.i)
    payload = np.array(monitor.s) if "s" in monitor.record_variables else np.ones(len(neuron))
    return tick, neuron, payload
