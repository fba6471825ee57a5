"""AEDAT 2.0 files of a DVS128, as jAER writes them.

``#`` header lines, then eight bytes an event, big-endian: uint32 address, uint32 time in
microseconds. Address bit 15 marks special events; x = bits 1-7, y = bits 8-14, bit 0 = 0 is ON
(jAER, "AEDAT 2.0 format"). x and y are kept as written; jAER's display mirrors x.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.records import Clock, check_whole, read_blocks, unwrap
from neurovlm.events.io.source import Columns, Source, opened

RECORD_BYTES = 8
SENSOR = (128, 128)
_RECORD = np.dtype([("address", ">u4"), ("t", ">u4")])
_SPECIAL = 0x8000


def open_aedat2(path: Path) -> Source:
    """Read an AEDAT 2.0 file.

    Raises
    ------
    InputFileError
        When the camera is not a DVS128, the last record is cut, or an address is impossible.
    """
    offset, chip = _header(path)
    if chip is not None and not chip.upper().endswith("DVS128"):
        raise InputFileError(
            f"{path}: AEDAT 2.0 of the camera {chip}; only DVS128 addresses are known: "
            "export the recording as AEDAT4 or CSV"
        )
    check_whole(path, offset, RECORD_BYTES)
    n_special = sum(int(_special(block).sum()) for block in read_blocks(path, offset, _RECORD))
    notes = (f"{n_special} special events (no pixel) left out",) if n_special else ()
    return Source("AEDAT 2.0", lambda: _columns(path, offset), SENSOR, notes)


def _header(path: Path) -> tuple[int, str | None]:
    """Byte offset of the first event, and the camera named in the header."""
    offset, chip = 0, None
    with opened(path) as file:
        while (line := file.readline()).startswith(b"#"):
            offset += len(line)
            key, _, value = line.lstrip(b"# ").partition(b":")
            if key == b"AEChip":
                chip = value.strip().decode("ascii", "replace")
    return offset, chip


def _special(block: NDArray[Any]) -> NDArray[np.bool_]:
    special: NDArray[np.bool_] = (block["address"] & _SPECIAL) != 0
    return special


def _columns(path: Path, offset: int) -> Iterator[Columns]:
    clock, n_before = Clock(), 0
    for block in read_blocks(path, offset, _RECORD):
        t, clock = unwrap(block["t"], 32, 1, clock)
        pixel = ~_special(block)
        address = block["address"].astype(np.uint32)
        bad = np.flatnonzero(pixel & (address > _SPECIAL))
        if len(bad):
            i = int(bad[0])
            raise InputFileError(
                f"{path}: corrupt: the record at byte {offset + RECORD_BYTES * (n_before + i)} "
                f"has the address {address[i]:#x}, but a DVS128 address has 15 bits; "
                "use --stop to read only what comes before it"
            )
        address = address[pixel]
        yield Columns(t[pixel], address >> 1 & 127, address >> 8 & 127, address & 1 == 0)
        n_before += len(block)
