"""Order, gaps, cuts in time, and memory."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.io import open_recording, read
from neurovlm.events.io.passes import MAX_LATE_US, blocks, in_order, sort_late
from neurovlm.events.io.source import Columns
from neurovlm.events.stream import EventStream

Write = Callable[[str, EventStream], Path]
PATH = Path("some.file")


def columns(t: list[int] | np.ndarray) -> Columns:
    t = np.asarray(t, np.int64)
    mark = np.arange(len(t), dtype=np.int64)  # tells events of one time apart
    return Columns(t, mark, mark, mark % 2 == 0)


def cut(whole: Columns, sizes: list[int]) -> list[Columns]:
    edges = np.cumsum([0, *sizes, len(whole.t)]).clip(max=len(whole.t))
    return [whole.take(slice(a, b)) for a, b in pairwise(edges)]


def npy(path: Path, t: list[int]) -> Path:
    array = np.zeros(len(t), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
    array["t"] = t
    np.save(path, array)
    return path


@pytest.mark.parametrize("chunk_events", [1, 2, 100])
def test_the_first_event_out_of_order_is_named(chunk_events: int, tmp_path: Path) -> None:
    path = npy(tmp_path / "r.npy", [10, 20, 30, 25, 24])
    with pytest.raises(InputFileError) as caught:
        read(path, chunk_events=chunk_events)
    message = str(caught.value)
    assert message.startswith(f"{path}: events are not in time order: event 3 at 25 us follows 30")
    assert "--sort" in message


@given(st.lists(st.integers(0, 50), min_size=2, max_size=40), st.lists(st.integers(0, 9)))
def test_blocks_do_not_hide_disorder(t: list[int], sizes: list[int]) -> None:
    parts = cut(columns(t), sizes)
    back = np.flatnonzero(np.diff(t) < 0)
    if len(back):
        with pytest.raises(InputFileError, match=rf"event {back[0] + 1} at {t[back[0] + 1]} us"):
            list(in_order(parts, PATH))
    else:
        assert np.array_equal(Columns.join(list(in_order(parts, PATH))).t, t)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 40_000), max_size=60),
    st.lists(st.integers(0, 9), max_size=8),
    st.data(),
)
def test_sorting_puts_late_events_where_a_stable_sort_does(
    times: list[int], sizes: list[int], data: st.DataObject
) -> None:
    delay = [data.draw(st.integers(0, MAX_LATE_US)) for _ in times]
    arrival = np.argsort(np.add(times, delay), kind="stable")  # at most MAX_LATE_US late
    whole = columns(np.array(times, np.int64)[arrival])
    got = Columns.join([columns([]), *sort_late(cut(whole, sizes), PATH)])
    expected = whole.take(np.argsort(whole.t, kind="stable"))
    assert np.array_equal(got.t, expected.t)
    assert np.array_equal(got.x, expected.x)


def test_sorting_refuses_an_event_later_than_its_limit() -> None:
    late = columns([0, 20_000, 10_000, 9_999])
    with pytest.raises(InputFileError, match=r"event 3 at 9999 us is 10001 us late .* at 20000 us"):
        list(sort_late(cut(late, [2]), PATH))


def test_sorting_a_file(tmp_path: Path) -> None:
    path = npy(tmp_path / "r.npy", [50, 20, 30, 70, 60])
    assert read(path, sort=True, chunk_events=2).t.tolist() == [20, 30, 50, 60, 70]
    assert open_recording(path, sort=True).t_first_us == 20


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 20))
def test_blocks_are_of_one_size_and_keep_every_event(sizes: list[int], n_events: int) -> None:
    whole = columns(np.arange(sum(sizes)))
    got = list(blocks(cut(whole, sizes), n_events))
    assert all(len(block.t) == n_events for block in got[:-1])
    assert all(1 <= len(block.t) <= n_events for block in got)
    assert np.array_equal(np.concatenate([[], *(block.t for block in got)]), whole.t)


def test_start_and_stop_count_from_the_first_event(stream: EventStream, write: Write) -> None:
    path = write("AEDAT 2.0", stream)
    t0 = int(stream.t[0])
    got = read(path, start_s=0.02, stop_s=0.06, chunk_events=7)
    assert np.array_equal(got.to_tonic(), stream.between(t0 + 20_000, t0 + 60_000).to_tonic())


def test_start_is_inclusive_and_stop_exclusive(tmp_path: Path) -> None:
    path = npy(tmp_path / "r.npy", [5, 10, 15, 20])
    assert read(path, start_s=5e-6, stop_s=15e-6).t.tolist() == [10, 15]


def test_nothing_between_start_and_stop(stream: EventStream, write: Write) -> None:
    with pytest.raises(UsageError, match="no event between --start and --stop"):
        read(write("AEDAT 2.0", stream), start_s=5)


@pytest.mark.parametrize("chunk_events", [1, 2, 100])
def test_a_jump_of_more_than_an_hour_is_named_with_both_ways_out(
    chunk_events: int, tmp_path: Path
) -> None:
    hour = 3_600_000_000
    path = npy(tmp_path / "r.npy", [1_000, 2_000, 2_000 + hour, 3_001 + 2 * hour])
    with pytest.raises(InputFileError) as caught:
        read(path, chunk_events=chunk_events)
    assert "the time jumps by 1.0 h" in str(caught.value)
    assert "--stop 3600.001001 or --start 7200.002001" in str(caught.value)
    assert len(read(path, stop_s=3600.001001)) == 3
    assert read(path, start_s=7200.002001).t.tolist() == [3_001 + 2 * hour]


def test_disorder_after_stop_is_not_reached(tmp_path: Path) -> None:
    path = tmp_path / "late.bs2"
    times = [*range(0, 1_000_000, 5), 10]
    path.write_bytes(b"".join(struct.pack(">BBBH", 0, 0, t >> 16, t & 0xFFFF) for t in times))
    assert len(read(path, stop_s=0.5)) == 100_000
    with pytest.raises(InputFileError, match="event 200000 at 10 us follows 999995 us"):
        read(path)


@pytest.mark.parametrize(
    ("name", "sort"),
    [("bs2", False), ("bs2", True), ("npy", False), ("raw", False), ("dat", True), ("aedat", True)],
)
def test_memory_does_not_grow_with_the_file(name: str, sort: bool, tmp_path: Path) -> None:
    n, chunk_events = 5_000_000, 50_000
    path = tmp_path / f"long.{name}"
    _write_long(path, n)
    recording = open_recording(path, sensor=(128, 128), sort=sort, chunk_events=chunk_events)
    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in recording.chunks())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == n
    assert peak < 40e6  # the events alone take 13 bytes each: 65 MB


def _write_long(path: Path, n: int) -> None:
    t = np.arange(n, dtype=np.uint32)
    zero = np.zeros(n, np.uint8)
    header = b""
    if path.suffix == ".bs2":
        body = np.stack([zero, zero, t >> 16 & 127, t >> 8 & 255, t & 255], 1).astype(np.uint8)
    elif path.suffix == ".npy":
        body = np.zeros(n, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
        body["t"] = t
        np.save(path, body)
        return
    elif path.suffix == ".raw":
        header = b"% evt 3.0\n"
        body = np.stack([0x8000 | t >> 12 & 0xFFF, 0x6000 | t & 0xFFF, t * 0 + 0x2001], 1)
        body = body.astype("<u2")
    elif path.suffix == ".dat":
        header = b"% Version 2\n\x0c\x08"
        body = np.stack([t, t * 0], 1).astype("<u4")
    else:
        header = b"#!AER-DAT2.0\r\n"
        body = np.stack([t * 0, t], 1).astype(">u4")
    with path.open("wb") as file:
        file.write(header)
        body.tofile(file)
