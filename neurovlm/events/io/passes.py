"""Checks and cuts on a stream of columns, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.source import Columns, Sensor
from neurovlm.events.stream import check_inside, check_order

MAX_LATE_US = 10_000
MAX_GAP_US = 3_600_000_000


def in_order(parts: Iterable[Columns], path: Path) -> Iterator[Columns]:
    """Pass blocks on; raise at the first event earlier than the one before it."""
    n, latest = 0, np.empty(0, np.int64)
    for part in parts:
        try:
            check_order(np.concatenate([latest, part.t]), n - len(latest))
        except InputFileError as error:
            raise InputFileError(f"{path}: {error}") from None
        n, latest = n + len(part.t), part.t[-1:] if len(part.t) else latest
        yield part


def sort_late(parts: Iterable[Columns], path: Path) -> Iterator[Columns]:
    """Put events at most ``MAX_LATE_US`` late where they belong; raise at a later one.

    Events of one time keep their order in the file. An event can be passed on once the latest
    time seen is ``MAX_LATE_US`` past it, so the buffer holds one block and that much time.
    """
    n, kept = 0, None
    latest = None
    for part in parts:
        if not len(part.t):
            continue
        highest = np.maximum.accumulate(part.t)
        if latest is not None:
            highest = np.maximum(highest, latest)
        late = np.flatnonzero(highest - part.t > MAX_LATE_US)
        if len(late):
            i = int(late[0])
            raise InputFileError(
                f"{path}: event {n + i} at {part.t[i]} us is {highest[i] - part.t[i]} us late "
                f"(an event at {highest[i]} us came before it); --sort accepts up to "
                f"{MAX_LATE_US} us: sort the file"
            )
        n, latest = n + len(part.t), int(highest[-1])
        pending = part if kept is None else Columns.join([kept, part])
        pending = pending.take(np.argsort(pending.t, kind="stable"))
        ready = int(np.searchsorted(pending.t, latest - MAX_LATE_US))
        yield pending.take(slice(0, ready))
        kept = pending.take(slice(ready, None))
    if kept is not None:
        yield kept


def inside(parts: Iterable[Columns], sensor: Sensor, path: Path) -> Iterator[Columns]:
    """Pass blocks on; raise at the first event outside the sensor."""
    n = 0
    for part in parts:
        try:
            check_inside(part.x, part.y, sensor, n)
        except InputFileError as error:
            raise InputFileError(f"{path}: {error}") from None
        n += len(part.t)
        yield part


def between(
    parts: Iterable[Columns], start_us: int | None, stop_us: int | None
) -> Iterator[Columns]:
    """Events with ``start_us <= t < stop_us``; reads no further than needed."""
    for part in parts:
        first = 0 if start_us is None else int(np.searchsorted(part.t, start_us))
        last = len(part.t) if stop_us is None else int(np.searchsorted(part.t, stop_us))
        yield part.take(slice(first, last))
        if last < len(part.t):
            return


def without_gaps(parts: Iterable[Columns], path: Path, t_first_us: int) -> Iterator[Columns]:
    """Pass blocks on; raise where neighbours lie more than an hour apart."""
    latest = np.empty(0, np.int64)
    for part in parts:
        t = np.concatenate([latest, part.t])
        wide = np.flatnonzero(np.diff(t) > MAX_GAP_US)
        if len(wide):
            i = int(wide[0])
            before_s, after_s = ((int(t[k]) - t_first_us) / 1e6 for k in (i, i + 1))
            raise InputFileError(
                f"{path}: the time jumps by {(after_s - before_s) / 3600:.1f} h, from {t[i]} us to "
                f"{t[i + 1]} us; keep one side: --stop {before_s + 1e-6:.6f} or "
                f"--start {after_s:.6f} (seconds after the first event)"
            )
        latest = t[-1:]
        yield part


def blocks(parts: Iterable[Columns], n_events: int) -> Iterator[Columns]:
    """Regroup into blocks of ``n_events``, the last one shorter; none is empty."""
    pending: list[Columns] = []
    n = 0
    for part in parts:
        first = 0
        while n + len(part.t) - first >= n_events:
            last = first + n_events - n
            yield Columns.join([*pending, part.take(slice(first, last))])
            pending, n, first = [], 0, last
        if first < len(part.t):
            pending.append(part.take(slice(first, None)))
            n += len(part.t) - first
    if n:
        yield Columns.join(pending)
