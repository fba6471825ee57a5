"""Prophesee files: DAT, EVT2 and EVT3, decoded with NumPy.

faery reads them too and is the reference in the tests, but it moves late events forward to the
time before them without a word, loses 16.8 s where an EVT3 time counter wraps across a gap, and
leaves out a cut last word, so that a damaged file would pass as a good one.

Layouts: Prophesee, "Data encoding formats": DAT, EVT 2.0, EVT 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.evt3 import evt3_columns
from neurovlm.events.io.records import Clock, check_whole, read_blocks, unwrap
from neurovlm.events.io.source import Columns, Sensor, Source, opened

_DAT_RECORD = np.dtype([("t", "<u4"), ("address", "<u4")])
_DAT_EVENT_TYPES = (0x00, 0x0C)  # 2D and CD
_EVT2_TIME_HIGH = 0x8
_GENERATIONS = (
    (re.compile(r"gen3"), (640, 480)),
    (re.compile(r"gen4|imx636"), (1280, 720)),
    (re.compile(r"genx320"), (320, 320)),
)


@dataclass(frozen=True)
class Header:
    """The ``% key value`` lines of a Prophesee file."""

    fields: dict[str, str]
    n_bytes: int

    @property
    def encoding(self) -> str | None:
        """``"evt2"``, ``"evt2.1"``, ``"evt3"``, or None where the header does not say."""
        name = self.fields.get("format", "").partition(";")[0].lower()
        if name.startswith("evt"):
            return "evt2.1" if name == "evt21" else name
        version = self.fields.get("evt", "")
        return f"evt{version.removesuffix('.0')}" if version else None

    @property
    def sensor(self) -> Sensor | None:
        """``(width, height)`` where the header says it."""
        text = ";".join(f"{key}={value}" for key, value in self.fields.items()).lower()
        if found := re.search(r"geometry=(\d+)x(\d+)", text):
            return int(found[1]), int(found[2])
        width, height = (re.search(rf"{side}=(\d+)", text) for side in ("width", "height"))
        return (int(width[1]), int(height[1])) if width and height else None

    @property
    def t0_us(self) -> int:
        """Offset of all times; faery writes it."""
        text = self.fields.get("t0", "0")
        return int(text) if text.isdigit() else 0

    def camera_sensor(self) -> tuple[Sensor, str] | None:
        """Sensor of the camera generation that the plug-in name tells, and that name."""
        plugin = self.fields.get("plugin_name", "")
        return next(((s, plugin) for pattern, s in _GENERATIONS if pattern.search(plugin)), None)


def read_header(path: Path) -> Header:
    """Read the text lines at the start of a Prophesee file; keys in lower case."""
    fields: dict[str, str] = {}
    n_bytes = 0
    with opened(path) as file:
        while (line := file.readline(4096)).startswith(b"%") and line.endswith(b"\n"):
            n_bytes += len(line)
            key, _, value = line.decode("latin-1").lstrip("% ").strip().partition(" ")
            if key.lower() == "end":
                break
            fields[key.lower()] = value.strip()
    return Header(fields, n_bytes)


def open_evt(path: Path, header: Header) -> Source:
    """Read an EVT2 or EVT3 file.

    Raises
    ------
    InputFileError
        For another EVT version, or when the last word is cut.
    """
    encoding = header.encoding
    if encoding not in ("evt2", "evt3"):
        raise InputFileError(
            f"{path}: Prophesee header without a known encoding (got {encoding}); EVT2 and EVT3 "
            "are read: convert the file with Prophesee's tools"
        )
    check_whole(path, header.n_bytes, 4 if encoding == "evt2" else 2)
    decode = _evt2_columns if encoding == "evt2" else evt3_columns
    sensor = header.sensor
    notes: tuple[str, ...] = ()
    if sensor is None and (camera := header.camera_sensor()):
        sensor, plugin = camera
        notes = (
            f"no sensor size in the file: {sensor[0]}x{sensor[1]} taken from the camera in its "
            f"header ({plugin}); --sensor WxH overrides",
        )
    return Source(
        encoding.upper(), lambda: decode(path, header.n_bytes, header.t0_us), sensor, notes
    )


def open_dat(path: Path, header: Header) -> Source:
    """Read a DAT file of pixel events, version 1 or 2.

    Raises
    ------
    InputFileError
        When the events are of another type, or the last record is cut.
    """
    with opened(path) as file:
        file.seek(header.n_bytes)
        kind = file.read(2)
    if len(kind) < 2:
        raise InputFileError(
            f"{path}: truncated: it ends at byte {header.n_bytes + len(kind)}, within the header; "
            "copy the file again"
        )
    if kind[0] not in _DAT_EVENT_TYPES or kind[1] != _DAT_RECORD.itemsize:
        raise InputFileError(
            f"{path}: DAT of event type {kind[0]:#x} with {kind[1]} bytes an event (at byte "
            f"{header.n_bytes}); pixel events (0x0 or 0xc, 8 bytes) are read"
        )
    offset = header.n_bytes + 2
    check_whole(path, offset, _DAT_RECORD.itemsize)
    shifts = (9, 17, 17) if header.fields.get("version", "2").startswith("1") else (14, 28, 28)
    return Source("DAT", lambda: _dat_columns(path, offset, header.t0_us, shifts), header.sensor)


def _dat_columns(
    path: Path, offset: int, t0_us: int, shifts: tuple[int, int, int]
) -> Iterator[Columns]:
    """Address, low bits first: x, y, polarity; ``shifts`` = first bit of y, bit after y, of p."""
    y_bit, y_end, p_bit = shifts
    clock = Clock()
    for block in read_blocks(path, offset, _DAT_RECORD):
        t, clock = unwrap(block["t"], 32, 1, clock)
        address = block["address"]
        x = (address & ((1 << y_bit) - 1)).astype(np.uint16)
        y = (address >> y_bit & ((1 << (y_end - y_bit)) - 1)).astype(np.uint16)
        yield Columns(t + t0_us, x, y, (address >> p_bit & 1).astype(bool))


def _evt2_columns(path: Path, offset: int, t0_us: int) -> Iterator[Columns]:
    """32-bit words: type 0 OFF, 1 ON (6 low time bits, x, y), 8 the 28 high time bits."""
    clock, high = Clock(), None
    for words in read_blocks(path, offset, "<u4"):
        kind = words >> 28
        is_high = kind == _EVT2_TIME_HIGH
        known, clock = unwrap(words[is_high] & 0x0FFFFFFF, 28, 1 << 6, clock)
        latest = np.cumsum(is_high)
        steps = np.concatenate([[0 if high is None else high], known])
        event = (kind <= 1) & ((latest > 0) | (high is not None))
        cd = words[event]
        t = steps[latest[event]] + (cd >> 22 & 0x3F)
        yield Columns(t + t0_us, cd >> 11 & 0x7FF, cd & 0x7FF, cd >> 28 == 1)
        if len(known):
            high = int(known[-1])
