r"""A NIR graph with the rates or spikes of its nodes, as a workload: NIR to energy.

What a spiking network does follows from its structure and from who fires how often::

    spikes = sum over neurons of rate * time        synops = sum over neurons of spikes * fan-out
    neuron updates = neurons * ticks

Fan-outs are exact: a neuron at the border of a convolution reaches fewer targets, a zero weight
is no synapse. Neuron parameters play no part, so any neuron node of NIR is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import TypeAlias

import nir
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_models import LayerOps, OpKind, Ops, Workload
from neurovlm.core.errors import UsageError
from neurovlm.counting.spiking_ops import signal_order
from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Connection, Kind, Network
from neurovlm.spiking.neurons import NEURON_NODES, SILENT_NODES
from neurovlm.spiking.nir_bridge.shapes import bypass, flatten, settle
from neurovlm.spiking.trace import Trace, delivered
from neurovlm.spiking.train import SpikeTrain

Graph: TypeAlias = SpikingGraph | nir.NIRGraph | str | Path
Rates: TypeAlias = float | Mapping[str, ArrayLike]
Spikes: TypeAlias = Trace | Mapping[str, SpikeTrain]

_INFERENCES = 10**6  # of given rates: so many that rounding to whole spikes is below 1e-6 each
_LOCAL = (nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)  # share their weights between places
_NEUTRAL = (nir.Flatten, nir.Delay)


def count_nir(
    graph: Graph,
    rates_hz: Rates | None = None,
    *,
    spikes: Spikes | None = None,
    dt_s: float | None = None,
    window_ms: float | None = None,
    name: str | None = None,
) -> Workload:
    """Count a spiking network from its NIR graph and its activity.

    >>> from hw_models import estimate
    >>> estimate(count_nir("net.nir", rates_hz=20.0), "loihi2")  # doctest: +SKIP

    Parameters
    ----------
    graph
        A NIR file, a `nir.NIRGraph` (nested ones are flattened: ``outer.inner``) or a graph of
        ours, with one input and one output.
    rates_hz
        Mean rate of every neuron: one number for all, the input included, or by node a number or
        one per neuron. Nodes that never fire need none.
    spikes
        Instead of rates: spikes of every node and of the input as trains of one length, or a
        trace. A spike of the last tick is delivered in a tick that was not run: it is no synop.
    dt_s
        Seconds per tick; by default that of the trains, of a graph of ours, or 1 ms.
    window_ms
        Length of one inference, whole ticks; by default 1000 ms of rates, and all of the spikes.
    name
        Name of the workload; by default that of the file or graph.

    Raises
    ------
    UsageError
        A node without a rate or train, a rate that is negative, not finite or above one spike per
        tick, a name that is no node, trains that do not fit, a window of no whole ticks.
    GraphError, InputFileError
        The graph cannot be read or resolved; names the node.
    """
    if (rates_hz is None) == (spikes is None):
        raise UsageError("count_nir: give either rates_hz or spikes")
    plain, written_s, title = _opened(graph)
    trains = _trains(spikes)
    measured_s = next(iter(trains.values())).dt_s if trains else written_s
    tick_s = measured_s if dt_s is None else dt_s
    network, shared = _structure(plain, tick_s, keep_delays=spikes is not None)
    if spikes is None:
        assert rates_hz is not None
        window_ticks = _whole_ticks(1000.0 if window_ms is None else window_ms, tick_s)
        inferences, n_ticks = _INFERENCES, window_ticks * _INFERENCES
        activity = _from_rates(network, rates_hz, n_ticks)
    else:
        activity, n_ticks = _from_spikes(network, spikes, trains, tick_s)
        window_ticks = n_ticks if window_ms is None else _whole_ticks(window_ms, tick_s)
        inferences, rest = divmod(n_ticks, window_ticks)
        if rest:
            raise UsageError(
                f"count_nir: {n_ticks} ticks are no whole number of windows of {window_ticks}; "
                "choose another window_ms"
            )
    return Workload(
        name or title,
        inferences=inferences,
        window_ms=window_ticks * tick_s * 1e3,
        layers=_layers(network, shared, activity, n_ticks),
        ticks=n_ticks,
        notes=(f"spikes of a NIR graph in ticks of {tick_s:g} s",),
    )


@dataclass(frozen=True)
class _Activity:
    """Spikes by node, and synops by connection, in the ticks counted."""

    spikes: Mapping[str, float]
    synops: Mapping[str, float]


def _opened(graph: Graph) -> tuple[nir.NIRGraph, float, str]:
    """Return the NIR graph, its seconds per tick and its name."""
    if isinstance(graph, SpikingGraph):
        return graph.nir, graph.dynamics.dt_s, graph.name
    if isinstance(graph, nir.NIRGraph):
        return graph, Dynamics().dt_s, "NIR graph"
    return nir_io.read(graph), nir_io.dynamics_of(graph).dt_s, Path(graph).stem


def _structure(
    graph: nir.NIRGraph, dt_s: float, *, keep_delays: bool
) -> tuple[Network, dict[str, int]]:
    """Populations and connections, and by connection its distinct weights where it shares them.

    Every neuron becomes the simplest one that fires, or that does not, with the same shape.
    Delays decide only when spikes arrive.
    """
    nodes, edges = flatten(graph)
    delays = [key for key, node in nodes.items() if isinstance(node, nir.Delay)]
    for delay in () if keep_delays else delays:
        nodes, edges = bypass(nodes, edges, delay)
    nodes, shapes = settle(nodes, edges)
    for key, node in nodes.items():
        if isinstance(node, SILENT_NODES):
            nodes[key] = nir.I(np.ones(shapes[key]))
        elif isinstance(node, NEURON_NODES):
            nodes[key] = nir.IF(r=np.ones(shapes[key]), v_threshold=np.ones(shapes[key]))
    plain = nir.NIRGraph(nodes, edges, type_check=False)
    dynamics = Dynamics(dt_s=dt_s, precision=Precision.FLOAT64)
    network = SpikingGraph(plain, dynamics).network
    shared = {}
    for source in (network.input_name, *(p.name for p in network.populations)):
        for via, target in _chains(nodes, edges, source):
            label = "+".join(via) or f"{source}->{target}"
            for c in network.connections:
                if c.name in (label, f"{label}:{source}->{target}"):
                    shared[c.name] = _distinct(c, [nodes[key] for key in via], via, shapes)
    return network, shared


def _chains(
    nodes: Mapping[str, nir.NIRNode], edges: list[tuple[str, str]], start: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """All chains of linear nodes from one population to others."""
    waiting: list[tuple[tuple[str, ...], str]] = [((), start)]
    while waiting:
        via, at = waiting.pop()
        for _, target in (edge for edge in edges if edge[0] == at):
            if isinstance(nodes[target], NEURON_NODES):
                yield via, target
            elif not isinstance(nodes[target], nir.Output):
                waiting.append(((*via, target), target))


def _distinct(
    c: Connection,
    chain: list[nir.NIRNode],
    via: tuple[str, ...],
    shapes: Mapping[str, tuple[int, ...]],
) -> int:
    """Distinct weights of convolutions and poolings in a row, 0 where weights are not shared.

    All places of an output channel share the weights of the one with the most inputs, which is
    one that no border cuts.
    """
    local = [key for key, node in zip(via, chain, strict=True) if isinstance(node, _LOCAL)]
    if not local or not all(isinstance(node, (*_LOCAL, *_NEUTRAL)) for node in chain):
        return 0
    channels = shapes[local[-1]][0]
    fan_in = np.diff(c.matrix.indptr).reshape(channels, -1)
    return int(fan_in.max(axis=1).sum())


def _from_rates(network: Network, rates_hz: Rates, n_ticks: int) -> _Activity:
    dt_s = network.dynamics.dt_s
    sizes = {network.input_name: network.n_inputs} | {p.name: p.size for p in network.populations}
    silent = {p.name for p in network.populations if p.kind is Kind.LI}
    by_node = _by_node(rates_hz, sizes, silent)
    counts: dict[str, NDArray[np.float64]] = {}
    for node, size in sizes.items():
        rate = _rate(node, by_node[node], size, dt_s)
        if node in silent and rate.any():
            raise UsageError(
                f"rates_hz: node {node!r} never fires, got {rate.max():g} Hz; leave it out"
            )
        counts[node] = rate * dt_s * n_ticks
    return _Activity(
        {node: float(count.sum()) for node, count in counts.items()},
        {c.name: float(counts[c.source] @ c.fan_out) for c in network.connections},
    )


def _by_node(rates_hz: Rates, sizes: Mapping[str, int], silent: set[str]) -> dict[str, ArrayLike]:
    if not isinstance(rates_hz, Mapping):
        return {node: 0.0 if node in silent else rates_hz for node in sizes}
    for node in rates_hz:
        if node not in sizes:
            raise UsageError(
                f"rates_hz: {node!r} is no input or neuron node; those are {', '.join(sizes)}"
            )
    for node in sizes:
        if node not in rates_hz and node not in silent:
            raise UsageError(f"rates_hz: node {node!r} has no rate; give one in Hz")
    return {node: rates_hz.get(node, 0.0) for node in sizes}


def _rate(node: str, given: ArrayLike, size: int, dt_s: float) -> NDArray[np.float64]:
    """Rates of the neurons of a node, checked."""
    rate = np.asarray(given, dtype=np.float64).ravel()
    if rate.size not in (1, size):
        raise UsageError(
            f"rates_hz: node {node!r} has {size} neurons, got {rate.size} rates; "
            "give one number or one per neuron"
        )
    most = 1 / dt_s
    bad = rate[~((rate >= 0) & (rate <= most * (1 + 1e-9)))]
    if bad.size:
        raise UsageError(
            f"rates_hz: node {node!r} must fire at 0 to {most:g} Hz, one spike per tick of "
            f"{dt_s:g} s, got {bad[0]:g}"
        )
    return np.broadcast_to(rate, (size,))


def _trains(spikes: Spikes | None) -> dict[str, SpikeTrain]:
    if spikes is None:
        return {}
    return dict(spikes.spikes if isinstance(spikes, Trace) else spikes)


def _from_spikes(
    network: Network, spikes: Spikes, trains: Mapping[str, SpikeTrain], dt_s: float
) -> tuple[_Activity, int]:
    sizes = {p.name: p.size for p in network.populations}
    if not isinstance(spikes, Trace):
        sizes[network.input_name] = network.n_inputs
        sizes = {k: n for k, n in sizes.items() if k in trains or not _is_silent(network, k)}
    if set(trains) != set(sizes):
        odd = sorted(set(trains) ^ set(sizes))[0]
        raise UsageError(
            f"spikes: node {odd!r} "
            + ("is no input or neuron node" if odd in trains else "has no spike train")
            + f"; give trains of {', '.join(sizes)}"
        )
    n_ticks = next(iter(trains.values())).n_ticks
    for node, train in trains.items():
        if (train.n_neurons, train.n_ticks, train.dt_s) != (sizes[node], n_ticks, dt_s):
            raise UsageError(
                f"spikes: node {node!r} needs a train of {sizes[node]} neurons and {n_ticks} "
                f"ticks of {dt_s:g} s, got {train.n_neurons} and {train.n_ticks} of {train.dt_s:g}"
            )
    counted: dict[str, float] = {node: len(train) for node, train in trains.items()}
    if isinstance(spikes, Trace):
        counted[network.input_name] = spikes.input_spikes
        synops: dict[str, float] = {c.name: c.synops for c in spikes.connections}
        if set(synops) != {c.name for c in network.connections}:
            raise UsageError("spikes: the trace is of another graph; run the one that is counted")
    else:
        synops = {
            c.name: delivered(c, trains[c.source], ()) if c.source in trains else 0
            for c in network.connections
        }
    return _Activity(counted, synops), n_ticks


def _is_silent(network: Network, node: str) -> bool:
    return node != network.input_name and network.population(node).kind is Kind.LI


def _layers(
    network: Network, shared: Mapping[str, int], activity: _Activity, n_ticks: int
) -> tuple[LayerOps, ...]:
    """Return the input and one layer per population, in signal order."""
    arriving = Ops(spikes=round(activity.spikes[network.input_name]))
    layers = [LayerOps("frontend", network.input_name, OpKind.SPIKING, arriving)]
    for p in sorted(network.populations, key=signal_order(network)):
        incoming = [c for c in network.connections if c.target == p.name]
        ops = Ops(
            synops=round(sum(activity.synops[c.name] for c in incoming)),
            neuron_updates=p.size * n_ticks,
            spikes=round(activity.spikes.get(p.name, 0)),
        )
        layers.append(
            LayerOps(
                "frontend",
                p.name,
                OpKind.SPIKING,
                ops,
                neurons=prod(p.shape),
                synapses=sum(c.synapses for c in incoming),
                weights=_weights(incoming, shared),
            )
        )
    return tuple(layers)


def _weights(incoming: list[Connection], shared: Mapping[str, int]) -> int:
    """Distinct weights onto a population; 0 where none of them is shared."""
    if not any(shared.get(c.name) for c in incoming):
        return 0
    return sum(shared.get(c.name) or c.synapses for c in incoming)


def _whole_ticks(window_ms: float, dt_s: float) -> int:
    ticks = window_ms / 1e3 / dt_s
    if not (isfinite(ticks) and ticks > 0.5 and abs(ticks - round(ticks)) <= 1e-6 * ticks):
        raise UsageError(
            f"count_nir: window_ms must be a whole number of ticks of {dt_s * 1e3:g} ms, "
            f"got {window_ms:g}"
        )
    return round(ticks)
