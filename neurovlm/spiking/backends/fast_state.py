"""What goes into and comes out of a run of the compiled engine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.backends.fast_program import Program
from neurovlm.spiking.backends.loops import ARRIVED, DELTA
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import SPIKES, NetworkState, Probe
from neurovlm.spiking.train import Fired, SpikeTrain


class Fed(NamedTuple):
    """Input spikes: of tick k ``neuron[bounds[k] : bounds[k + 1]]``; values are empty if binary.

    The ticks count from the oldest that still matters when the run starts.
    """

    neuron: NDArray[np.int32]
    value: NDArray[np.int32]
    bounds: NDArray[np.int64]


class Probed(NamedTuple):
    """What to copy in every tick: ``(row of the states, first, size, column of the copy)``.

    ``spikes`` holds ``(population, column)``, and their copies are among the wide ones.
    """

    narrow: NDArray[np.int64]
    wide: NDArray[np.int64]
    spikes: NDArray[np.int64]
    narrow_copy: NDArray[Any]
    wide_copy: NDArray[np.int64]


_MANY = 1 << 16
_TICKS, _SPIKES = 4, 1 << 14  # there is room at first for so many ticks in which all neurons fire


def states(program: Program, start: NetworkState) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Narrow and wide states; what arrives in the first tick begins at the bias."""
    x = np.zeros(program.shapes[0], program.narrow.bias.dtype)
    y = np.zeros(program.shapes[1], np.int64)
    fires = program.plan.kind < DELTA
    for name, place in program.places.items():
        state, cells = (y, program.wide) if place.wide else (x, program.narrow)
        if fires[place.index]:
            state[ARRIVED, place.columns] = cells.bias[place.columns]
        before = start.cells[name]
        for variable, row, _ in place.variables:
            state[row, place.columns] = before[variable]
    return x, y


def fed(spikes: SpikeTrain, recent: tuple[Fired, ...], past: int) -> Fed:
    """Input spikes behind those that a state carries in its ``past`` ticks."""
    neuron, value = spikes.neuron, spikes.value
    bounds = np.zeros(past + spikes.n_ticks + 1, np.int64)
    ticks = np.arange(spikes.n_ticks + 1, dtype=np.int32)
    bounds[past:] = spikes.tick.searchsorted(ticks)
    carried = recent[::-1]
    lengths = np.cumsum([len(fired.neuron) for fired in carried])
    if lengths[-1]:
        bounds[past:] += lengths[-1]
        bounds[past + 1 - len(carried) : past + 1] = lengths
        neuron = np.concatenate([*(fired.neuron for fired in carried), neuron])
        if value is not None:
            values = [fired.value for fired in carried if fired.value is not None]
            value = np.concatenate([*values, value])
    value = np.empty(0, np.int32) if value is None else value
    for array in (neuron, value):  # one type for the compiler
        array.setflags(write=False)
    return Fed(neuron, value, bounds)


def room(
    program: Program, start: NetworkState, n_ticks: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """``fired``, ``begin`` and ``mark`` of `loops.run`, with the spikes that a state carries."""
    past = past_ticks(program)
    mark = np.zeros((past + n_ticks + 1, len(program.places)), np.int64)
    begin = np.zeros(len(program.places) + 1, np.int64)
    size = program.plan.size
    begin[1:] = 1 + np.minimum(size * n_ticks, np.maximum(size * _TICKS, _SPIKES))
    for name, place in program.places.items():
        carried = start.recent[name][::-1]
        lengths = [len(fired.neuron) for fired in carried]
        if any(lengths):
            ends = np.cumsum(lengths)
            mark[past + 1 - len(carried) : past + 1, place.index] = ends
            begin[place.index + 1] += ends[-1]
    begin = begin.cumsum()
    fired = np.empty((1 + program.graded, begin[-1]), np.int32)
    for name, place in program.places.items():
        at = begin[place.index]
        for sent in start.recent[name][::-1]:
            n = len(sent.neuron)
            if n:
                fired[0, at : at + n] = sent.neuron
                if sent.value is not None:
                    fired[1, at : at + n] = sent.value
                at += n
    return fired, begin, mark


def past_ticks(program: Program) -> int:
    """Number of ticks before a run whose spikes may still be on their way."""
    return 1 + int(program.plan.delays[-1])


def trains(
    program: Program,
    fired: NDArray[np.int32],
    begin: NDArray[np.int64],
    mark: NDArray[np.int64],
    dt_s: float,
) -> dict[str, SpikeTrain]:
    """Spikes of every population."""
    past, found = past_ticks(program), {}
    ticks = np.arange(len(mark) - past - 1, dtype=np.int32)
    for name, place in program.places.items():
        p, k = place.population, place.index
        first, last = begin[k] + mark[past, k], begin[k] + mark[-1, k]
        # few spikes must not keep the whole record alive; many fill a good part of it
        many = last - first > _MANY
        neuron = fired[0, first:last] if many else fired[0, first:last].copy()
        value = fired[1, first:last].copy() if p.graded else None
        tick = np.repeat(ticks, np.diff(mark[past:, k]))
        found[name] = SpikeTrain.sound(tick, neuron, len(ticks), p.shape, dt_s, value)
    return found


def end_state(
    network: Network,
    program: Program,
    start: NetworkState,
    states: tuple[NDArray[Any], NDArray[np.int64]],
    given: Fed,
    fired: NDArray[np.int32],
    begin: NDArray[np.int64],
    mark: NDArray[np.int64],
) -> NetworkState:
    """State after the last tick."""
    cells, recent = {}, {}
    for name, place in program.places.items():
        own = states[place.wide]
        cells[name] = {
            variable: own[row, place.columns].astype(dtype)
            for variable, row, dtype in place.variables
        }
        bounds = begin[place.index] + mark[:, place.index]
        value = fired[1] if place.population.graded else None
        recent[name] = _sent(fired[0], value, bounds, len(start.recent[name]))
    value = given.value if network.input_bits else None
    ages = len(start.recent[network.input_name])
    recent[network.input_name] = _sent(given.neuron, value, given.bounds, ages)
    return NetworkState(cells, recent)


def _sent(
    neuron: NDArray[np.int32], value: NDArray[np.int32] | None, bounds: NDArray[np.int64], ages: int
) -> tuple[Fired, ...]:
    """What was sent in the last ticks, newest first."""
    ends = bounds[len(bounds) - ages - 1 :].tolist()[::-1]
    spans = [slice(i, j) for j, i in pairwise(ends)]
    if value is None:
        return tuple(Fired(neuron[span].copy()) for span in spans)
    return tuple(Fired(neuron[span].copy(), value[span].copy()) for span in spans)


class Wanted:
    """Room for what probes ask for, and its way back into a trace."""

    def __init__(self, program: Program, probes: Sequence[Probe], n_ticks: int) -> None:
        requests: tuple[list[tuple[int, ...]], ...] = ([], [], [])
        self._found: list[tuple[str, str, bool, slice, np.dtype[Any]]] = []
        width = [0, 0]
        for probe in probes:
            place = program.places[probe.population]
            size, first = place.population.size, place.columns.start
            rows = {name: (row, dtype) for name, row, dtype in place.variables}
            for name in probe.variables:
                wide = place.wide or name == SPIKES
                columns = slice(width[wide], width[wide] + size)
                width[wide] += size
                if name == SPIKES:
                    dtype = np.dtype(np.int64 if place.population.graded else np.bool_)
                    requests[2].append((place.index, columns.start))
                else:
                    row, dtype = rows[name]
                    requests[wide].append((row, first, size, columns.start))
                self._found.append((probe.population, name, wide, columns, dtype))
        narrow, wide_, spikes = (
            np.array(list_, np.int64).reshape(-1, n)
            for list_, n in zip(requests, (4, 4, 2), strict=True)
        )
        copies = np.zeros((n_ticks, width[0]), program.narrow.bias.dtype)
        self.probed = Probed(narrow, wide_, spikes, copies, np.zeros((n_ticks, width[1]), np.int64))

    def by_population(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Copies by population and variable, ``(n_ticks, n)``."""
        found: dict[str, dict[str, NDArray[Any]]] = {}
        for population, name, wide, columns, dtype in self._found:
            copies = self.probed.wide_copy if wide else self.probed.narrow_copy
            found.setdefault(population, {})[name] = copies[:, columns].astype(dtype)
        return found
