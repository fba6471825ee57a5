"""One population with the connections into it, stepped tick by tick; knows nothing of Lava."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.fixed_point import Cells, step_sigma_delta
from neurovlm.spiking.network import Connection, Population

Step = Callable[[Population, Cells, NDArray[Any]], tuple[Cells, NDArray[Any]]]


def senders(connections: Sequence[Connection]) -> dict[str, slice]:
    """Where each source lies in the vector a population receives, every source once."""
    places: dict[str, slice] = {}
    start = 0
    for c in connections:
        if c.source not in places:
            places[c.source] = slice(start, start + c.matrix.shape[1])
            start += c.matrix.shape[1]
    return places


class LayerStepper:
    """Steps a population: ``step`` from what it received so far, then ``receive`` this tick's.

    Parameters
    ----------
    connections
        All that lead into ``population``.
    cells
        State variables to start from; the dtype of the first is the one that is counted in.
    step
        `fixed_point.step_loihi` or `step_float`; graded populations have their own.
    """

    def __init__(
        self, population: Population, connections: Sequence[Connection], cells: Cells, step: Step
    ) -> None:
        self.cells = cells
        self._population = population
        self._step = step_sigma_delta if population.graded else step
        dtype = cells[population.variables[0]].dtype
        places = senders(connections)
        depth = 1 + max((int(c.delay.max(initial=0)) for c in connections), default=0)
        self._recent = np.zeros((depth, max((s.stop for s in places.values()), default=1)), dtype)
        self._newest = 0
        self._incoming = [
            (c.matrix.astype(dtype), places[c.source], c.delay if c.delay.any() else None)
            for c in connections
        ]
        bias = np.zeros(population.size) if population.graded else population.bias
        self._bias = bias.astype(dtype)

    def step(self) -> NDArray[np.int32]:
        """Payloads of one tick, 1 for a binary spike."""
        arriving = self._bias
        for weight, place, delay in self._incoming:
            arriving = arriving + weight @ self._due(place, delay)
        self.cells, payload = self._step(self._population, self.cells, arriving)
        return payload.astype(np.int32)

    def receive(self, sent: NDArray[Any]) -> None:
        """Take what all sources sent in this tick."""
        self._newest = (self._newest + 1) % len(self._recent)
        self._recent[self._newest] = sent

    def _due(self, place: slice, delay: NDArray[np.int64] | None) -> NDArray[Any]:
        """What each source in ``place`` sent its delay and one tick ago."""
        if delay is None:
            return self._recent[self._newest, place]
        age = (self._newest - delay) % len(self._recent)
        return self._recent[age, np.arange(place.start, place.stop)]
