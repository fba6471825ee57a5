"""EVT3: 16-bit words whose meaning depends on the words before them.

Word types (top four bits; Prophesee, "EVT 3.0 format"): 0 row; 2 one event at a column; 3 base
column and polarity of a vector; 4 and 5 the next 12 and 8 pixels of a vector as bits; 6 and 8 the
low and high 12 bits of the time in microseconds. All others (triggers, continuations) are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovlm.events.io.records import Clock, read_blocks, unwrap
from neurovlm.events.io.source import Columns, IntArray

_ROW, _COLUMN, _BASE, _VECTOR_12, _VECTOR_8, _LOW, _HIGH = 0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x8
_WIDTHS = np.zeros(16, np.int64)
_WIDTHS[[_VECTOR_12, _VECTOR_8]] = 12, 8
_ARGUMENT = 0x0FFF
_COORDINATE = 0x07FF
JITTER_US = 64  # real files step back by 3-11 us between neighbouring rows


@dataclass(frozen=True)
class _State:
    """What the words so far have set; ``high_us`` is -1 before the first high time word."""

    clock: Clock = field(default_factory=Clock)
    high_us: int = -1
    low_us: int = 0
    row: int = 0
    base: int = 0
    polarity: int = 0
    latest_us: int | None = None


def evt3_columns(path: Path, offset: int, t0_us: int) -> Iterator[Columns]:
    """Decode from byte ``offset``; steps back of a few microseconds take the time before them."""
    state = _State()
    for words in read_blocks(path, offset, "<u2"):
        columns, state = _decode(words, state)
        if len(columns.t):
            yield columns._replace(t=columns.t + t0_us)


def _decode(words: NDArray[np.uint16], state: _State) -> tuple[Columns, _State]:
    kind, argument = words >> 12, words & _ARGUMENT
    is_high, is_low, is_row, is_base = (kind == k for k in (_HIGH, _LOW, _ROW, _BASE))
    high_us, clock = unwrap(argument[is_high], 12, 1 << 12, state.clock)
    width = _WIDTHS[kind]
    passed = np.cumsum(width) - width
    base_column = (argument[is_base] & _COORDINATE) - passed[is_base]

    high = _Held(is_high, high_us, state.high_us)
    low = _Held(is_low, argument[is_low], state.low_us)
    row = _Held(is_row, argument[is_row] & _COORDINATE, state.row)
    base = _Held(is_base, base_column, state.base)
    polarity = _Held(is_base, argument[is_base] >> 11, state.polarity)

    emits = np.flatnonzero((kind == _COLUMN) | (width > 0))
    emits = emits[high.at(emits) >= 0]  # before the first high word no time is known
    single, bits = kind[emits] == _COLUMN, argument[emits] & ((1 << width[emits]) - 1)
    columns = _events(
        t=high.at(emits) + low.at(emits),
        x=np.where(single, argument[emits] & _COORDINATE, base.at(emits) + passed[emits]),
        y=row.at(emits),
        p=np.where(single, argument[emits] >> 11, polarity.at(emits)) == 1,
        bits=np.where(single, 1, bits),
    )
    t, latest_us = _without_jitter(columns.t, state.latest_us)
    next_base = base.last + int(passed[-1] + width[-1])
    after = _State(clock, high.last, low.last, row.last, next_base, polarity.last, latest_us)
    return columns._replace(t=t), after


class _Held:
    """A value that some words set and that holds until the next of them."""

    def __init__(self, sets: NDArray[np.bool_], values: IntArray, before: int) -> None:
        self._n_set = np.cumsum(sets, dtype=np.int32)
        self._values = np.concatenate([[before], values.astype(np.int64)])
        self.last = int(self._values[-1])

    def at(self, word: NDArray[np.intp]) -> NDArray[np.int64]:
        """Value in force at each word, its own setting included."""
        return self._values[self._n_set[word]]


def _events(
    t: NDArray[np.int64], x: IntArray, y: IntArray, p: NDArray[np.bool_], bits: IntArray
) -> Columns:
    """One event for each bit set, ``x`` being the column of the lowest bit."""
    lanes = np.unpackbits(bits.astype("<u2").view(np.uint8), bitorder="little")
    pixels = np.flatnonzero(lanes)
    word = pixels >> 4
    return Columns(t[word], x[word] + (pixels & 15), y[word], p[word])


def _without_jitter(
    t: NDArray[np.int64], latest_us: int | None
) -> tuple[NDArray[np.int64], int | None]:
    """Lift times that are at most ``JITTER_US`` late; real disorder stays to be refused."""
    if not len(t):
        return t, latest_us
    before = t[0] if latest_us is None else max(t[0], latest_us)
    latest = np.maximum.accumulate(np.concatenate([[before], t]))[1:]
    return np.where(latest - t <= JITTER_US, latest, t), int(latest[-1])
