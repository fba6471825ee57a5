"""EventStream: what it accepts, what it refuses, and its laws."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import TONIC_DTYPE, EventStream

DTYPES = {
    "tonic": TONIC_DTYPE,
    "metavision": np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]),
    "faery": np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")]),
    "dv": np.dtype([("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "u1")]),
}


@st.composite
def streams(draw: st.DrawFn) -> EventStream:
    t = sorted(draw(st.lists(st.integers(0, 2**50), max_size=30)))
    n = len(t)
    column = st.lists(st.integers(0, 9), min_size=n, max_size=n)
    polarity = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return EventStream(t, draw(column), draw(column), polarity, (10, 10))


def make(**changes: Any) -> EventStream:
    fields: dict[str, Any] = {"t": [1, 2], "x": [0, 1], "y": [2, 3], "p": [True, False]}
    return EventStream(**(fields | {"sensor": (4, 4)} | changes))


@given(streams(), st.lists(st.integers(0, 30), max_size=5).map(sorted))
def test_cut_then_join_is_identity(stream: EventStream, cuts: list[int]) -> None:
    edges = [0, *cuts, None]
    parts = [stream[a:b] for a, b in pairwise(edges)]
    joined = EventStream.join(parts)
    assert np.array_equal(joined.to_tonic(), stream.to_tonic())
    assert joined.sensor == stream.sensor


@given(streams(), st.integers(0, 2**50), st.integers(0, 2**50))
def test_between_is_half_open(stream: EventStream, start: int, stop: int) -> None:
    expected = [t for t in stream.t.tolist() if start <= t < stop]
    assert stream.between(start, max(start, stop)).t.tolist() == expected


@pytest.mark.parametrize("name", DTYPES)
def test_foreign_dtypes_are_read_by_field_name(name: str) -> None:
    array = np.zeros(2, DTYPES[name])
    fields = array.dtype.names
    array["x"], array["y"] = [3, 0], [1, 2]
    array["timestamp" if "timestamp" in fields else "t"] = [5, 1_600_000_000_000_000]
    array["polarity" if "polarity" in fields else "p" if "p" in fields else "on"] = [1, 0]
    stream = EventStream.from_array(array)
    assert stream.to_tonic().tolist() == [(3, 1, 5, True), (0, 2, 1_600_000_000_000_000, False)]
    assert stream.sensor == (4, 3)


def test_negative_polarity_is_off() -> None:
    array = np.array([(1, 0, 0, -1), (2, 0, 0, 1)], [(n, "<i8") for n in "txyp"])
    stream = EventStream.from_array(array)
    assert stream.p.tolist() == [False, True]
    assert stream.sign().tolist() == [-1, 1]


def test_fractions_of_a_microsecond_are_rounded() -> None:
    array = np.array([(1.4, 0, 0, 1), (1.6, 0, 0, 1)], [(n, "<f8") for n in "txyp"])
    assert EventStream.from_array(array).t.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ((np.nan, 0, 0, 1), "event 1 has t=nan"),
        ((np.inf, 0, 0, 1), "event 1 has t=inf"),
        ((1.0, -1, 0, 1), "event 1 has x=-1.0"),
        ((1.0, 0, 65536, 1), "event 1 has y=65536.0"),
        ((1.0, 0, 0.5, 1), "event 1 has y=0.5"),
        ((1.0, np.nan, 0, 1), "event 1 has x=nan"),
    ],
)
def test_numbers_that_are_not_events(event: tuple[float, ...], expected: str) -> None:
    array = np.array([(0.0, 0, 0, 1), event], [(n, "<f8") for n in "txyp"])
    with pytest.raises(InputFileError, match=re.escape(expected)):
        EventStream.from_array(array)


def test_missing_fields_and_empty_arrays() -> None:
    with pytest.raises(UsageError, match="no field p / polarity / on"):
        EventStream.from_array(np.zeros(1, [("t", "i8"), ("x", "u2"), ("y", "u2")]))
    with pytest.raises(UsageError, match="give sensor="):
        EventStream.from_array(np.zeros(0, TONIC_DTYPE))
    assert len(EventStream.from_array(np.zeros(0, TONIC_DTYPE), (3, 3))) == 0


def test_disorder_and_outsiders_are_named() -> None:
    with pytest.raises(InputFileError, match="event 2 at 3 us follows 4 us"):
        make(t=[1, 4, 3], x=[0] * 3, y=[0] * 3, p=[True] * 3)
    with pytest.raises(InputFileError, match="event 1 at x=1, y=3 is outside the 4x3 sensor"):
        make(sensor=(4, 3))
    with pytest.raises(UsageError, match="one length, got 3, 2, 2, 2"):
        make(t=[1, 2, 3])


def test_arrays_are_read_only_and_not_shared_with_the_caller() -> None:
    t = np.array([1, 2])
    stream = make(t=t)
    t[0] = 99
    assert stream.t.tolist() == [1, 2]
    for name in "txyp":
        with pytest.raises(ValueError, match="read-only"):
            getattr(stream, name)[0] = 1
    assert [getattr(stream, n).dtype for n in "txyp"] == [np.int64, np.uint16, np.uint16, np.bool_]


def test_a_view_of_a_buffer_does_not_change_under_the_stream() -> None:
    buffer = np.arange(10)
    stream = make(t=buffer[3:5])
    buffer[:] = 0
    assert stream.t.tolist() == [3, 4]


def test_join_needs_parts_of_one_sensor() -> None:
    with pytest.raises(UsageError, match="at least one part"):
        EventStream.join([])
    with pytest.raises(UsageError, match="share one sensor"):
        EventStream.join([make(), make(sensor=(5, 5))])
    with pytest.raises(InputFileError, match="event 2 at 1 us follows 2 us"):
        EventStream.join([make(), make()])


def test_duration_counts_the_last_microsecond() -> None:
    assert make().duration_us == 2
    assert EventStream.empty((4, 4)).duration_us == 0
    assert repr(make()) == "EventStream(2 events, 4x4, 0.000 s)"
