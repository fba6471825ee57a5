"""Bad input gets one line that says what, where, what was got, and what to do."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.io import Frame, open_recording, read
from neurovlm.events.io.source import decoded
from neurovlm.events.stream import EventStream

Write = Callable[[str, EventStream], Path]
FORMATS = (
    "AEDAT 2.0",
    "AEDAT4",
    "AEDAT4 uncompressed",
    "Event Stream",
    "DAT",
    "EVT2",
    "EVT3 by faery",
    ".bs2",
    "CSV",
    "npy",
    "npz",
)
EVENT_BYTES = {
    "AEDAT 2.0": 8,
    "Event Stream": 5,
    "DAT": 8,
    "EVT2": 4,
    "EVT3 by faery": 2,
    ".bs2": 5,
}


def refused(path: Path, **options: object) -> str:
    """The message, checked to be one line that starts with the file's name."""
    with pytest.raises(InputFileError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert caught.value.exit_code == 3
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.aedat4")


def test_directory(tmp_path: Path) -> None:
    assert "a directory; give one recording file" in refused(tmp_path)


def test_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.es")
    assert "not a regular file" in refused(tmp_path / "pipe.es")


def test_unreadable_file(
    tmp_path: Path, stream: EventStream, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(".bs2", stream)
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: let the system call refuse
        original = Path.open

        def refuse(self: Path, *args: object, **options: object) -> object:
            if self == path:
                raise PermissionError(13, "Permission denied")
            return original(self, *args, **options)

        monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in refused(path)


@pytest.mark.parametrize("name", FORMATS)
def test_empty_file(name: str, stream: EventStream, write: Write) -> None:
    path = write(name, stream)
    path.write_bytes(b"")
    assert "empty file (0 bytes)" in refused(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", [1, 3])
def test_a_cut_at_the_end(name: str, cut: int, stream: EventStream, write: Write) -> None:
    path = write(name, stream)
    data = path.read_bytes()
    if name == "CSV":
        cut += 1  # the last line keeps its four columns if only the line end goes
    path.write_bytes(data[:-cut])
    message = refused(path)
    assert "truncated" in message
    size = len(data) - cut
    if name in EVENT_BYTES:  # the place is the first byte of the record that is cut
        n_rest = -cut % EVENT_BYTES[name]
        assert f"at byte {size - n_rest} " in message
        assert f"{n_rest} of {EVENT_BYTES[name]}" in message


@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_anywhere_is_refused_or_a_valid_shorter_file(
    name: str, stream: EventStream, write: Write
) -> None:
    short = stream[:6]
    path = write(name, short)
    data = path.read_bytes()
    sizes = {*range(1, len(data), max(1, len(data) // 100)), *range(len(data) - 16, len(data))}
    for size in sorted(sizes):
        path.write_bytes(data[:size])
        try:
            got = read(path, sensor=short.sensor)
        except InputFileError as error:
            assert "\n" not in str(error)
        else:
            whole = np.array_equal(got.to_tonic(), short[: len(got)].to_tonic())
            assert whole or (name == "CSV" and b"\n" not in data[size:-1])
            assert name not in ("AEDAT4", "AEDAT4 uncompressed", "npy", "npz")


@pytest.mark.parametrize(
    ("name", "place"),
    [("AEDAT4", 60), ("Event Stream", 15), ("DAT", -500 * 8 - 1), ("npy", 40), ("npz", 10)],
)
def test_a_corrupt_header(name: str, place: int, stream: EventStream, write: Write) -> None:
    path = write(name, stream)
    data = bytearray(path.read_bytes())
    data[place : place + 40] = np.random.default_rng(3).bytes(40)
    path.write_bytes(data)
    assert refused(path)


def test_aedat4_whose_header_length_exceeds_the_file(stream: EventStream, write: Write) -> None:
    path = write("AEDAT4", stream)
    data = bytearray(path.read_bytes())
    data[14:18] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    assert "the header should take 2147483648 bytes" in refused(path)


@pytest.mark.parametrize("name", [*FORMATS, "no extension"])
def test_noise(name: str, stream: EventStream, write: Write, tmp_path: Path) -> None:
    path = tmp_path / "noise" if name == "no extension" else write(name, stream)
    path.write_bytes(np.random.default_rng(5).bytes(20_000))
    message = refused(path)
    assert ".bs2" in message  # either the list of readable formats, or why it is not .bs2


@pytest.mark.parametrize("name", ["AEDAT4", "npz", "Event Stream", "AEDAT 2.0"])
def test_noise_in_the_middle(name: str, stream: EventStream, write: Write) -> None:
    path = write(name, stream)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = np.random.default_rng(5).bytes(64)
    path.write_bytes(data)
    message = refused(path)
    assert "corrupt" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.aedat", b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n"),
        ("r.es", b"Event Stream\x02\x00\x00\x01\x80\x00\x80\x00"),
        ("r.raw", b"% evt 3.0\n% geometry 640x480\n"),
        ("r.dat", b"% Version 2\n% Width 640\n% Height 480\n\x0c\x08"),
        ("r.raw", b"% evt 2.0\n% geometry 640x480\n" + struct.pack("<I", 8 << 28)),
    ],
)
def test_no_events(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert "holds no events" in refused(path)


def test_no_events_in_numpy_files(tmp_path: Path) -> None:
    empty = EventStream.empty((4, 4))
    np.save(tmp_path / "r.npy", empty.to_tonic())
    assert "holds no events" in refused(tmp_path / "r.npy")
    (tmp_path / "r.csv").write_text("t,x,y,p\n")
    assert "no line of numbers" in refused(tmp_path / "r.csv")


@pytest.mark.parametrize("name", ["AEDAT4", "EVT2", "CSV", "npz", ".bs2"])
def test_an_event_outside_the_sensor(name: str, stream: EventStream, write: Write) -> None:
    i = int(np.flatnonzero(stream.x >= 90)[0])
    message = refused(write(name, stream), sensor=(90, 128), chunk_events=3)
    assert f"event {i} at x={stream.x[i]}, y={stream.y[i]} is outside the 90x128" in message
    assert "--sensor WxH" in message


def test_an_event_outside_the_sensor_named_in_the_file(stream: EventStream, write: Write) -> None:
    path = write("EVT2", stream)
    path.write_bytes(path.read_bytes().replace(b"128x128", b"127x128"))
    i = int(np.flatnonzero(stream.x == 127)[0])
    assert f"event {i} at x=127" in refused(path)


def test_an_impossible_dvs128_address_is_named_by_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "r.aedat"
    header = b"#!AER-DAT2.0\r\n"
    path.write_bytes(header + struct.pack(">6I", 2, 10, 4, 11, 0x00F00002, 12))
    assert f"the record at byte {len(header) + 16} has the address 0xf00002" in refused(path)


def test_aedat2_of_another_camera(tmp_path: Path) -> None:
    path = tmp_path / "r.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n")
    assert "DAVIS240C; only DVS128" in refused(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"#!AER-DAT3.1\r\n", "AEDAT 3, which is not read"),
        (b"\x89HDF\r\n\x1a\n", "HDF5, which is not read"),
        (b"#ROSBAG V2.0\n", "a ROS bag, which is not read"),
        (b"PK\x05\x06" + bytes(18), "unknown format"),
        (b"% evt 2.1\n\x00\x00", "got evt2.1"),
        (b"% Version 2\n\x0e\x08" + bytes(8), "DAT of event type 0xe"),
        (b"Event Stream\x02\x00\x00\x04" + bytes(8), "Event Stream of type 4"),
        (b"hello world\nthis is text\n", "unknown format"),
    ],
)
def test_a_known_but_unread_format(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "recording.unknown"
    path.write_bytes(content)
    assert expected in refused(path)


def test_a_zip_of_recordings(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.csv", "1,2,3,0\n")
    assert "a zip archive; extract it" in refused(path)


def test_an_aedat4_recording_that_was_not_closed_is_read_with_a_note(
    stream: EventStream, write: Write
) -> None:
    path = write("AEDAT4", stream)
    data = bytearray(path.read_bytes())
    table = _table_field(data)
    (position,) = struct.unpack_from("<q", data, table)
    data[table : table + 8] = struct.pack("<q", -1)
    path.write_bytes(data[:position])
    recording = open_recording(path)
    assert "not closed properly" in recording.notes[0]
    assert np.array_equal(read(path).t, stream.t)
    path.write_bytes(data[: position - 5])
    assert "aedat stops after 0 events" in refused(path)


class PanicException(BaseException):
    """Stands for the class of a Rust panic, which no module exports."""


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("bad magic\n\nin line 2"), "corrupt or truncated: decoder stops after 5"),
        (PanicException("index out of bounds"), "after 5 events: index out of bounds"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_what_a_decoding_library_raises(raised: BaseException, expected: str) -> None:
    def packets() -> Iterator[int]:
        yield from (2, 3)
        raise raised

    with pytest.raises(InputFileError) as caught:
        list(decoded(Path("r.es"), "decoder", packets, lambda n: n))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError])
def test_what_is_not_the_fault_of_the_file_passes(raised: type[BaseException]) -> None:
    def packets() -> Iterator[int]:
        raise raised
        yield 1

    with pytest.raises(raised):
        list(decoded(Path("r.es"), "decoder", packets, lambda n: n))


def _table_field(data: bytearray) -> int:
    """Byte of the field ``dataTablePosition`` in the first flatbuffer of an AEDAT4 file."""
    base = 18
    table = base + struct.unpack_from("<I", data, base)[0]
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return table + int(struct.unpack_from("<H", data, vtable + 6)[0])


def test_frames_of_a_recording_without_frames(stream: EventStream, write: Write) -> None:
    with pytest.raises(UsageError, match="without frames"):
        open_recording(write("AEDAT4", stream)).frames()


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.array([[0.0, np.nan]]), r"pixel \(0, 1\) is NaN"),
        (np.zeros((2, 2)), "must be uint8, got float64"),
        (np.zeros((2, 2, 4), np.uint8), r"got \(2, 2, 4\)"),
        (np.zeros((0, 2), np.uint8), r"got \(0, 2\)"),
    ],
)
def test_a_bad_frame(pixels: np.ndarray, expected: str) -> None:
    with pytest.raises(InputFileError, match=rf"frame at 12 us: .*{expected}"):
        Frame(12, pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"sensor": (0, 4)},
        {"start_s": -1.0},
        {"stop_s": float("nan")},
        {"start_s": 2.0, "stop_s": 1.0},
        {"chunk_events": 0},
    ],
)
def test_a_wrong_argument(options: dict[str, object], stream: EventStream, write: Write) -> None:
    with pytest.raises(UsageError, match="got"):
        open_recording(write(".bs2", stream), **options)
