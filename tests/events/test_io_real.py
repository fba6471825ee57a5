"""Real recordings: counts and durations as published with them, and independent decoders."""

from __future__ import annotations

import csv
import io
import zipfile
from itertools import pairwise
from pathlib import Path

import faery
import numpy as np
import pytest

from neurovlm.events.io import open_recording, read
from neurovlm.events.windows import iter_windows, window_bounds

# file, format, sensor, events, seconds: from the data folder's README
RECORDINGS = [
    ("davis346_traffic/davis346.aedat4", "AEDAT4", (346, 260), 78_830, 2.36),
    ("dvxplorer_person/data_sample.aedat4", "AEDAT4", (320, 240), 323_963, 1.46),
    ("spinning_object_320x240/dvs.es", "Event Stream", (320, 240), 473_225, 1.00),
    ("sparks_640x480/evt2.raw", "EVT2", (640, 480), 521_252, 0.096),
    ("driving_1280x720/evt3_sample.raw", "EVT3", (1280, 720), 219_596, 0.0088),
    ("dvs128_person/alex_walking_again.aedat", "AEDAT 2.0", (128, 128), 19_182, 6.9),
    ("dvs128_person/cam255_alex_standing_up.aedat", "AEDAT 2.0", (128, 128), 290_292, 25.1),
]
OBJECTS = ["Caixa", "Caneca", "Celular", "Estilete", "Lapiseira", "Mouse", "Tesoura"]
GESTURES = [1, 2, 3, 4, 6, 8, 9]


@pytest.mark.parametrize(
    ("name", "kind", "sensor", "n", "seconds"), RECORDINGS, ids=[r[0] for r in RECORDINGS]
)
def test_recordings(
    name: str, kind: str, sensor: tuple[int, int], n: int, seconds: float, data_dir: Path
) -> None:
    recording = open_recording(data_dir / "events_recordings" / name, chunk_events=100_000)
    assert (recording.format, recording.sensor) == (kind, sensor)
    chunks = list(recording.chunks())
    assert sum(map(len, chunks)) == n
    assert all(int(a.t[-1]) <= int(b.t[0]) for a, b in pairwise(chunks))
    digits = 4 if seconds < 0.01 else 3 if seconds < 0.1 else 2 if seconds < 3 else 1
    assert round((int(chunks[-1].t[-1]) - int(chunks[0].t[0])) / 1e6, digits) == seconds


def test_the_evt_files_say_where_their_sensor_comes_from(data_dir: Path) -> None:
    folder = data_dir / "events_recordings"
    for name in ("sparks_640x480/evt2.raw", "driving_1280x720/evt3_sample.raw"):
        (note,) = open_recording(folder / name).notes
        assert "taken from the camera in its header" in note


@pytest.mark.parametrize("name", [r[0] for r in RECORDINGS if not r[0].endswith(".aedat")])
def test_faery_agrees(name: str, data_dir: Path) -> None:
    path = data_dir / "events_recordings" / name
    ours = read(path)
    theirs = faery.events_stream_from_file(path).to_array()
    for field, values in (("x", ours.x), ("y", ours.y), ("on", ours.p)):
        assert np.array_equal(theirs[field], values)
    lifted = theirs["t"].astype(np.int64) - ours.t
    if "evt3" in name:
        # faery holds every time at the highest time word so far, also where the word was a
        # glitch of 11 us that no event carries
        assert lifted.min() == 0
        assert lifted.max() <= 11
    else:
        assert not lifted.any()


def test_frames_of_the_traffic_recording(data_dir: Path) -> None:
    path = data_dir / "events_recordings/davis346_traffic/davis346.aedat4"
    recording = open_recording(path)
    assert recording.has_frames
    frames = list(recording.frames())
    assert len(frames) == 59
    assert {frame.pixels.shape for frame in frames} == {(260, 346)}
    with faery.aedat.Decoder(path) as decoder:  # another library
        expected = [packet for track, packet in decoder if track.data_type == "frame"]
    for frame, other in zip(frames, expected, strict=True):
        assert frame.t_us == other.t
        assert np.array_equal(frame.pixels, other.pixels)
        assert not frame.pixels.flags.writeable
    assert frames[0].t_us < recording.t_first_us  # the first frame precedes the first event
    one = list(open_recording(path, start_s=1.0, stop_s=1.04).frames())
    assert len(one) == 1
    assert 1_000_000 <= one[0].t_us - recording.t_first_us < 1_040_000


@pytest.mark.parametrize(
    "path",
    [
        *(f"events_objects/dvs128_biolab/{name}.aedat" for name in OBJECTS),
        "events_recordings/dvs128_person/alex_walking_again.aedat",
    ],
)
def test_aedat2_against_a_naive_decoder(path: str, data_dir: Path) -> None:
    data = (data_dir / path).read_bytes()
    place = 0
    while data[place : place + 1] == b"#":
        place = data.index(b"\n", place) + 1
    body = data[place:]
    x, y, p, t = bytearray(), bytearray(), bytearray(), []
    for i in range(0, len(body), 8):
        assert body[i] == body[i + 1] == 0  # no address beyond 16 bits
        assert body[i + 2] < 128  # no special event in these files
        y.append(body[i + 2])
        x.append(body[i + 3] >> 1)
        p.append(1 - (body[i + 3] & 1))
        t.append(int.from_bytes(body[i + 4 : i + 8], "big"))
    stream = read(data_dir / path)
    assert bytes(stream.x.astype(np.uint8)) == bytes(x)
    assert bytes(stream.y.astype(np.uint8)) == bytes(y)
    assert bytes(stream.p) == bytes(p)
    assert stream.t.tolist() == t
    assert 17 <= stream.duration_us / 1e6 <= 21 or "alex" in path


@pytest.mark.parametrize("number", GESTURES)
def test_gestures_against_their_labels_and_a_naive_decoder(number: int, data_dir: Path) -> None:
    folder = data_dir / "events_gesture/dvs128_gesture"
    stream = read(folder / f"{number}.bs2")
    with (folder / "labels.csv").open() as file:
        labels = {row["file"]: row for row in csv.DictReader(file)}
    label = labels[f"{number}.bs2"]
    assert len(stream) == int(label["events"])
    assert f"{(stream.t[-1] - stream.t[0]) / 1e6:.3f}" == label["duration_s"]
    assert stream.sensor == (128, 128)
    data = (folder / f"{number}.bs2").read_bytes()
    for i in range(0, len(stream), 97):
        x, y, *time = data[5 * i : 5 * i + 5]
        word = int.from_bytes(bytes(time), "big")
        assert (stream.x[i], stream.y[i], stream.p[i]) == (x, y, word >> 23)
        assert stream.t[i] == word & 0x7FFFFF


def test_nmnist_files(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "events_nmnist/nmnist_small_train1000.zip") as archive:
        names = archive.namelist()
        for name in names[:: len(names) // 20]:
            path = Path(archive.extract(name, tmp_path))
            recording = open_recording(path)
            stream = read(path)
            assert recording.format == ".bs2"
            assert recording.sensor == (34, 34)
            assert len(stream) == path.stat().st_size // 5
            assert 0.28e6 < stream.duration_us < 0.34e6


def test_dvs_sign_files(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "events_gesture/dvs_sign/train_self.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        assert len(names) == 120
        for name in names[::15]:
            path = Path(archive.extract(name, tmp_path))
            recording = open_recording(path)
            assert (recording.format, recording.sensor) == ("CSV", (128, 128))
            assert "time unit assumed to be s " in recording.notes[0]
            rows = list(csv.reader(io.StringIO(path.read_text())))
            stream = read(path)
            assert 9_646 <= len(stream) <= 95_108
            assert stream.t.tolist() == [round(float(row[0]) * 1e6) for row in rows]
            assert stream.x.tolist() == [int(row[1]) for row in rows]
            assert stream.y.tolist() == [int(row[2]) for row in rows]
            assert stream.p.tolist() == [row[3] == "1" for row in rows]


@pytest.mark.parametrize("name", [r[0] for r in RECORDINGS])
def test_windows_of_real_recordings_hold_every_event(name: str, data_dir: Path) -> None:
    path = data_dir / "events_recordings" / name
    whole = read(path)
    windows = list(iter_windows(open_recording(path, chunk_events=9_973).chunks(), 25_000))
    bounds = window_bounds(int(whole.t[0]), int(whole.t[-1]), 25_000)
    assert len(windows) == len(bounds) - 1
    counts, _ = np.histogram(whole.t, [*bounds[:-1], bounds[-1] - 0.5])
    assert [len(window.events) for window in windows] == counts.tolist()
