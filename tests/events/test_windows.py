"""Windows: half-open, aligned to the first event, none left out, bounded memory."""

from __future__ import annotations

import tracemalloc
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import iter_windows, window_bounds

SENSOR = (4, 4)


def events(t: list[int] | np.ndarray) -> EventStream:
    zero = np.zeros(len(t), np.uint16)
    return EventStream(np.asarray(t, np.int64), zero, zero, zero > 0, SENSOR)


@given(
    st.lists(st.integers(-500, 5_000), min_size=1, max_size=80).map(sorted),
    st.integers(1, 700),
    st.lists(st.integers(0, 80), max_size=6).map(sorted),
)
def test_windows_partition_the_stream(t: list[int], window_us: int, cuts: list[int]) -> None:
    whole = events(t)
    edges = [0, *cuts, len(t)]
    chunks = [whole[a:b] for a, b in pairwise(min(edge, len(t)) for edge in edges)]
    windows = list(iter_windows(chunks, window_us))
    bounds = window_bounds(t[0], t[-1], window_us)
    assert len(windows) == len(bounds) - 1 == -(-(t[-1] - t[0] + 1) // window_us)
    for k, window in enumerate(windows):
        assert window.index == k
        assert (window.t0_us, window.t1_us) == (bounds[k], bounds[k + 1])
        expected = [time for time in t if window.t0_us <= time < window.t1_us]
        assert window.events.t.tolist() == expected
        assert window.events.sensor == SENSOR
    joined = EventStream.join([window.events for window in windows])
    assert joined.t.tolist() == t


def test_an_event_on_a_bound_opens_the_next_window() -> None:
    windows = list(iter_windows([events([100, 149, 150])], 50))
    assert [window.events.t.tolist() for window in windows] == [[100, 149], [150]]


def test_a_recording_shorter_than_a_window_gives_one_full_window() -> None:
    (window,) = iter_windows([events([7, 9])], 25_000)
    assert (window.t0_us, window.t1_us) == (7, 25_007)
    assert len(window.events) == 2


def test_no_events_give_no_window() -> None:
    assert list(iter_windows([], 10)) == []
    assert list(iter_windows([EventStream.empty(SENSOR)], 10)) == []


def test_a_long_silence_costs_no_memory() -> None:
    week_us = 7 * 24 * 3600 * 1_000_000
    assert len(window_bounds(0, week_us, 1_000)) == 604_800_002
    tracemalloc.start()
    try:
        windows = islice(iter_windows([events([0, week_us])], 1_000), 10_000)
        assert sum(len(window.events) for window in windows) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_windows_come_as_soon_as_they_are_complete() -> None:
    def chunks() -> object:
        yield events([0, 10, 20])
        raise AssertionError("read further than needed")

    assert next(iter_windows(chunks(), 20)).events.t.tolist() == [0, 10]


def test_chunks_out_of_order_are_refused() -> None:
    with pytest.raises(InputFileError, match="starts at 30 us after an event at 40 us"):
        list(iter_windows([events([0, 40]), events([30])], 10))


@pytest.mark.parametrize("window_us", [0, -5])
def test_a_window_needs_a_length(window_us: int) -> None:
    with pytest.raises(UsageError, match=f"at least 1 us, got {window_us}"):
        window_bounds(0, 1, window_us)
    with pytest.raises(UsageError, match=f"at least 1 us, got {window_us}"):
        next(iter_windows([], window_us))


def test_bounds_need_times_in_order() -> None:
    with pytest.raises(UsageError, match="last time 1 us precedes the first 2 us"):
        window_bounds(2, 1, 5)
