"""Files made of records of one size: reading in blocks, truncation, counters that wrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.source import opened

BLOCK_RECORDS = 1 << 17
LATE_US = 10_000


def check_whole(path: Path, offset: int, record_bytes: int) -> None:
    """Refuse a file whose last record is cut.

    Raises
    ------
    InputFileError
        Naming the byte at which the incomplete record starts.
    """
    size = path.stat().st_size
    rest = (size - offset) % record_bytes
    if rest:
        raise InputFileError(
            f"{path}: truncated: the record at byte {size - rest} has {rest} of {record_bytes} "
            "bytes; copy the file again, or cut it there to use the rest"
        )


def read_blocks(path: Path, offset: int, dtype: DTypeLike) -> Iterator[NDArray[Any]]:
    """Yield records from byte ``offset`` to the end of the file, a bounded number at a time."""
    with opened(path) as file:
        file.seek(offset)
        while len(block := np.fromfile(file, dtype, BLOCK_RECORDS)):
            yield block


@dataclass(frozen=True)
class Clock:
    """State of a counter that wraps: the last raw value and how often it wrapped."""

    last: int | None = None
    wraps: int = 0


def unwrap(
    raw: NDArray[np.integer[Any]], bits: int, tick_us: int, clock: Clock
) -> tuple[NDArray[np.int64], Clock]:
    """Turn readings of a wrapping counter into microseconds.

    A step back by more than half the range is a wrap. After a first wrap, a step forward by
    nearly the whole range is an event that arrived late, from before the wrap. Silence longer
    than half the range cannot be told from a step back when the counter wraps within it.

    Parameters
    ----------
    raw
        ``(n,)`` counter values in file order.
    bits
        Width of the counter.
    tick_us
        Microseconds per count.
    clock
        State after the values before these.

    Returns
    -------
    ``(n,)`` times in microseconds, and the state after them.
    """
    value = raw.astype(np.int64)
    if not len(value):
        return value, clock
    last = int(value[0]) if clock.last is None else clock.last
    step = np.diff(value, prepend=last)
    period = 1 << bits
    far = period - 1 - LATE_US // tick_us
    if step.min() >= -(period // 2) and step.max() <= far:  # most blocks
        return (value + clock.wraps * period) * tick_us, Clock(int(value[-1]), clock.wraps)
    wrapped = step < -(period // 2)
    late = (step > far) & (clock.wraps + np.cumsum(wrapped) > 0)
    wraps = clock.wraps + np.cumsum(wrapped.astype(np.int64) - late)
    return (value + wraps * period) * tick_us, Clock(int(value[-1]), int(wraps[-1]))
