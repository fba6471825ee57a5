"""Trace: everything a run of a spiking graph leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.network import Network
from neurovlm.spiking.train import SpikeTrain


@dataclass(frozen=True, eq=False)
class NetworkState:
    """Where a run stopped, so that the next one goes on as if nothing had happened.

    Attributes
    ----------
    u, v
        Per population ``(n,)``; int64 in Loihi precision, else the precision's dtype.
    pending
        Neurons that fired in the last tick, per population and for the input: their spikes are
        delivered in the next tick.
    """

    u: Mapping[str, NDArray[Any]]
    v: Mapping[str, NDArray[Any]]
    pending: Mapping[str, NDArray[np.int32]]


@dataclass(frozen=True)
class PopulationCount:
    """What one population did. An update is one neuron evaluated in one tick."""

    name: str
    neurons: int
    spikes: int
    neuron_updates: int


@dataclass(frozen=True)
class ConnectionCount:
    """What one connection did. A synop is one spike delivered over one non-zero weight."""

    name: str
    source: str
    target: str
    synapses: int
    synops: int


@dataclass(frozen=True, eq=False)
class Trace:
    """Spikes of every population, with counts.

    Attributes
    ----------
    input
        The spikes the run was fed with.
    spikes
        One train per population.
    output
        Name of the exported population.
    state
        State after the last tick, or None where the simulator does not give it back.
    carried
        Spikes left over from the state the run started from, delivered in its first tick.
    """

    input: SpikeTrain
    spikes: Mapping[str, SpikeTrain]
    network: Network
    state: NetworkState | None
    carried: Mapping[str, NDArray[np.int32]]

    @property
    def out(self) -> SpikeTrain:
        """Spikes of the exported population."""
        return self.spikes[self.network.output]

    @property
    def n_ticks(self) -> int:
        """Length of the run in ticks."""
        return self.input.n_ticks

    @property
    def populations(self) -> tuple[PopulationCount, ...]:
        """Counts per population."""
        return tuple(
            PopulationCount(p.name, p.size, len(self.spikes[p.name]), p.size * self.n_ticks)
            for p in self.network.populations
        )

    @property
    def connections(self) -> tuple[ConnectionCount, ...]:
        """Counts per connection; a spike of the last tick is delivered in the run that follows."""
        counts = []
        for c in self.network.connections:
            train = self.input if c.source == self.network.input_name else self.spikes[c.source]
            last = int(np.searchsorted(train.tick, self.n_ticks - 1))
            synops = c.fan_out[train.neuron[:last]].sum()
            if self.n_ticks:
                synops += c.fan_out[self.carried.get(c.source, np.empty(0, np.int32))].sum()
            counts.append(ConnectionCount(c.name, c.source, c.target, c.synapses, int(synops)))
        return tuple(counts)

    @classmethod
    def join(cls, parts: Sequence[Trace]) -> Trace:
        """One trace of runs that followed each other through their states."""
        first, last = parts[0], parts[-1]
        spikes = {name: SpikeTrain.join([p.spikes[name] for p in parts]) for name in first.spikes}
        fed = SpikeTrain.join([part.input for part in parts])
        return cls(fed, spikes, first.network, last.state, first.carried)
