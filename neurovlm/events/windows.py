"""Cut a stream into windows of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream


@dataclass(frozen=True)
class Window:
    """Events with ``t0_us <= t < t1_us``: one step of the pipeline.

    Attributes
    ----------
    index
        0 for the window that starts at the first event.
    t0_us, t1_us
        Half-open bounds; every window has the full length, the last one too.
    events
        May be empty.
    """

    index: int
    t0_us: int
    t1_us: int
    events: EventStream


def window_bounds(t_first_us: int, t_last_us: int, window_us: int) -> range:
    """Bounds of the windows that hold every time from the first to the last event.

    ``bounds[k]`` to ``bounds[k + 1]`` is window k, half-open; there are
    ``len(bounds) - 1 = (t_last - t_first) // window + 1`` of them.

    Raises
    ------
    UsageError
        When the window is shorter than 1 us or the last time precedes the first.
    """
    _check_length(window_us)
    if t_last_us < t_first_us:
        raise UsageError(f"windows: last time {t_last_us} us precedes the first {t_first_us} us")
    n = (t_last_us - t_first_us) // window_us + 1
    return range(t_first_us, t_first_us + n * window_us + 1, window_us)


def iter_windows(chunks: Iterable[EventStream], window_us: int) -> Iterator[Window]:
    """Windows of a stream that comes in chunks; holds one chunk and one window at a time.

    Windows without events are yielded too, one at a time, so a long silence costs no memory.

    Raises
    ------
    InputFileError
        When a chunk starts before the one before it ends.
    UsageError
        When the window is shorter than 1 us.
    """
    _check_length(window_us)
    pending: list[EventStream] = []
    index, stop, latest = 0, None, None
    for chunk in chunks:
        if not len(chunk):
            continue
        start = int(chunk.t[0])
        if latest is not None and start < latest:
            raise InputFileError(
                f"chunks are not in time order: one starts at {start} us after an event at "
                f"{latest} us; sort them first"
            )
        latest = int(chunk.t[-1])
        if stop is None:
            stop, silence = start + window_us, EventStream.empty(chunk.sensor)
        first = 0
        while latest >= stop:
            last = int(np.searchsorted(chunk.t, stop))
            if last > first:
                pending.append(chunk[first:last])
            yield Window(index, stop - window_us, stop, _joined(pending, silence))
            pending, first = [], last
            index, stop = index + 1, stop + window_us
        pending.append(chunk[first:])
    if stop is not None:
        yield Window(index, stop - window_us, stop, _joined(pending, silence))


def _joined(parts: list[EventStream], silence: EventStream) -> EventStream:
    if len(parts) > 1:
        return EventStream.join(parts)
    return parts[0] if parts else silence


def _check_length(window_us: int) -> None:
    if window_us < 1:
        raise UsageError(f"window must be at least 1 us, got {window_us}")
