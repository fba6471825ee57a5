"""Recordings in a folder or in a zip archive, seen alike."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from neurovlm.core.errors import InputFileError
from neurovlm.events.io import read
from neurovlm.events.io.source import Sensor
from neurovlm.events.stream import EventStream


@dataclass(frozen=True)
class Files:
    """Names of the files in a folder or an archive, relative to ``root``, sorted.

    Attributes
    ----------
    root
        The folder or the zip archive.
    names
        Hidden files are left out.
    """

    root: Path
    names: tuple[PurePosixPath, ...]

    def loader(self, name: PurePosixPath, sensor: Sensor | None) -> Callable[[], EventStream]:
        """Return what reads one file; events up to 10 ms late are put in order."""
        if self.root.is_dir():
            return partial(read, self.root / name, sensor=sensor, sort=True)
        return partial(_read_member, self.root, str(name), sensor)

    def text(self, name: PurePosixPath) -> str:
        """Content of one text file."""
        if self.root.is_dir():
            return (self.root / name).read_text(encoding="utf-8-sig")
        with _archive(self.root) as archive:
            return archive.read(str(name)).decode("utf-8-sig")


def list_files(root: Path) -> Files:
    """List what lies in a folder and its folders, or in a zip archive.

    Raises
    ------
    InputFileError
        When there is no such folder, or the file is no zip archive.
    """
    if root.is_dir():
        found = (
            PurePosixPath(*path.relative_to(root).parts)
            for path in root.rglob("*")
            if path.is_file()
        )
    elif root.exists():
        with _archive(root) as archive:
            members = archive.namelist()
        found = (PurePosixPath(name) for name in members if not name.endswith("/"))
    else:
        raise InputFileError(f"{root}: no such folder or zip archive; give the data set's folder")
    visible = (name for name in found if not any(part.startswith(".") for part in name.parts))
    return Files(root, tuple(sorted(visible, key=natural)))


def natural(name: PurePosixPath) -> tuple[tuple[int, int | str], ...]:
    """Sort key by which ``2.bin`` comes before ``10.bin``."""
    stems = (*name.parent.parts, name.stem, name.suffix)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in stems)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"{path}: neither a folder nor a zip archive; give the data set's folder"
        ) from error
    with archive:
        yield archive


def _read_member(root: Path, name: str, sensor: Sensor | None) -> EventStream:
    """Extract one member, because recordings are read in several passes over a file."""
    with _archive(root) as archive, TemporaryDirectory() as folder:
        try:
            path = Path(archive.extract(name, folder))
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise InputFileError(f"{root}: {name} cannot be extracted: {error}") from error
        try:
            return read(path, sensor=sensor, sort=True)
        except InputFileError as error:
            message = str(error).replace(str(path), f"{root}/{name}")
            raise InputFileError(message) from error
