"""Trace: everything a run of a spiking graph leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.spiking.network import Connection, Network
from neurovlm.spiking.train import Fired, SpikeTrain

SPIKES = "s"


@dataclass(frozen=True)
class Probe:
    """A request to record variables of one population in every tick.

    Attributes
    ----------
    population
        Name of the population.
    variables
        ``s`` is 1 or the payload where a neuron fired; the others are state variables after the
        tick (v after its reset), see `neurovlm.spiking.network.Population.variables`.
    """

    population: str
    variables: tuple[str, ...]

    def check(self, network: Network) -> None:
        """Refuse a population or variable that the network does not have."""
        known = (*network.population(self.population).variables, SPIKES)
        for variable in self.variables:
            if variable not in known:
                raise UsageError(
                    f"probe: population {self.population!r} has no variable {variable!r}; "
                    f"it has {', '.join(known)}"
                )


def probe(population: str, variables: Iterable[str]) -> Probe:
    """Ask a backend to record ``variables`` of ``population``: ``probe("D", ["v", "u", "s"])``."""
    return Probe(population, tuple(variables))


@dataclass(frozen=True, eq=False)
class NetworkState:
    """Where a run stopped, so that the next one goes on as if nothing had happened.

    Attributes
    ----------
    cells
        State variables per population and name, each ``(n,)``: int64 in Loihi precision and for
        everything that counts ticks or graded values, else the precision's dtype.
    recent
        What the input and every population sent in the last ticks, newest first: one tick, and as
        many more as their longest axonal delay.
    """

    cells: Mapping[str, Mapping[str, NDArray[Any]]]
    recent: Mapping[str, tuple[Fired, ...]]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name, ready for ``np.savez``; `from_arrays` is the inverse."""
        arrays: dict[str, NDArray[Any]] = {
            f"cells/{population}/{name}": array
            for population, variables in self.cells.items()
            for name, array in variables.items()
        }
        for source, sent in self.recent.items():
            for age, fired in enumerate(sent):
                arrays[f"recent/{source}/{age}"] = fired.neuron
                if fired.value is not None:
                    arrays[f"payload/{source}/{age}"] = fired.value
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NetworkState:
        """Rebuild a state from `to_arrays`."""
        cells: dict[str, dict[str, NDArray[Any]]] = {}
        recent: dict[str, dict[int, Fired]] = {}
        for key in arrays:
            kind, _, rest = key.partition("/")
            owner, _, last = rest.rpartition("/")
            if kind == "cells":
                cells.setdefault(owner, {})[last] = arrays[key]
            elif kind == "recent":
                payload = f"payload/{owner}/{last}"
                value = arrays.get(payload)
                recent.setdefault(owner, {})[int(last)] = Fired(arrays[key], value)
        ordered = {
            source: tuple(sent[age] for age in sorted(sent)) for source, sent in recent.items()
        }
        return cls(cells, ordered)


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
    state
        State after the last tick, or None where the simulator does not give it back.
    carried
        ``recent`` of the state the run started from; these spikes are delivered in its first ticks.
    probed
        Per probed population and variable: ``(n_ticks, n)``.
    """

    input: SpikeTrain
    spikes: Mapping[str, SpikeTrain]
    network: Network
    state: NetworkState | None
    carried: Mapping[str, tuple[Fired, ...]]
    probed: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

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
        """Counts per connection; a spike still on its way is delivered in the run that follows."""
        return tuple(
            ConnectionCount(c.name, c.source, c.target, c.synapses, self._synops(c))
            for c in self.network.connections
        )

    def _synops(self, c: Connection) -> int:
        train = self.input if c.source == self.network.input_name else self.spikes[c.source]
        arrival = train.tick + c.delay[train.neuron] + 1
        synops = c.fan_out[train.neuron[arrival < self.n_ticks]].sum()
        for age, fired in enumerate(self.carried.get(c.source, ())):
            arrival = c.delay[fired.neuron] - age
            due = (arrival >= 0) & (arrival < self.n_ticks)
            synops += c.fan_out[fired.neuron[due]].sum()
        return int(synops)

    @classmethod
    def join(cls, parts: Sequence[Trace]) -> Trace:
        """One trace of runs that followed each other through their states."""
        first, last = parts[0], parts[-1]
        spikes = {name: SpikeTrain.join([p.spikes[name] for p in parts]) for name in first.spikes}
        fed = SpikeTrain.join([part.input for part in parts])
        probed = {
            population: {
                name: np.concatenate([part.probed[population][name] for part in parts])
                for name in variables
            }
            for population, variables in first.probed.items()
        }
        return cls(fed, spikes, first.network, last.state, first.carried, probed)
