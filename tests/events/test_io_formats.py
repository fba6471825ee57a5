"""Every format comes back as it was written; the readers of our own agree with naive loops."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faery
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import InputFileError
from neurovlm.events.io import open_recording, read
from neurovlm.events.io.records import Clock, unwrap
from neurovlm.events.stream import EventStream

SENSOR = (128, 96)
FORMATS = (
    "AEDAT 2.0",
    "AEDAT4",
    "AEDAT4 uncompressed",
    "Event Stream",
    "DAT",
    "DAT by faery",
    "DAT 1 by faery",
    "EVT2",
    "EVT2 by faery",
    "EVT3 by faery",
    ".bs2",
    "CSV",
    "CSV in seconds",
    "npy",
    "npz",
)


def same(a: EventStream, b: EventStream) -> bool:
    return a.sensor == b.sensor and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp"
    )


@st.composite
def streams(draw: st.DrawFn) -> EventStream:
    n = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    step = draw(st.sampled_from([0, 1, 130, 4_000, 250_000]))
    rng = np.random.default_rng(seed)
    t = draw(st.integers(0, 10_000_000)) + np.cumsum(rng.integers(0, step + 1, n))
    width, height = SENSOR
    x, y = rng.integers(0, width, n), rng.integers(0, height, n)
    return EventStream(t, x, y, rng.random(n) < 0.5, SENSOR)


def test_the_list_of_formats_is_complete(writers: dict[str, Any]) -> None:
    assert set(FORMATS) == set(writers)


@pytest.mark.parametrize("name", FORMATS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stream=streams(), chunk_events=st.integers(1, 70))
def test_round_trip(
    name: str, stream: EventStream, chunk_events: int, tmp_path: Path, writers: dict[str, Any]
) -> None:
    extension, write = writers[name]
    path = tmp_path / f"r.{extension}"
    write(path, stream)
    recording = open_recording(path, sensor=SENSOR, chunk_events=chunk_events)
    assert name.startswith(recording.format)
    chunks = list(recording.chunks())
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_events] * (len(chunks) - 1)
    expected, got = stream, EventStream.join(chunks)
    if name == ".bs2":  # a counter of 8.39 s: the start is known up to a multiple of that
        shift = int(expected.t[0] - got.t[0])
        assert shift % 2**23 == 0
        got = EventStream(got.t + shift, got.x, got.y, got.p, got.sensor)
    assert same(got, expected)
    assert same(EventStream.join(list(recording.chunks())), EventStream.join(chunks))


@pytest.mark.parametrize(
    "name", ["AEDAT4", "Event Stream", "DAT", "EVT2", "EVT3 by faery", "CSV", "npz"]
)
def test_the_sensor_comes_from_the_file(
    name: str, stream: EventStream, write: Callable[[str, EventStream], Path]
) -> None:
    wide = EventStream(stream.t, stream.x, stream.y, stream.p, (200, 131))
    recording = open_recording(write(name, wide))
    assert recording.sensor == (200, 131)
    assert recording.notes == ()


def test_the_smallest_common_sensor_is_assumed_and_said(
    stream: EventStream, write: Callable[[str, EventStream], Path]
) -> None:
    recording = open_recording(write(".bs2", stream))
    assert recording.sensor == (128, 128)
    (note,) = recording.notes
    assert "assumed 128x128" in note
    assert "--sensor WxH" in note
    assert open_recording(recording.path, sensor=(300, 200)).sensor == (300, 200)


def test_a_sensor_larger_than_all_common_ones_holds_the_events(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_text("t[us],x,y,p\n0,1999,3,1\n5,0,1499,0\n")
    assert open_recording(path).sensor == (2000, 1500)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-40, 400), max_size=80),
    st.integers(1, 9),
)
def test_unwrapping_inverts_a_counter(steps: list[int], n_block: int) -> None:
    true = np.cumsum(np.array([0, *steps])) + 40 * len(steps)
    raw = true % 1024
    clock, parts = Clock(), []
    for first in range(0, len(raw), n_block):
        t, clock = unwrap(raw[first : first + n_block], 10, 250, clock)
        parts.append(t)
    # late by at most 40 counts = 10 ms; silence stays below half the range
    assert np.array_equal(np.diff(np.concatenate(parts)), np.diff(true) * 250)


def test_aedat2_leaves_special_events_out_and_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "special.aedat"
    records = [(5 << 8 | 3 << 1, 10), (0x8000 | 7, 11), (6 << 8 | 4 << 1 | 1, 12), (0x8000, 13)]
    path.write_bytes(b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", *r) for r in records))
    recording = open_recording(path)
    assert recording.notes == ("2 special events (no pixel) left out",)
    assert read(path).to_tonic().tolist() == [(3, 5, 10, True), (4, 6, 12, False)]


def test_aedat2_times_start_above_the_signed_range_and_wrap(tmp_path: Path) -> None:
    path = tmp_path / "wrap.aedat"
    times = [4_000_000_000, 2**32 - 1, 0, 7]
    body = b"".join(struct.pack(">II", 0, t) for t in times)
    path.write_bytes(b"#!AER-DAT2.0\r\n" + body)
    assert read(path).t.tolist() == [4_000_000_000, 2**32 - 1, 2**32, 2**32 + 7]


def test_evt3_vectors_triggers_and_repeated_high_words(tmp_path: Path) -> None:
    words = [
        0x2005,  # an event before any time is known: left out
        0x8001,  # high time 1: 4096 us
        0x6002,  # low time 2
        0x0007,  # row 7
        0x2803,  # ON at column 3
        0x8001,  # the same high time again keeps the low time
        0x3064,  # vector base 100, OFF
        0x4801,  # pixels 0 and 11 of twelve: 100 and 111
        0x5081,  # pixels 0 and 7 of the next eight: 112 and 119
        0xA123,  # trigger: skipped
        0x6FFF,  # low time 4095
        0x4001,  # pixel 0 of the next twelve: 120
    ]
    path = tmp_path / "vectors.raw"
    path.write_bytes(b"% evt 3.0\n% geometry 640x480\n" + struct.pack(f"<{len(words)}H", *words))
    assert read(path).to_tonic().tolist() == [
        (3, 7, 4098, True),
        (100, 7, 4098, False),
        (111, 7, 4098, False),
        (112, 7, 4098, False),
        (119, 7, 4098, False),
        (120, 7, 8191, False),
    ]


def test_evt3_state_crosses_read_blocks(
    stream: EventStream,
    write: Callable[[str, EventStream], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write("EVT3 by faery", stream)
    monkeypatch.setattr("neurovlm.events.io.records.BLOCK_RECORDS", 3)
    assert same(read(path), stream)


def test_evt3_keeps_time_where_the_counter_wraps_in_a_gap(tmp_path: Path, writers: Any) -> None:
    t = np.arange(0, 60_000_000, 5_000)  # a high word every 5 ms, so 0xFFF -> 0x000 is skipped
    zero = np.zeros(len(t), np.uint16)
    sparse = EventStream(t, zero, zero, zero > 0, (640, 480))
    path = tmp_path / "sparse.raw"
    writers["EVT3 by faery"][1](path, sparse)
    assert same(read(path), sparse)


def test_evt3_jitter_takes_the_time_before_it_and_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jitter.raw"
    header = b"% evt 3.0\n% geometry 640x480\n"
    words = [0x8000, 0x6014, 0x2001, 0x6009, 0x2002, 0x6020, 0x2003]
    path.write_bytes(header + struct.pack("<7H", *words))
    assert read(path).t.tolist() == [20, 20, 32]
    path.write_bytes(header + struct.pack("<7H", *words[:3], 0x6FFF, 0x2002, 0x6020, 0x2003))
    with pytest.raises(InputFileError, match="event 2 at 32 us follows 4095 us"):
        read(path)


@pytest.mark.parametrize("name", ["DAT", "EVT2", "EVT3 by faery", "Event Stream", "AEDAT4"])
def test_faery_reads_the_same(
    name: str, stream: EventStream, write: Callable[[str, EventStream], Path]
) -> None:
    path = write(name, stream)
    version = {"EVT2": "evt2", "EVT3 by faery": "evt3"}.get(name)
    array = faery.events_stream_from_file(path, version_fallback=version).to_array()
    assert same(EventStream.from_array(array, stream.sensor), read(path))
