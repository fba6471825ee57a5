"""Labelled clips in memory, seen through the spiking front end; and their files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError

UNKNOWN = -1
"""Label of a clip that shows no class: it teaches boxes only."""

FRAME_EVERY = 4
"""A frame is kept for every fourth window: 10 frames per second at 25 ms."""


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """A ``(T, 3, 126, 126)`` array of counts, of which about 1 % are not zero.

    Attributes
    ----------
    cell
        uint32 ``(m,)``, ascending flat indices of the counts that are not zero.
    count
        uint8 ``(m,)``, those counts.
    shape
        Shape of the whole.
    """

    cell: NDArray[np.uint32]
    count: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def from_dense(cls, counts: NDArray[np.uint8]) -> SparseCounts:
        """Keep what is not zero."""
        cell = np.flatnonzero(counts)
        return cls(cell.astype(np.uint32), counts.ravel()[cell], counts.shape)

    def dense(self, first: int = 0, last: int | None = None) -> NDArray[np.uint8]:
        """Windows ``first <= w < last`` as an array."""
        last = self.shape[0] if last is None else last
        per_window = prod(self.shape[1:])
        start, stop = np.searchsorted(self.cell, [first * per_window, last * per_window])
        counts = np.zeros((last - first, *self.shape[1:]), np.uint8)
        counts.ravel()[self.cell[start:stop] - first * per_window] = self.count[start:stop]
        return counts


_ARRAYS = (
    "changed",
    "score",
    "frames",
    "label",
    "truth",
    "boxes",
    "length",
    "group",
    "other",
    "share",
)


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips seen through the front end, padded to one length with empty windows.

    Attributes
    ----------
    counts
        Per clip, see `neurovlm.frontend.detect.FrontendResult`.
    changed
        bool ``(n, T, 196)``.
    score
        uint8 ``(n, T, 196)``.
    frames
        uint8 ``(n, T // FRAME_EVERY, 224, 224, 3)``, or None.
    slots
        What is true of each clip; empty where no caption is known.
    label
        int64 ``(n,)``; `UNKNOWN` where the clip shows no class.
    truth
        bool ``(n, T, 196)``, patches that did change (scenes only): an oracle's mask.
    boxes
        float32 ``(n, T, K, 4)``, see `neurovlm.events.scenes.SceneClip`; NaN where unseen.
    length
        int64 ``(n,)``, windows of each clip; None: all have T.
    group
        int64 ``(n,)``, person or recording: what must not be split.
    other, share
        int64 and float32 ``(n,)``: a clip into which ``share`` of another was mixed is of class
        ``other`` by that much, and of ``label`` by the rest. None: nothing was mixed.
    """

    counts: tuple[SparseCounts, ...]
    changed: NDArray[np.bool_]
    score: NDArray[np.uint8]
    frames: NDArray[np.uint8] | None
    slots: tuple[dict[str, str], ...]
    label: NDArray[np.int64]
    truth: NDArray[np.bool_] | None = None
    boxes: NDArray[np.float32] | None = None
    length: NDArray[np.int64] | None = None
    group: NDArray[np.int64] | None = None
    other: NDArray[np.int64] | None = None
    share: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def n_windows(self) -> int:
        """Windows of the longest clip."""
        return self.changed.shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Windows of each clip."""
        if self.length is None:
            return np.full(len(self), self.n_windows)
        return self.length

    def __getitem__(self, part: slice) -> ClipSet:
        """Some of the clips, in their order."""
        values: dict[str, Any] = {
            f.name: None if getattr(self, f.name) is None else getattr(self, f.name)[part]
            for f in fields(self)
        }
        return ClipSet(**values)

    @classmethod
    def join(cls, parts: Sequence[ClipSet]) -> ClipSet:
        """All clips of ``parts``; an optional array is kept where every part has it."""
        longest = max(part.n_windows for part in parts)

        def windows(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            if any(array is None for array in arrays):
                return None
            return np.concatenate([_lengthened(array, longest, np.nan) for array in arrays])

        def rows(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if any(a is None for a in arrays) else np.concatenate(arrays)

        return cls(
            counts=tuple(_padded(c, longest) for part in parts for c in part.counts),
            changed=windows("changed"),
            score=windows("score"),
            frames=rows("frames"),
            slots=tuple(slots for part in parts for slots in part.slots),
            label=rows("label"),
            truth=windows("truth"),
            boxes=windows("boxes"),
            length=np.concatenate([part.lengths for part in parts]),
            group=rows("group"),
            other=rows("other"),
            share=rows("share"),
        )

    def save(self, path: Path) -> None:
        """Write one ``.npz``, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        arrays |= {
            "cell": np.concatenate([c.cell for c in self.counts]),
            "count": np.concatenate([c.count for c in self.counts]),
            "n_cells": np.array([len(c.cell) for c in self.counts]),
            "shape": np.array(self.counts[0].shape),
            "slots": np.array(json.dumps(self.slots)),
        }
        partial = path.with_suffix(f".{os.getpid()}.partial")  # others may render it too
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> ClipSet:
        """Read what `save` wrote.

        Raises
        ------
        InputFileError
            When the file is damaged or something else.
        """
        try:
            with path.open("rb") as opened, np.load(opened) as file:
                arrays = dict(file)
            ends = np.cumsum(arrays.pop("n_cells"))
            shape = tuple(arrays.pop("shape").tolist())
            cells, counts = (np.split(arrays.pop(k), ends[:-1]) for k in ("cell", "count"))
            slots = tuple(json.loads(str(arrays.pop("slots"))))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputFileError(f"{path}: cannot read the clips: {error}; delete it") from error
        sparse = tuple(SparseCounts(a, b, shape) for a, b in zip(cells, counts, strict=True))
        return cls(sparse, slots=slots, frames=arrays.pop("frames", None), **arrays)


def _padded(counts: SparseCounts, n_windows: int) -> SparseCounts:
    return SparseCounts(counts.cell, counts.count, (n_windows, *counts.shape[1:]))


def _lengthened(array: NDArray[Any], n: int, nothing: float) -> NDArray[Any]:
    """``(clips, windows, ...)`` with empty windows appended."""
    missing = [(0, 0), (0, n - array.shape[1])] + [(0, 0)] * (array.ndim - 2)
    empty = nothing if array.dtype.kind == "f" else 0
    return np.pad(array, missing, constant_values=empty)
