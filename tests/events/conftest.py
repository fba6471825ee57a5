"""Writers of every recording format, so that readers are tested without shared data.

AEDAT 2.0, .bs2, DAT, EVT2 and CSV are written byte by byte from their descriptions; AEDAT4, ES and
EVT3 by faery.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import faery
import numpy as np
import pytest

from neurovlm.events.stream import EventStream

Writer = Callable[[Path, EventStream], None]


def write_aedat2(path: Path, stream: EventStream) -> None:
    header = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
    path.write_bytes(header + b"".join(aedat2_record(*event) for event in rows(stream)))


def aedat2_record(t: int, x: int, y: int, p: bool) -> bytes:
    return struct.pack(">II", y << 8 | x << 1 | (not p), t % 2**32)


def write_bs2(path: Path, stream: EventStream) -> None:
    path.write_bytes(b"".join(bs2_record(*event) for event in rows(stream)))


def bs2_record(t: int, x: int, y: int, p: bool) -> bytes:
    return bytes([x, y]) + (p << 23 | t % 2**23).to_bytes(3, "big")


def write_dat(path: Path, stream: EventStream) -> None:
    width, height = stream.sensor
    header = f"% Data file containing CD events.\n% Version 2\n% Width {width}\n% Height {height}\n"
    records = (struct.pack("<II", t % 2**32, p << 28 | y << 14 | x) for t, x, y, p in rows(stream))
    path.write_bytes(header.encode() + b"\x0c\x08" + b"".join(records))


def write_evt2(path: Path, stream: EventStream) -> None:
    width, height = stream.sensor
    out = [f"% evt 2.0\n% geometry {width}x{height}\n% end\n".encode()]
    for t, x, y, p in rows(stream):
        out.append(struct.pack("<I", 8 << 28 | t >> 6 & 0x0FFFFFFF))
        out.append(struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y))
    path.write_bytes(b"".join(out))


def write_csv(path: Path, stream: EventStream) -> None:
    width, height = stream.sensor
    lines = [f"t[us],x@{width},y@{height},p", *(f"{t},{x},{y},{p}" for t, x, y, p in rows(stream))]
    path.write_text("\n".join(lines) + "\n")


def write_csv_seconds(path: Path, stream: EventStream) -> None:
    lines = (f"{p} {x} {t / 1e6!r} {y}" for t, x, y, p in rows(stream))
    path.write_text("# polarity x timestamp[s] y\n" + "\n".join(lines) + "\n")


def write_npy(path: Path, stream: EventStream) -> None:
    np.save(path, stream.to_tonic())


def write_npz(path: Path, stream: EventStream) -> None:
    columns = {name: getattr(stream, name) for name in "txyp"}
    np.savez_compressed(path, sensor=stream.sensor, **columns)


def faery_writer(**options: object) -> Writer:
    def write(path: Path, stream: EventStream) -> None:
        array = np.empty(len(stream), faery.EVENTS_DTYPE)
        for name, values in zip(("t", "x", "y", "on"), columns(stream), strict=True):
            array[name] = values
        faery.events_stream_from_array(array, stream.sensor).to_file(path, **options)

    return write


def columns(stream: EventStream) -> list[np.ndarray]:
    return [stream.t, stream.x, stream.y, stream.p]


def rows(stream: EventStream) -> list[tuple[int, int, int, int]]:
    return list(
        zip(*(c.tolist() for c in (stream.t, stream.x, stream.y, stream.p * 1)), strict=True)
    )


WRITERS: dict[str, tuple[str, Writer]] = {
    "AEDAT 2.0": ("aedat", write_aedat2),
    "AEDAT4": ("aedat4", faery_writer()),
    "AEDAT4 uncompressed": ("aedat4", faery_writer(compression=None)),
    "Event Stream": ("es", faery_writer(zero_t0=False)),
    "DAT": ("dat", write_dat),
    "DAT by faery": ("dat", faery_writer(version="dat2")),
    "DAT 1 by faery": ("dat", faery_writer(version="dat1")),
    "EVT2": ("raw", write_evt2),
    "EVT2 by faery": ("raw", faery_writer(version="evt2")),
    "EVT3 by faery": ("raw", faery_writer(version="evt3")),
    ".bs2": ("bs2", write_bs2),
    "CSV": ("csv", write_csv),
    "CSV in seconds": ("csv", write_csv_seconds),
    "npy": ("npy", write_npy),
    "npz": ("npz", write_npz),
}


@pytest.fixture(scope="session")
def writers() -> dict[str, tuple[str, Writer]]:
    """Extension and writer for each format; the name starts with the format's own."""
    return WRITERS


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, EventStream], Path]:
    """Write a stream as ``writers`` names it; returns the file."""

    def write_as(name: str, stream: EventStream) -> Path:
        extension, writer = WRITERS[name]
        path = tmp_path / f"recording.{extension}"
        writer(path, stream)
        return path

    return write_as


@pytest.fixture
def stream() -> EventStream:
    """Five hundred events in 0.1 s on 128 x 128 pixels, corners included."""
    rng = np.random.default_rng(7)
    t = np.sort(rng.integers(1_000, 101_000, 500))
    x, y = rng.integers(0, 128, (2, 500))
    x[:2], y[:2] = (0, 127), (127, 0)
    return EventStream(t, x, y, rng.random(500) < 0.5, (128, 128))
