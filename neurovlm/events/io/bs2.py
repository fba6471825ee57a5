"""The ``.bs2`` / N-MNIST ``.bin`` layout: five bytes an event, no header.

Bytes: x, y, then 24 bits big-endian: the top bit is the polarity (1 = ON), the lower 23 bits are
the time in microseconds (Orchard et al. 2015, N-MNIST). Times wrap every 8.39 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.records import Clock, check_whole, read_blocks, unwrap
from neurovlm.events.io.source import Columns, Source

RECORD_BYTES = 5
TIME_BITS = 23
_RECORD = np.dtype((np.uint8, RECORD_BYTES))
_MAX_STEPS_BACK = 0.05
_MIN_RECORDS = 100  # fewer could be anything


def looks_like_bs2(head: bytes) -> bool:
    """Say whether the first bytes of a file are ``.bs2`` events, whatever its name."""
    t = _times_in(head)
    return len(t) >= _MIN_RECORDS and t[-1] != t[0] and _steps_back(t) <= _MAX_STEPS_BACK


def open_bs2(path: Path, head: bytes) -> Source:
    """Read a ``.bs2`` file; ``head`` are its first bytes.

    Raises
    ------
    InputFileError
        When the last record is cut, or the times of the first records jump back and forth.
    """
    check_whole(path, 0, RECORD_BYTES)
    t = _times_in(head)
    if len(t) >= _MIN_RECORDS and _steps_back(t) > _MAX_STEPS_BACK:
        raise InputFileError(
            f"{path}: corrupt, or not .bs2 events: {_steps_back(t):.0%} of the first time steps go "
            "back; give the file the extension of its true format"
        )
    return Source(".bs2", lambda: _columns(path))


def _times_in(head: bytes) -> NDArray[np.int32]:
    whole = len(head) // RECORD_BYTES * RECORD_BYTES
    return _raw_time(np.frombuffer(head[:whole], _RECORD))


def _steps_back(t: NDArray[np.int32]) -> float:
    """Share of time steps that go back: 0.5 for noise, far less in any recording."""
    return float((np.diff(t) < 0).mean())


def _columns(path: Path) -> Iterator[Columns]:
    clock = Clock()
    for block in read_blocks(path, 0, _RECORD):
        t, clock = unwrap(_raw_time(block), TIME_BITS, 1, clock)
        yield Columns(t, block[:, 0], block[:, 1], block[:, 2] >= 128)


def _raw_time(block: NDArray[np.uint8]) -> NDArray[np.int32]:
    high, middle, low = block[:, 2:].T.astype(np.int32)
    t: NDArray[np.int32] = (high & 0x7F) << 16 | middle << 8 | low
    return t
