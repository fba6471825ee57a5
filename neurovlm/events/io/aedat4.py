"""AEDAT4 files: events and frames, decoded by aedat.

aedat hands events over as they are in the file; faery moves late events to the time before them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.frames import Frame, frame_from_decoder
from neurovlm.events.io.source import Columns, Source, decoded, opened

MAGIC = b"#!AER-DAT4.0\r\n"
_COMPRESSION, _TABLE_POSITION = 0, 1  # fields of the file's first flatbuffer, IOHeader
_LZ4 = (1, 2)


def open_aedat4(path: Path) -> Source:
    """Read an AEDAT4 file: its first event stream, and its first frame stream if any.

    Raises
    ------
    InputFileError
        When the file is cut, its header is corrupt, or it holds no events.
    """
    closed = _check_ends(path)
    first = next(decoded(path, "aedat", lambda: [_decoder(path).id_to_stream()], lambda _: 0))
    events = [(key, stream) for key, stream in sorted(first.items()) if stream["type"] == "events"]
    frames = [key for key, stream in sorted(first.items()) if stream["type"] == "frame"]
    if not events:
        kinds = ", ".join(sorted(stream["type"] for stream in first.values())) or "no stream"
        raise InputFileError(f"{path}: AEDAT4 without an event stream (it holds {kinds})")
    stream_id, stream = events[0]
    notes = []
    if not closed:
        notes.append("the recording was not closed properly; its end may be missing")
    if len(events) > 1:
        notes.append(f"{len(events)} event streams in the file; the first is read")
    return Source(
        "AEDAT4",
        lambda: _columns(path, stream_id),
        (int(stream["width"]), int(stream["height"])),
        tuple(notes),
        (lambda: _frames(path, frames[0])) if frames else None,
    )


def _columns(path: Path, stream_id: int) -> Iterator[Columns]:
    for packet in decoded(path, "aedat", lambda: _decoder(path), _n_events):
        if "events" in packet and packet["stream_id"] == stream_id:
            events = packet["events"]
            yield Columns(events["t"].astype(np.int64), events["x"], events["y"], events["on"])


def _frames(path: Path, stream_id: int) -> Iterator[Frame]:
    for packet in decoded(path, "aedat", lambda: _decoder(path), _n_events):
        if "frame" in packet and packet["stream_id"] == stream_id:
            yield frame_from_decoder(int(packet["frame"]["t"]), packet["frame"]["pixels"])


def _decoder(path: Path) -> Any:
    import aedat

    return aedat.Decoder(path)


def _n_events(packet: dict[str, Any]) -> int:
    return len(packet["events"]) if "events" in packet else 0


def _check_ends(path: Path) -> bool:
    """Refuse a file that is cut in its header, packets or packet table.

    The packets stand between the header and the table that lists them; the header says where the
    table starts. Returns False for a recording that never got its table.
    """
    size = path.stat().st_size
    compression, table = _header(path, size)
    if table < 0:
        return False
    if table >= size:
        raise InputFileError(
            f"{path}: truncated: it ends at byte {size}, its packets at byte {table}; "
            "copy the file again"
        )
    ended = compression not in _LZ4 or _lz4_frame_ends(path, table)
    if not ended or not _table_is_readable(path):
        raise InputFileError(
            f"{path}: truncated: the packet table at byte {table} is cut or corrupt (the file ends "
            f"at byte {size}); copy the file again"
        )
    return True


def _lz4_frame_ends(path: Path, start: int) -> bool:
    """Say whether the LZ4 frame from byte ``start`` to the end of the file is whole.

    Decoders do not miss the end mark and checksum when they have what they want before it.
    Layout: LZ4 Frame Format 1.6.
    """
    with opened(path) as file:
        file.seek(start)
        frame = file.read()
    if len(frame) < 7:
        return False
    flags = frame[4]
    place = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    while block := int.from_bytes(frame[place : place + 4], "little") & 0x7FFF_FFFF:
        place += 4 + block + (4 if flags & 0x10 else 0)
    return len(frame) == place + 4 + (4 if flags & 0x04 else 0)


def _table_is_readable(path: Path) -> bool:
    import faery  # aedat does not look at the table

    try:
        with faery.aedat.Decoder(path) as decoder:
            decoder.file_data_definitions()
    except RuntimeError:
        return False
    return True


def _header(path: Path, size: int) -> tuple[int, int]:
    """Compression and table position: scalar fields of a flatbuffer, through its vtable."""
    with opened(path) as file:
        start = file.read(len(MAGIC) + 4)
        n_bytes = int.from_bytes(start[len(MAGIC) :], "little")
        if len(start) < len(MAGIC) + 4 or len(start) + n_bytes > size:
            raise InputFileError(
                f"{path}: truncated or corrupt: the header should take {n_bytes} bytes from byte "
                f"{len(start)}, the file ends at byte {size}; copy the file again"
            )
        header = file.read(n_bytes)
    try:
        (table,) = struct.unpack_from("<I", header, 0)
        (to_vtable,) = struct.unpack_from("<i", header, table)
        vtable = table - to_vtable
        (vtable_bytes,) = struct.unpack_from("<H", header, vtable)
        fields = struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", header, vtable + 4)
        compression = _scalar("<i", header, table, fields, _COMPRESSION, default=0)
        position = _scalar("<q", header, table, fields, _TABLE_POSITION, default=-1)
    except struct.error as error:
        raise InputFileError(
            f"{path}: corrupt header at byte {len(MAGIC)}: {error}; copy the file again"
        ) from error
    return compression, position


def _scalar(
    layout: str, data: bytes, table: int, fields: tuple[int, ...], index: int, default: int
) -> int:
    if index >= len(fields) or not fields[index]:
        return default
    return int(struct.unpack_from(layout, data, table + fields[index])[0])
