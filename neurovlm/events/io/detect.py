"""Which format a file has: its first bytes decide, then its extension, then what it looks like."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from neurovlm.core.errors import InputFileError
from neurovlm.events.io import aedat2, aedat4, arrays, bs2, es, prophesee, text, video
from neurovlm.events.io.source import Source, opened

READABLE = (
    "AEDAT 2.0 (.aedat), AEDAT4 (.aedat4), Event Stream (.es), Prophesee DAT, EVT2 and EVT3 "
    "(.dat, .raw), .bs2, CSV, npy, npz; video: MP4, AVI, Matroska, WebM"
)
_HEAD_BYTES = 1 << 16
_EXTENSIONS = {
    "AEDAT 2.0": (".aedat", ".aedat2"),
    "AEDAT4": (".aedat4", ".aedat"),
    "Event Stream": (".es",),
    "EVT2": (".raw", ".evt2"),
    "EVT3": (".raw", ".evt3"),
    "DAT": (".dat",),
    ".bs2": (".bs2", ".bin"),
    "CSV": (".csv", ".txt", ".tsv"),
    "npy": (".npy",),
    "npz": (".npz",),
    **video.EXTENSIONS,
}
_FOREIGN = {
    b"#!AER-DAT3": "AEDAT 3",
    b"#!AER-DAT1": "AEDAT 1",
    b"\x89HDF": "HDF5",
    b"#ROSBAG": "a ROS bag",
    b"RIFF": "a sound or picture",
}


def open_source(path: Path, seed: int) -> tuple[Source, tuple[str, ...]]:
    """Find out the format and read the header.

    Parameters
    ----------
    path
        The file.
    seed
        Of the camera simulated where the file is a video.

    Returns
    -------
    The source, and a note if the extension belongs to another format.

    Raises
    ------
    InputFileError
        When there is no such file, it cannot be opened, is empty, or has no format we read.
    """
    head = _head(path)
    film = video.video_format(head)
    if film is not None:
        source = video.open_video(path, film, seed)
    else:
        source = _by_magic(path, head) or _by_look(path, head)
    expected = _EXTENSIONS[source.format]
    extension = path.suffix.lower()
    if not extension or extension in expected:
        return source, ()
    return source, (f"the content is {source.format}, although the name ends in {extension}",)


def _head(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputFileError(f"{path}: cannot be opened: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise InputFileError(f"{path}: a directory; give one recording file in it")
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{path}: not a regular file; copy the recording to a file first")
    with opened(path) as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise InputFileError(f"{path}: empty file (0 bytes); record or copy it again")
    return head


def _by_magic(path: Path, head: bytes) -> Source | None:
    if head.startswith(b"#!AER-DAT2"):
        return aedat2.open_aedat2(path)
    if head.startswith(aedat4.MAGIC.rstrip()):
        return aedat4.open_aedat4(path)
    if head.startswith(es.MAGIC):
        return es.open_es(path)
    if head.startswith(b"\x93NUMPY"):
        return arrays.open_npy(path)
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head.startswith(b"% "):
        return _prophesee(path)
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise InputFileError(f"{path}: {name}, which is not read; readable: {READABLE}")
    return None


def _zip(path: Path) -> Source:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith(".npy") for name in archive.namelist()):
                raise InputFileError(f"{path}: a zip archive; extract it and give one file of it")
    return arrays.open_npz(path)


def _prophesee(path: Path) -> Source | None:
    header = prophesee.read_header(path)
    if header.encoding is not None:
        return prophesee.open_evt(path, header)
    if "version" in header.fields or path.suffix.lower() == ".dat":
        return prophesee.open_dat(path, header)
    if path.suffix.lower() == ".raw":
        return prophesee.open_evt(path, header)
    return None


def _by_look(path: Path, head: bytes) -> Source:
    """Try the formats without a mark of their own: text, then ``.bs2``."""
    extension = path.suffix.lower()
    if text.looks_like_text(head) or (extension in _EXTENSIONS["CSV"] and b"\0" not in head):
        return text.open_text(path)
    if extension in _EXTENSIONS[".bs2"]:
        return bs2.open_bs2(path, head)
    if path.stat().st_size % bs2.RECORD_BYTES == 0 and bs2.looks_like_bs2(head):
        return bs2.open_bs2(path, head)
    claimed = [name for name, extensions in _EXTENSIONS.items() if extension in extensions]
    if claimed:
        raise InputFileError(
            f"{path}: named like {' or '.join(claimed)}, but the content is not (first bytes "
            f"{head[:8].hex(' ')}); corrupt, or another format. Readable: {READABLE}"
        )
    raise InputFileError(
        f"{path}: unknown format (first bytes {head[:8].hex(' ')}); readable: {READABLE}"
    )
