"""Test clips of the STTF benchmarks, with masks from several sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import PatchGrid
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.batch import Batch
from neurovlm.training.clips import make_clips
from neurovlm.training.data import ClipSet
from neurovlm.training.read import chunks
from neurovlm.zoo.model import SttfModel

Mask = Literal["hand", "learned", "event count", "truth"]
MASKS: tuple[Mask, ...] = get_args(Mask)
"""The two spiking detectors; patches with `MIN_EVENTS` events or more; patches that really changed
(what no detector can know)."""

MIN_EVENTS = 6


def batches_of_subjects(
    model: SttfModel,
    detector: DetectorConfig,
    subjects: Iterable[int],
    *,
    repetition: int = 0,
    mask: str = "hand",
) -> list[Batch]:
    """One hard clip per subject and label, events only."""
    name: Any = "learned" if mask == "learned" else "hand"
    frontend = Frontend.build(detector, detector=name, window_ms=model.spec.window_ms)
    clips = make_clips(subjects, frontend, with_frames=False, repetition=repetition)
    return list(chunks(model, masked(clips, mask)))


def masked(clips: ClipSet, mask: str) -> ClipSet:
    """The same clips with another source of what changed."""
    if mask == "event count":
        events = np.stack([_patch_counts(each.dense()) for each in clips.counts])
        score = events.clip(max=255).astype(np.uint8)
        return replace(clips, changed=score >= MIN_EVENTS, score=score)
    if mask == "truth":
        assert clips.truth is not None
        # a changed patch the detector gave no score gets one of 1
        score = np.where(clips.truth, np.maximum(clips.score, 1), 0).astype(np.uint8)
        return replace(clips, changed=clips.truth, score=score)
    return clips


def _patch_counts(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Events of each patch in each window, ``(T, N)``."""
    return PatchGrid().to_patches(counts[:, :2].astype(np.int64)).sum(-1)
