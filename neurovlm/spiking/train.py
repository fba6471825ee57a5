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
class Fired:
    """What fired in one tick.

    Attributes
    ----------
    neuron
        int32 ``(k,)``, ascending.
    value
        int32 ``(k,)`` payloads, or None for binary spikes.
    """

    neuron: NDArray[np.int32]
    value: NDArray[np.int32] | None = None

    @classmethod
    def of(cls, payload: NDArray[Any], *, graded: bool = False) -> Fired:
        """From one entry per neuron, 0 where there is no spike."""
        neuron = np.flatnonzero(payload).astype(np.int32)
        return cls(neuron, payload[neuron].astype(np.int32) if graded else None)


NOTHING = Fired(np.empty(0, np.int32))


@dataclass(frozen=True, eq=False)
class SpikeTrain:
    """Spikes as (tick, neuron) pairs, sorted by tick then neuron, each pair once.

    A train is binary unless it carries values: graded spikes, one integer payload each.

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
    value
        int32 ``(n,)``, read-only: payloads of graded spikes, none of them 0; None for binary ones.
    """

    tick: NDArray[np.int32]
    neuron: NDArray[np.int32]
    n_ticks: int
    shape: tuple[int, ...]
    dt_s: float
    value: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        for name in ("tick", "neuron", "value"):
            if getattr(self, name) is None:
                continue
            array = np.ascontiguousarray(getattr(self, name), dtype=np.int32).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
            if len(array) != len(self.tick):
                raise UsageError(
                    f"SpikeTrain: tick and {name} must have one length, got "
                    f"{len(self.tick)} and {len(array)}"
                )
        if self.value is not None and not self.value.all():
            raise UsageError(
                f"SpikeTrain: spike {int(np.argmin(self.value != 0))} has the value 0, which is "
                "no spike; leave it out"
            )
        if not _sound(self.tick, self.neuron, self.n_ticks, self.n_neurons):
            i = self._first_offender()
            raise UsageError(
                f"SpikeTrain: spike {i} at tick {self.tick[i]}, neuron {self.neuron[i]} is outside "
                f"{self.n_ticks} ticks x {self.n_neurons} neurons or not behind the one before it; "
                "spikes are sorted by tick then neuron, each once"
            )

    @classmethod
    def sound(
        cls,
        tick: NDArray[np.int32],
        neuron: NDArray[np.int32],
        n_ticks: int,
        shape: tuple[int, ...],
        dt_s: float,
        value: NDArray[np.int32] | None = None,
    ) -> SpikeTrain:
        """From arrays of an engine that keeps the rules by the way it works: not checked again."""
        train = object.__new__(cls)
        for array in (tick, neuron, value):
            if array is not None:
                array.setflags(write=False)
        fields = {"tick": tick, "neuron": neuron, "n_ticks": n_ticks, "shape": shape}
        train.__dict__.update(fields, dt_s=dt_s, value=value)
        return train

    @property
    def n_neurons(self) -> int:
        """Size of the population."""
        return prod(self.shape)

    @property
    def graded(self) -> bool:
        """Whether the spikes carry values."""
        return self.value is not None

    def __len__(self) -> int:
        return len(self.tick)

    def dense(self) -> NDArray[np.bool_]:
        """``(n_ticks, n_neurons)`` array: where there is a spike."""
        raster = np.zeros((self.n_ticks, self.n_neurons), dtype=np.bool_)
        raster[self.tick, self.neuron] = True
        return raster

    def dense_values(self) -> NDArray[np.int32]:
        """``(n_ticks, n_neurons)`` payloads: 1 for a binary spike, 0 where there is none."""
        values = np.zeros((self.n_ticks, self.n_neurons), dtype=np.int32)
        values[self.tick, self.neuron] = 1 if self.value is None else self.value
        return values

    @classmethod
    def from_dense(
        cls,
        raster: NDArray[Any],
        *,
        dt_s: float,
        shape: tuple[int, ...] | None = None,
        graded: bool = False,
    ) -> SpikeTrain:
        """From ``(n_ticks, n_neurons)``; every non-zero entry is one spike, its value if graded."""
        tick, neuron = np.nonzero(raster)
        shape = (raster.shape[1],) if shape is None else shape
        value = raster[tick, neuron] if graded else None
        return cls(
            tick.astype(np.int32), neuron.astype(np.int32), raster.shape[0], shape, dt_s, value
        )

    @classmethod
    def from_ticks(
        cls, fired: Sequence[Fired], *, dt_s: float, shape: tuple[int, ...], graded: bool = False
    ) -> SpikeTrain:
        """From what fired in each tick."""
        tick = np.repeat(np.arange(len(fired), dtype=np.int32), [len(f.neuron) for f in fired])
        none = np.empty(0, np.int32)
        neuron = np.concatenate([none, *(f.neuron for f in fired)])
        values = [none if f.value is None else f.value for f in fired]
        value = np.concatenate([none, *values]) if graded else None
        return cls(tick, neuron, len(fired), shape, dt_s, value)

    def at(self, tick: int) -> Fired:
        """What fired in one tick."""
        first, last = self._starts(tick, tick + 1)
        value = None if self.value is None else self.value[first:last]
        return Fired(self.neuron[first:last], value)

    def between(self, start: int, stop: int) -> SpikeTrain:
        """Ticks ``start <= tick < stop``, counted from ``start``."""
        cut = slice(*self._starts(start, stop))
        value = None if self.value is None else self.value[cut]
        tick = self.tick[cut] - np.int32(start)
        return SpikeTrain(tick, self.neuron[cut], stop - start, self.shape, self.dt_s, value)

    @classmethod
    def join(cls, parts: Sequence[SpikeTrain]) -> SpikeTrain:
        """Trains of one population, one after the other."""
        starts = np.cumsum([0, *(part.n_ticks for part in parts)])
        tick = np.concatenate(
            [part.tick + np.int32(start) for part, start in zip(parts, starts, strict=False)]
        )
        neuron = np.concatenate([part.neuron for part in parts])
        first = parts[0]
        values = [part.value for part in parts if part.value is not None]
        if values and len(values) != len(parts):
            raise UsageError("SpikeTrain.join: graded and binary trains cannot be joined")
        value = np.concatenate(values) if values else None
        return cls(tick, neuron, int(starts[-1]), first.shape, first.dt_s, value)

    def counts(self, window_ticks: int) -> NDArray[np.int64]:
        """Spikes per whole window: ``(n_ticks // window_ticks, *shape)``; the rest is left out."""
        n_windows = self.n_ticks // window_ticks
        (last,) = self._starts(n_windows * window_ticks)
        index = (self.tick[:last] // window_ticks).astype(np.int64) * self.n_neurons
        index += self.neuron[:last]
        counts = np.bincount(index, minlength=n_windows * self.n_neurons)
        return counts.reshape(n_windows, *self.shape)

    def differing(self, other: SpikeTrain) -> int:
        """Number of (tick, neuron) slots in which the two trains do not have the same.

        A spike in one train only counts once, and so does a slot with two different values.
        """
        if (self.n_ticks, self.n_neurons) != (other.n_ticks, other.n_neurons):
            raise UsageError(
                f"SpikeTrain.differing: {self.n_ticks} ticks x {self.n_neurons} neurons against "
                f"{other.n_ticks} x {other.n_neurons}"
            )
        mine, theirs = self._slots(), other._slots()
        alone = len(np.setxor1d(mine, theirs, assume_unique=True))
        if self.value is None and other.value is None:
            return alone
        both, i, k = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
        one = np.ones(len(both), np.int32)
        a = one if self.value is None else self.value[i]
        b = one if other.value is None else other.value[k]
        return alone + int((a != b).sum())

    def _starts(self, *ticks: int) -> list[int]:
        """First spike of each tick or later; with another dtype NumPy would copy all ticks."""
        found: list[int] = np.searchsorted(self.tick, np.array(ticks, self.tick.dtype)).tolist()
        return found

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
