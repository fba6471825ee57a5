"""Procedural gesture scenes with exact ground truth."""

from neurovlm.events.scenes.boxes import BOX_CLASSES
from neurovlm.events.scenes.caption import (
    FLIP,
    LABELS,
    caption_of,
    label_slots,
    slots_of,
    vocabulary,
)
from neurovlm.events.scenes.chain import ChainClip, render_chain
from neurovlm.events.scenes.clip import (
    STYLES,
    SceneClip,
    clip_seed,
    dataset,
    demo_clip,
    render_clip,
)
from neurovlm.events.scenes.film import TRUTH_EVENTS, Clip, changed_patches
from neurovlm.events.scenes.motion import MOTIONS
from neurovlm.events.scenes.simple import flicker_patch, moving_square, static_scene
from neurovlm.events.scenes.subject import (
    TEST_SEEDS,
    TRAIN_SEEDS,
    Subject,
    subject_from_seed,
)

__all__ = [
    "BOX_CLASSES",
    "FLIP",
    "LABELS",
    "MOTIONS",
    "STYLES",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "TRUTH_EVENTS",
    "ChainClip",
    "Clip",
    "SceneClip",
    "Subject",
    "caption_of",
    "changed_patches",
    "clip_seed",
    "dataset",
    "demo_clip",
    "flicker_patch",
    "label_slots",
    "moving_square",
    "render_chain",
    "render_clip",
    "slots_of",
    "static_scene",
    "subject_from_seed",
    "vocabulary",
]
