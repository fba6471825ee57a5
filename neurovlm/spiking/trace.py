"""Trace: everything a run of a spiking graph leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
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


@dataclass(frozen=True)
class InputCount:
    """What the input of a run did, where its spikes were not kept.

    Attributes
    ----------
    synops
        By input connection; what the run before left to deliver is in them.
    """

    n_ticks: int
    spikes: int
    synops: Mapping[str, int]

    def __add__(self, following: InputCount) -> InputCount:
        synops = {name: n + following.synops[name] for name, n in self.synops.items()}
        return InputCount(self.n_ticks + following.n_ticks, self.spikes + following.spikes, synops)


@dataclass(frozen=True)
class RunCounts:
    """What a whole run did, in numbers; those of runs that follow each other add up."""

    n_ticks: int
    input_spikes: int
    populations: tuple[PopulationCount, ...]
    connections: tuple[ConnectionCount, ...]

    def __add__(self, following: RunCounts) -> RunCounts:
        populations = zip(self.populations, following.populations, strict=True)
        connections = zip(self.connections, following.connections, strict=True)
        return RunCounts(
            self.n_ticks + following.n_ticks,
            self.input_spikes + following.input_spikes,
            tuple(
                replace(
                    a,
                    spikes=a.spikes + b.spikes,
                    neuron_updates=a.neuron_updates + b.neuron_updates,
                )
                for a, b in populations
            ),
            tuple(replace(a, synops=a.synops + b.synops) for a, b in connections),
        )


@dataclass(frozen=True, eq=False)
class Trace:
    """Spikes of every population, with counts.

    Attributes
    ----------
    fed
        The spikes the run was fed with, or only their counts.
    spikes
        One train per population.
    state
        State after the last tick, or None where the simulator does not give it back.
    carried
        ``recent`` of the state the run started from; these spikes are delivered in its first ticks.
    probed
        Per probed population and variable: ``(n_ticks, n)``.
    """

    fed: SpikeTrain | InputCount
    spikes: Mapping[str, SpikeTrain]
    network: Network
    state: NetworkState | None
    carried: Mapping[str, tuple[Fired, ...]]
    probed: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

    @property
    def input(self) -> SpikeTrain:
        """The spikes the run was fed with.

        Raises
        ------
        UsageError
            When the run kept only their counts.
        """
        if isinstance(self.fed, InputCount):
            raise UsageError(
                "trace: this run kept only the counts of its input spikes; make them again with "
                "neurovlm.spiking.encoding.encode"
            )
        return self.fed

    @property
    def out(self) -> SpikeTrain:
        """Spikes of the exported population."""
        return self.spikes[self.network.output]

    @property
    def n_ticks(self) -> int:
        """Length of the run in ticks."""
        return self.fed.n_ticks

    @property
    def input_spikes(self) -> int:
        """Number of spikes the run was fed with."""
        return self.fed.spikes if isinstance(self.fed, InputCount) else len(self.fed)

    @property
    def counts(self) -> RunCounts:
        """All counts together."""
        return RunCounts(self.n_ticks, self.input_spikes, self.populations, self.connections)

    def without_input(self) -> Trace:
        """Keep only the counts of the input spikes."""
        return replace(self, fed=self._input_count())

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
        if c.source != self.network.input_name:
            return delivered(c, self.spikes[c.source], self.carried.get(c.source, ()))
        if isinstance(self.fed, InputCount):
            return self.fed.synops[c.name]
        return delivered(c, self.fed, self.carried.get(c.source, ()))

    def _input_count(self) -> InputCount:
        network = self.network
        own = [c for c in network.connections if c.source == network.input_name]
        return InputCount(self.n_ticks, self.input_spikes, {c.name: self._synops(c) for c in own})

    @classmethod
    def join(cls, parts: Sequence[Trace]) -> Trace:
        """One trace of runs that followed each other through their states."""
        first, last = parts[0], parts[-1]
        spikes = {name: SpikeTrain.join([p.spikes[name] for p in parts]) for name in first.spikes}
        trains = [part.fed for part in parts if isinstance(part.fed, SpikeTrain)]
        fed: SpikeTrain | InputCount
        if len(trains) == len(parts):
            fed = SpikeTrain.join(trains)
        else:
            fed = reduce(add, (part._input_count() for part in parts))
        probed = {
            population: {
                name: np.concatenate([part.probed[population][name] for part in parts])
                for name in variables
            }
            for population, variables in first.probed.items()
        }
        return cls(fed, spikes, first.network, last.state, first.carried, probed)


def delivered(c: Connection, train: SpikeTrain, carried: Sequence[Fired]) -> int:
    """Synops of one connection in a run: its source sent ``train``, and ``carried`` before."""
    if c.delay.any():
        arrival = train.tick + c.delay[train.neuron] + 1
        arrived = train.neuron[arrival < train.n_ticks]
    else:
        arrived = train.neuron[: np.searchsorted(train.tick, np.int32(train.n_ticks - 1))]
    synops = c.fan_out[arrived].sum()
    for age, fired in enumerate(carried):
        arrival = c.delay[fired.neuron] - age
        due = (arrival >= 0) & (arrival < train.n_ticks)
        synops += c.fan_out[fired.neuron[due]].sum()
    return int(synops)
