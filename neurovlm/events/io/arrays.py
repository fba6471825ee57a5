"""NumPy files: a structured array with named fields, or an npz with arrays t, x, y, p.

Members are read in blocks, from the file or from the zip archive, never whole.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.events.io.numbers import from_numbers, infer_unit
from neurovlm.events.io.source import Columns, Sensor, Source, opened

_BLOCK = 1 << 17
_ALIASES = {
    "t": ("t", "timestamp", "ts"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "polarity", "on", "pol"),
}
_READ_HEADER: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, Any]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_Place: TypeAlias = tuple[str | None, str | None]  # member of the archive, field of its array
_CORRUPT = (
    *(ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile, NotImplementedError),
    *(SyntaxError, tokenize.TokenError),  # an array's header is a Python literal
)


def open_npy(path: Path) -> Source:
    """Read a structured ``.npy`` array by field name.

    Raises
    ------
    InputFileError
        When the array is not one-dimensional with fields t, x, y, p, or is cut.
    """
    dtype, _ = _header(path, None)
    return _source(path, "npy", _names(path, None, dtype), None)


def open_npz(path: Path) -> Source:
    """Read an ``.npz`` archive: arrays t, x, y, p, or one structured array with these fields.

    ``sensor`` (width, height), or ``width`` and ``height``, may stand beside them.

    Raises
    ------
    InputFileError
        When the archive is cut or corrupt, or holds no such arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    except _CORRUPT as error:
        raise InputFileError(
            f"{path}: truncated or corrupt archive: {error}; copy the file again"
        ) from error
    columns: dict[str, _Place] = {field: (name, None) for field, name in _find(members).items()}
    if len(columns) == len(_ALIASES):
        lengths = {field: _header(path, member)[1] for field, (member, _) in columns.items()}
        if len(set(lengths.values())) != 1:
            raise InputFileError(f"{path}: t, x, y, p must have one length, got {lengths}")
        return _source(path, "npz", columns, _sensor(path, members))
    for member in members:
        dtype, _ = _header(path, member)
        if dtype.names:
            fields = _names(path, member, dtype)
            return _source(path, "npz", fields, _sensor(path, members))
    raise InputFileError(
        f"{path}: holds the arrays {', '.join(members) or 'none'}; expected t, x, y, p, or one "
        "structured array with these fields"
    )


def _source(path: Path, name: str, places: dict[str, _Place], sensor: Sensor | None) -> Source:
    first = next(_columns_as_stored(path, places), None)
    unit = "us"
    notes: tuple[str, ...] = ()
    if first is not None and not np.issubdtype(first["t"].dtype, np.integer):
        unit, note = infer_unit(first["t"])
        notes = (f"{note}; store int64 microseconds to be sure",)
    return Source(name, lambda: _columns(path, places, unit), sensor, notes)


def _columns(path: Path, places: dict[str, _Place], unit: str) -> Iterator[Columns]:
    n = 0
    for block in _columns_as_stored(path, places):
        try:
            yield from_numbers(*(block[name] for name in "txyp"), unit=unit, n_before=n)
        except InputFileError as error:
            raise InputFileError(f"{path}: {error}") from None
        n += len(block["t"])


def _columns_as_stored(path: Path, places: dict[str, _Place]) -> Iterator[dict[str, NDArray[Any]]]:
    members = {member for member, _ in places.values()}
    with ExitStack() as stack:
        streams = {m: stack.enter_context(closing(_blocks(path, m))) for m in members}
        for blocks in zip(*streams.values(), strict=True):
            block = dict(zip(streams, blocks, strict=True))
            yield {
                field: block[member] if name is None else block[member][name]
                for field, (member, name) in places.items()
            }


def _blocks(path: Path, member: str | None) -> Generator[NDArray[Any], None, None]:
    with ExitStack() as stack:
        try:
            file = _open_member(stack, path, member)
            dtype, n = _read_header(path, file)
            for first in range(0, n, _BLOCK):
                count = min(_BLOCK, n - first)
                data = file.read(count * dtype.itemsize)
                if len(data) < count * dtype.itemsize:
                    raise InputFileError(
                        f"{path}: truncated: it ends within event "
                        f"{first + len(data) // dtype.itemsize} of {n}; copy the file again"
                    )
                yield np.frombuffer(data, dtype)
        except InputFileError:
            raise
        except _CORRUPT as error:
            raise InputFileError(f"{path}: corrupt array: {error}; copy the file again") from error


def _header(path: Path, member: str | None) -> tuple[np.dtype[Any], int]:
    with ExitStack() as stack:
        try:
            return _read_header(path, _open_member(stack, path, member))
        except InputFileError:
            raise
        except _CORRUPT as error:
            raise InputFileError(f"{path}: corrupt header: {error}; copy the file again") from error


def _open_member(stack: ExitStack, path: Path, member: str | None) -> IO[bytes]:
    if member is None:
        return stack.enter_context(opened(path))
    archive = stack.enter_context(zipfile.ZipFile(path))
    return stack.enter_context(archive.open(f"{member}.npy"))


def _read_header(path: Path, file: IO[bytes]) -> tuple[np.dtype[Any], int]:
    """Type and length of a one-dimensional array; leaves the file at its first element."""
    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    if version not in _READ_HEADER:
        raise InputFileError(f"{path}: npy version {version}; versions 1.0 and 2.0 are read")
    shape, _, dtype = _READ_HEADER[version](file)
    if len(shape) != 1 or dtype.hasobject:
        raise InputFileError(
            f"{path}: an array of shape {shape} and type {dtype}; expected one-dimensional "
            "numbers, or a structured array with fields t, x, y, p"
        )
    return dtype, shape[0]


def _names(path: Path, member: str | None, dtype: np.dtype[Any]) -> dict[str, _Place]:
    found = _find(list(dtype.names or ()))
    if len(found) < len(_ALIASES):
        raise InputFileError(
            f"{path}: an array of type {dtype}; expected a structured array with fields t, x, y, p"
        )
    return {field: (member, name) for field, name in found.items()}


def _find(names: list[str]) -> dict[str, str]:
    """Which of ``names`` holds which of t, x, y, p."""
    return {
        field: next(alias for alias in aliases if alias in names)
        for field, aliases in _ALIASES.items()
        if any(alias in names for alias in aliases)
    }


def _sensor(path: Path, members: list[str]) -> Sensor | None:
    names = ["sensor"] if "sensor" in members else ["width", "height"]
    if not set(names) <= set(members):
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            sides = np.ravel([archive[name] for name in names])
    except _CORRUPT as error:
        raise InputFileError(f"{path}: corrupt array: {error}; copy the file again") from error
    if len(sides) != 2 or not np.issubdtype(sides.dtype, np.integer) or (sides < 1).any():
        raise InputFileError(f"{path}: sensor is {sides.tolist()}; expected width and height")
    return int(sides[0]), int(sides[1])
