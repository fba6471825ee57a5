"""DVS128 Gesture (Amir et al., CVPR 2017) as Tonic unpacks it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.datasets.sample import LabelledSet, Sample
from neurovlm.events.scenes.caption import FLIP, LABELS
from neurovlm.events.stream import EventStream

Split: TypeAlias = Literal["train", "validation", "test"]
PEOPLE: dict[str, range] = {
    "train": range(1, 21),
    "validation": range(21, 24),
    "test": range(24, 30),
}
"""Who is in each split; a person is in one only."""

_FOLDER = {"train": "ibmGestureTrain", "validation": "ibmGestureTrain", "test": "ibmGestureTest"}
_RECORDING = re.compile(r"user(\d+)_(.+)")
_SENSOR = (128, 128)


def dvs128_gesture(folder: str | Path, split: Split = "train") -> LabelledSet:
    """Clips of the 11 gestures by 29 people, with the label map for mirrored clips.

    The files are those of ``tonic.datasets.DVSGesture``: the original recordings cut at their
    labels, 1,077 clips of people 1-23 in ``ibmGestureTrain`` and 264 of people 24-29 in
    ``ibmGestureTest`` (counts of that loader; other loaders cut otherwise and count 1,176 and
    288). People 21-23 are set aside as validation. Nothing is downloaded.

    Parameters
    ----------
    folder
        Holds ``ibmGestureTrain/user01_fluorescent/0.npy`` and so on, directly or in a folder
        ``DVSGesture``, which Tonic makes. Each file is an array ``(n, 4)`` with columns x, y,
        polarity and time in milliseconds, and is named after its label.
    split
        Which people.

    Returns
    -------
    Clips of 128 x 128 pixels, labels as in `neurovlm.events.scenes.LABELS`; a group is a person.

    Raises
    ------
    InputFileError
        When the folder is not there, holds no clip of these people, or a file has another layout.
    UsageError
        When there is no such split.
    """
    if split not in PEOPLE:
        raise UsageError(f"split must be one of {', '.join(PEOPLE)}, got {split!r}")
    root = _root(Path(folder), _FOLDER[split])
    samples = []
    for recording in sorted(root.iterdir()):
        person = _person(recording)
        if person not in PEOPLE[split]:
            continue
        for path in sorted(recording.glob("*.npy")):
            load = partial(_read, path)
            samples.append(Sample(str(path), load, _label(path), f"user{person:02}"))
    if not samples:
        people = PEOPLE[split]
        raise InputFileError(
            f"{root}: no clips of people {people[0]}-{people[-1]} ({split}); unpack the whole "
            "archive again"
        )
    return LabelledSet(f"DVS128 Gesture, {split}", LABELS, tuple(samples), FLIP)


def _root(folder: Path, part: str) -> Path:
    for root in (folder / part, folder / "DVSGesture" / part):
        if root.is_dir():
            return root
    raise InputFileError(
        f"{folder}: no DVS128 Gesture, expected {part}/user01_fluorescent/0.npy and so on; get "
        "it with tonic.datasets.DVSGesture(save_to=folder), or from the data set's own page, "
        "https://research.ibm.com/interactive/dvsgesture/"
    )


def _person(recording: Path) -> int:
    match = _RECORDING.fullmatch(recording.name)
    return int(match[1]) if match and recording.is_dir() else 0


def _label(path: Path) -> int:
    if not path.stem.isdecimal() or int(path.stem) >= len(LABELS):
        raise InputFileError(
            f"{path}: clips are named 0.npy to {len(LABELS) - 1}.npy after their label; rename or "
            "remove it"
        )
    return int(path.stem)


def _read(path: Path) -> EventStream:
    try:
        events = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputFileError(f"{path}: cannot be read as an array: {error}") from error
    if events.ndim != 2 or events.shape[1] != 4:
        raise InputFileError(
            f"{path}: should be an array (n, 4) of x, y, polarity, milliseconds, got shape "
            f"{events.shape}; unpack the archive again"
        )
    if len(events) == 0:
        raise InputFileError(f"{path}: holds no events; unpack the archive again")
    x, y, p, t_ms = events.T
    order = np.argsort(t_ms, kind="stable")
    t_us = np.rint(t_ms[order].astype(np.float64) * 1000).astype(np.int64)
    try:
        return EventStream(t_us, x[order], y[order], p[order] > 0, _SENSOR)
    except InputFileError as error:
        raise InputFileError(f"{path}: {error}") from error
