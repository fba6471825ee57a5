"""Augmentations as published recipes combine them."""

from __future__ import annotations

from neurovlm.training.augment import (
    Affine,
    Augment,
    DropArea,
    DropEvents,
    DropTime,
    Shift,
    Sometimes,
    SpatialJitter,
    TimeJitter,
    TimeSkew,
    compose,
)

EVENT_SSM = compose(
    TimeJitter(5.0),
    SpatialJitter(0.3),
    DropEvents(0.05),
    TimeSkew(1.12),
    Sometimes(0.3, (DropTime(0.02),)),
    Shift(32, wrap=True),
    Affine(max_degrees=10, max_scale=1.2),
)
"""For gestures, after Event-SSM (Schöne et al. 2024), which mixes clips with CutMix besides."""

SPIKING_PATCHES = Sometimes(
    6 / 7,
    (
        DropArea(0.5),
        DropTime(0.5),
        DropEvents(0.5),
        Affine(max_shear=0.2),
        Shift(16, wrap=True),
        Affine(max_degrees=15),
    ),
)
"""One of seven, of which one is nothing: the kinds of Spiking Patches, which mirrors (`mirrored`)
and mixes clips first. Of the strengths only the share of the area is theirs."""

DIGITS = compose(
    DropEvents(0.1), Shift(2), Affine(max_degrees=10, max_scale=1.1, max_shear=0.1), TimeSkew(1.1)
)
"""For N-MNIST, 34 x 34 pixels: small, and without mirroring, which digits do not survive."""

VARIATIONS: dict[str, Augment] = {
    "event-ssm": EVENT_SSM,
    "spiking-patches": SPIKING_PATCHES,
    "digits": DIGITS,
}
"""By the names that a training recipe gives them."""
