"""SpikeTrain: which neuron fired at which tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError


@dataclass(frozen=True, eq=False)
class SpikeTrain:
    """Binary spikes as (tick, neuron) pairs, sorted by tick then neuron, each pair once.

    Attributes
    ----------
    tick, neuron
        int32 ``(n,)``, read-only. ``neuron`` is the row-major index into ``shape``.
    n_ticks
        Length of the train.
    shape
        Shape of the population, for example ``(2, 126, 126)`` = (polarity, row, column).
    dt_s
        Seconds per tick.
    """

    tick: NDArray[np.int32]
    neuron: NDArray[np.int32]
    n_ticks: int
    shape: tuple[int, ...]
    dt_s: float

    def __post_init__(self) -> None:
        for name in ("tick", "neuron"):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.int32).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.tick) != len(self.neuron):
            raise UsageError(
                "SpikeTrain: tick and neuron must have one length, got "
                f"{len(self.tick)} and {len(self.neuron)}"
            )
        if not _sound(self.tick, self.neuron, self.n_ticks, self.n_neurons):
            i = self._first_offender()
            raise UsageError(
                f"SpikeTrain: spike {i} at tick {self.tick[i]}, neuron {self.neuron[i]} is outside "
                f"{self.n_ticks} ticks x {self.n_neurons} neurons or not behind the one before it; "
                "spikes are sorted by tick then neuron, each once"
            )

    @property
    def n_neurons(self) -> int:
        """Size of the population."""
        return prod(self.shape)

    def __len__(self) -> int:
        return len(self.tick)

    def dense(self) -> NDArray[np.bool_]:
        """``(n_ticks, n_neurons)`` array of the same spikes."""
        raster = np.zeros((self.n_ticks, self.n_neurons), dtype=np.bool_)
        raster[self.tick, self.neuron] = True
        return raster

    @classmethod
    def from_dense(
        cls, raster: NDArray[Any], *, dt_s: float, shape: tuple[int, ...] | None = None
    ) -> SpikeTrain:
        """From ``(n_ticks, n_neurons)``; every non-zero entry is one spike."""
        tick, neuron = np.nonzero(raster)
        shape = (raster.shape[1],) if shape is None else shape
        return cls(tick.astype(np.int32), neuron.astype(np.int32), raster.shape[0], shape, dt_s)

    @classmethod
    def from_ticks(
        cls, fired: Sequence[NDArray[np.int32]], *, dt_s: float, shape: tuple[int, ...]
    ) -> SpikeTrain:
        """From one sorted array of neurons per tick."""
        tick = np.repeat(np.arange(len(fired), dtype=np.int32), [len(f) for f in fired])
        neuron = np.concatenate([np.empty(0, np.int32), *fired])
        return cls(tick, neuron, len(fired), shape, dt_s)

    def between(self, start: int, stop: int) -> SpikeTrain:
        """Ticks ``start <= tick < stop``, counted from ``start``."""
        first, last = np.searchsorted(self.tick, [start, stop])
        cut = slice(int(first), int(last))
        return SpikeTrain(
            self.tick[cut] - np.int32(start), self.neuron[cut], stop - start, self.shape, self.dt_s
        )

    @classmethod
    def join(cls, parts: Sequence[SpikeTrain]) -> SpikeTrain:
        """Trains of one population, one after the other."""
        starts = np.cumsum([0, *(part.n_ticks for part in parts)])
        tick = np.concatenate(
            [part.tick + np.int32(start) for part, start in zip(parts, starts, strict=False)]
        )
        neuron = np.concatenate([part.neuron for part in parts])
        return cls(tick, neuron, int(starts[-1]), parts[0].shape, parts[0].dt_s)

    def counts(self, window_ticks: int) -> NDArray[np.int64]:
        """Spikes per whole window: ``(n_ticks // window_ticks, *shape)``; the rest is left out."""
        n_windows = self.n_ticks // window_ticks
        last = int(np.searchsorted(self.tick, n_windows * window_ticks))
        index = (self.tick[:last] // window_ticks).astype(np.int64) * self.n_neurons
        index += self.neuron[:last]
        counts = np.bincount(index, minlength=n_windows * self.n_neurons)
        return counts.reshape(n_windows, *self.shape)

    def differing(self, other: SpikeTrain) -> int:
        """Number of (tick, neuron) slots in which exactly one of the two trains has a spike."""
        if (self.n_ticks, self.n_neurons) != (other.n_ticks, other.n_neurons):
            raise UsageError(
                f"SpikeTrain.differing: {self.n_ticks} ticks x {self.n_neurons} neurons against "
                f"{other.n_ticks} x {other.n_neurons}"
            )
        return len(np.setxor1d(self._slots(), other._slots(), assume_unique=True))

    def _slots(self) -> NDArray[np.int64]:
        return self.tick.astype(np.int64) * self.n_neurons + self.neuron

    def _first_offender(self) -> int:
        outside = (self.tick < 0) | (self.tick >= self.n_ticks)
        outside |= (self.neuron < 0) | (self.neuron >= self.n_neurons)
        return int(np.argmax(outside | (np.diff(self._slots(), prepend=-1) <= 0)))


@numba.njit(cache=True, nogil=True)
def _sound(tick, neuron, n_ticks, n_neurons):  # type: ignore[no-untyped-def]
    """Whether all spikes lie inside the train, each behind the one before it."""
    if len(tick) == 0:
        return True
    sound = tick[0] >= 0 and tick[-1] < n_ticks
    n = np.int32(n_neurons)
    for i in range(len(tick)):
        sound &= (neuron[i] >= 0) & (neuron[i] < n)
    for i in range(1, len(tick)):
        later = tick[i] > tick[i - 1]
        sound &= later | ((tick[i] == tick[i - 1]) & (neuron[i] > neuron[i - 1]))
    return sound
