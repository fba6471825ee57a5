"""Test clips of the STTF benchmarks as batches, with masks from several sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from neurovlm.core.grid import PatchGrid
from neurovlm.events.scenes import LABELS, clip_seed, render_clip, subject_from_seed
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.data import ClipSet, encode_captions, make_clips
from neurovlm.training.loop import Batch
from neurovlm.zoo.model import SttfModel

Mask = Literal["hand", "learned", "event count", "truth"]
MASKS: tuple[Mask, ...] = get_args(Mask)
"""The two spiking detectors; patches with `MIN_EVENTS` events or more; patches that really changed
(what no detector can know)."""

SIDE_BY_SIDE = 22
MIN_EVENTS = 6


def batches_of_subjects(
    model: SttfModel,
    detector: DetectorConfig,
    subjects: Iterable[int],
    *,
    repetition: int = 0,
    mask: str = "hand",
) -> list[Batch]:
    """One clip per subject and label, events only."""
    name: Any = "learned" if mask == "learned" else "hand"
    frontend = Frontend.build(detector, detector=name, window_ms=model.spec.window_ms)
    subjects = list(subjects)
    clips = make_clips(subjects, frontend, with_frames=False, repetition=repetition)
    if mask == "event count":
        clips = _with_score(clips, np.stack([_patch_counts(each.dense()) for each in clips.counts]))
    elif mask == "truth":
        clips = _with_mask(clips, _truth(subjects, repetition, frontend))
    return batches_of(model, clips)


def _patch_counts(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Events of each patch in each window, ``(T, N)``."""
    return PatchGrid().to_patches(counts[:, :2].astype(np.int64)).sum(-1)


def _with_score(clips: ClipSet, score: NDArray[np.int64]) -> ClipSet:
    most = score.clip(max=255).astype(np.uint8)
    return replace(clips, changed=most >= MIN_EVENTS, score=most)


def _with_mask(clips: ClipSet, changed: NDArray[np.bool_]) -> ClipSet:
    """The truth as mask; patches the detector gave no score get one of 1."""
    score = np.where(changed, np.maximum(clips.score, 1), 0).astype(np.uint8)
    return replace(clips, changed=changed, score=score)


def _truth(subjects: list[int], repetition: int, frontend: Frontend) -> NDArray[np.bool_]:
    return np.stack(
        [
            render_clip(
                label,
                subject_from_seed(subject),
                seed=clip_seed(subject, label, repetition),
                with_frames=False,
                window_ms=frontend.window_us / 1000,
            ).truth
            for subject in subjects
            for label in range(len(LABELS))
        ]
    )


def batches_of(model: SttfModel, clips: ClipSet) -> list[Batch]:
    """All clips, `SIDE_BY_SIDE` at a time, under the model's own limits."""
    policy, batches = model.spec.policy, []
    for first in range(0, len(clips), SIDE_BY_SIDE):
        part = slice(first, first + SIDE_BY_SIDE)
        n = len(clips.label[part])
        batches.append(
            Batch(
                counts=torch.from_numpy(np.stack([each.dense() for each in clips.counts[part]])),
                frames=None,
                changed=torch.from_numpy(clips.changed[part]),
                score=torch.from_numpy(clips.score[part]),
                label=torch.from_numpy(clips.label[part]),
                words=encode_captions(clips.slots[part], model.tokenizer),
                max_active=torch.full((n,), policy.max_active),
                n_refresh=torch.full((n,), policy.n_refresh),
            )
        )
    return batches
