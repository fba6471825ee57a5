"""How far two graphs with the same populations differ on one input."""

from __future__ import annotations

from dataclasses import dataclass

from neurovlm.core.errors import UsageError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain


@dataclass(frozen=True)
class Difference:
    """One population. A slot is one neuron in one tick; the rate alone hides most differences.

    Attributes
    ----------
    spikes
        Of the first graph and of the other.
    differing
        Slots in which one fired and the other did not, or graded payloads differ.
    share
        ``differing`` in parts of all slots.
    """

    population: str
    spikes: tuple[int, int]
    differing: int
    share: float


def compare(graph: SpikingGraph, other: SpikingGraph, spikes: SpikeTrain) -> tuple[Difference, ...]:
    """Run both on ``spikes`` and compare every population.

    Raises
    ------
    UsageError
        When their populations are not the same.
    """
    one, two = ({p.name: p.size for p in g.network.populations} for g in (graph, other))
    if one != two:
        raise UsageError(f"compare: the populations differ, {one} and {two} neurons")
    first, second = _run(graph, spikes), _run(other, spikes)
    rows = []
    for name, size in one.items():
        a, b = first.spikes[name], second.spikes[name]
        differing = a.differing(b)
        share = differing / max(size * spikes.n_ticks, 1)
        rows.append(Difference(name, (len(a), len(b)), differing, share))
    return tuple(rows)


def _run(graph: SpikingGraph, spikes: SpikeTrain) -> Trace:
    fast = get_backend("fast")
    able = set(graph.network.needs) <= fast.capabilities.features
    return (fast if able else get_backend("reference")).run(graph, spikes)
