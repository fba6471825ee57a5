"""Spikes, synops and neuron updates of a spiking graph as workload layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hw_models import LayerOps, OpKind, Ops
from neurovlm.spiking.network import Network, Population
from neurovlm.spiking.trace import PopulationCount, Trace

FRONTEND_POPULATIONS = ("F",)  # the support filter; all others decide what changed


@dataclass(frozen=True)
class SpikingTotals:
    """Sums over a spiking run.

    Attributes
    ----------
    neurons
        Size of the graph.
    spikes, synops, neuron_updates
        Totals over all populations; input spikes are not among the spikes.
    """

    neurons: int
    spikes: int
    synops: int
    neuron_updates: int


def spiking_totals(trace: Trace) -> SpikingTotals:
    """Totals over all populations and connections."""
    populations, connections = trace.populations, trace.connections
    return SpikingTotals(
        neurons=sum(p.neurons for p in populations),
        spikes=sum(p.spikes for p in populations),
        synops=sum(c.synops for c in connections),
        neuron_updates=sum(p.neuron_updates for p in populations),
    )


def spiking_layers(
    trace: Trace, frontend: Sequence[str] = FRONTEND_POPULATIONS
) -> tuple[LayerOps, ...]:
    """One layer per population, with the synapses that end on it, plus the input.

    Populations named in ``frontend`` form that stage, the others the stage ``change``. Layers come
    in signal order with the read-out last: a device model sends a layer's spikes to the next one,
    and the last one's over the link. The dense twin of a model keeps the same front end, so dense
    counts equal the executed ones.
    """
    incoming: dict[str, list[int]] = {p.name: [0, 0] for p in trace.populations}
    for c in trace.connections:
        incoming[c.target][0] += c.synapses
        incoming[c.target][1] += c.synops
    layers = [
        LayerOps(
            stage="frontend",
            layer=trace.network.input_name,
            kind=OpKind.SPIKING,
            executed=Ops(spikes=trace.input_spikes),
        )
    ]
    for p in sorted(trace.populations, key=signal_order(trace.network)):
        synapses, synops = incoming[p.name]
        layers.append(
            LayerOps(
                stage="frontend" if p.name in frontend else "change",
                layer=p.name,
                kind=OpKind.SPIKING,
                executed=Ops(spikes=p.spikes, synops=synops, neuron_updates=p.neuron_updates),
                neurons=p.neurons,
                synapses=synapses,
            )
        )
    return tuple(layers)


def signal_order(
    network: Network,
) -> Callable[[PopulationCount | Population], tuple[bool, int, str]]:
    """Sort key: connections from the input, the output population after all others."""
    hops = {network.input_name: 0}
    while grown := {
        c.target: hops[c.source] + 1
        for c in network.connections
        if c.source in hops and c.target not in hops
    }:
        hops |= grown
    unreached = len(network.populations) + 1
    return lambda p: (p.name == network.output, hops.get(p.name, unreached), p.name)
