"""N-MNIST: MNIST digits seen by a moving event camera (Orchard et al. 2015)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.datasets.files import Files, list_files
from neurovlm.events.datasets.sample import LabelledSet, Sample

_DIGITS = tuple("0123456789")
_SENSOR = (34, 34)
_FOLDERS = {"train": "Train", "test": "Test"}


def nmnist(
    path: str | Path, split: Literal["train", "test"] = "train", *, labels: str | Path | None = None
) -> LabelledSet:
    """Digits of 34 x 34 pixels and 0.3 s; five bytes an event. Digits have no mirrored label.

    Parameters
    ----------
    path
        Either the folder of the whole set, with ``Train/0/00002.bin`` and so on, or a folder or
        zip archive of numbered files such as ``1.bs2``, with a list of labels beside it: the
        1,000 samples that SLAYER's tests use come so, with ``train1K.txt``.
    split
        Which folder of the whole set; numbered files have ``"train"`` only.
    labels
        List of labels of numbered files, lines of number and digit. If left out, the one ``.txt``
        file in the folder, or beside the archive.

    Returns
    -------
    The samples; each is a group of its own, because who wrote a digit is not in the files.

    Raises
    ------
    InputFileError
        When there are no samples, a file has no label, or a label no file.
    UsageError
        When there is no such split.
    """
    if split not in _FOLDERS:
        raise UsageError(f"split must be one of {', '.join(_FOLDERS)}, got {split!r}")
    files = list_files(Path(path))
    recordings = [name for name in files.names if name.suffix in (".bin", ".bs2")]
    if not recordings:
        raise InputFileError(
            f"{path}: no N-MNIST, expected {_FOLDERS[split]}/0/00002.bin and so on, or numbered "
            ".bs2 files; get it from https://www.garrickorchard.com/datasets/n-mnist"
        )
    in_folders = {
        name: int(name.parent.name)
        for name in recordings
        if name.parts[-3:-2] == (_FOLDERS[split],) and name.parent.name in _DIGITS
    }
    digits = in_folders or _numbered(files, recordings, split, labels)
    samples = tuple(
        Sample(f"{files.root}/{name}", files.loader(name, _SENSOR), digit, str(name))
        for name, digit in digits.items()
    )
    return LabelledSet(f"N-MNIST, {split}", _DIGITS, samples)


def _numbered(
    files: Files, recordings: list[PurePosixPath], split: str, labels: str | Path | None
) -> dict[PurePosixPath, int]:
    if split != "train":
        raise InputFileError(
            f"{files.root}: no folder {_FOLDERS[split]}; numbered files are training samples"
        )
    digit_of = _read_labels(_label_list(files.root) if labels is None else Path(labels))
    numbers = {name: name.stem for name in recordings}
    for name, number in numbers.items():
        if number not in digit_of:
            raise InputFileError(f"{files.root}: {name} has no label; add a line for it")
    absent = sorted(set(digit_of) - set(numbers.values()))
    if absent:
        raise InputFileError(
            f"{files.root}: sample {absent[0]} is labelled but missing; copy the samples again"
        )
    return {name: digit_of[number] for name, number in numbers.items()}


def _label_list(root: Path) -> Path:
    folder = root if root.is_dir() else root.parent
    lists = sorted(folder.glob("*.txt"))
    if len(lists) != 1:
        raise InputFileError(
            f"{folder}: numbered samples need one list of labels (.txt), found {len(lists)}; give "
            "it (labels)"
        )
    return lists[0]


def _read_labels(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: cannot be read as a list of labels: {error}") from error
    digit_of = {}
    for i, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[1] not in _DIGITS:
            raise InputFileError(f"{path}, line {i}: should be a number and a digit, got {line!r}")
        digit_of[words[0]] = int(words[1])
    return digit_of
