"""Event Stream files (``.es``), decoded by faery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.source import Columns, Source, decoded, opened

MAGIC = b"Event Stream"
_HEADER_BYTES = 20  # magic, three of version, type, width, height
_DVS, _ATIS = 1, 2
_EVENT_BYTES = 5  # time and polarity, x, y
_OVERFLOW_US = 127  # each byte of all ones adds this much time


def open_es(path: Path) -> Source:
    """Read an Event Stream file of DVS or ATIS events.

    Raises
    ------
    InputFileError
        When the header is cut or the events are of another type.
    """
    with opened(path) as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise InputFileError(
            f"{path}: truncated: the header ends at byte {len(header)} of {_HEADER_BYTES}; "
            "copy the file again"
        )
    kind = header[15]
    if kind not in (_DVS, _ATIS):
        raise InputFileError(
            f"{path}: Event Stream of type {kind} at byte 15; only DVS (1) and ATIS (2) are read"
        )
    width, height = np.frombuffer(header[16:20], "<u2").tolist()
    if not width or not height:
        raise InputFileError(f"{path}: corrupt header: sensor {width}x{height} at byte 16")
    return Source("Event Stream", lambda: _columns(path, kind), (width, height))


def _columns(path: Path, kind: int) -> Iterator[Columns]:
    last_t, n_bytes = 0, _HEADER_BYTES
    for packet in decoded(path, "faery", lambda: _packets(path), len):
        t = packet["t"].astype(np.int64)
        n_bytes += _EVENT_BYTES * len(t)
        n_bytes += int((np.diff(t, prepend=last_t) // _OVERFLOW_US).sum())
        last_t = int(t[-1]) if len(t) else last_t
        yield Columns(t, packet["x"], packet["y"], packet["on"])
    if kind == _DVS:
        _check_end(path, n_bytes)


def _packets(path: Path) -> Iterable[NDArray[Any]]:
    import faery  # takes a tenth of a second

    packets: Iterable[NDArray[Any]] = faery.events_stream_from_file(path, file_type="es")
    return packets


def _check_end(path: Path, n_bytes: int) -> None:
    """Refuse a half event at the end, which faery leaves out without a word.

    The events' times and count say how many bytes they took.
    """
    with opened(path) as file:
        file.seek(n_bytes)
        rest = file.read(_EVENT_BYTES + 1).lstrip(b"\xff\xfe")
    if 0 < len(rest) < _EVENT_BYTES:
        raise InputFileError(
            f"{path}: truncated: the event at byte {path.stat().st_size - len(rest)} has "
            f"{len(rest)} of {_EVENT_BYTES} bytes; copy the file again"
        )
