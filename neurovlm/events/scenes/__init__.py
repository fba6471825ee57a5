"""Procedural gesture scenes with exact ground truth."""

from neurovlm.events.scenes.caption import (
    FLIP,
    LABELS,
    caption_of,
    slots_of,
    vocabulary,
)
from neurovlm.events.scenes.clip import SceneClip, clip_seed, dataset, render_clip
from neurovlm.events.scenes.subject import (
    TEST_SEEDS,
    TRAIN_SEEDS,
    Subject,
    subject_from_seed,
)
from neurovlm.events.scenes.truth import TRUTH_EVENTS, changed_patches

__all__ = [
    "FLIP",
    "LABELS",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "TRUTH_EVENTS",
    "SceneClip",
    "Subject",
    "caption_of",
    "changed_patches",
    "clip_seed",
    "dataset",
    "render_clip",
    "slots_of",
    "subject_from_seed",
    "vocabulary",
]
