"""Boxes against what is painted: a shape covers pixels in its box and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.events.scenes import BOX_CLASSES, STYLES, render_clip, subject_from_seed
from neurovlm.events.scenes.body import Puppet, capsule
from neurovlm.events.scenes.boxes import puppet_boxes
from neurovlm.events.scenes.clip import perform, pose
from neurovlm.events.scenes.paint import paint

SENSOR = (128, 128)


def disc(x, y, radius):
    at = np.array([[x, y]], float)
    return Puppet(
        capsule(at, at, radius, radius)[:, None], np.ones(1), np.ones((1, 3)), ((0,), (0,), (0,))
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("label", [1, 2, 5, 9])
def test_boxes_hold_exactly_the_painted_pixels(style, label):
    performance = perform(label, subject_from_seed(label), seed=7, style=style)
    t_us = np.arange(0, 1_000_000, 130_000)
    puppet = pose(performance, t_us)
    boxes, compared = puppet_boxes(puppet, SENSOR), 0
    for k, part in enumerate(puppet.parts):
        alone = puppet.capsules[:, list(part)]
        values = np.ones((len(part), 1))
        images = paint(np.zeros((126, 126, 1), np.float32), alone, values, (126.0, 126.0))
        for image, box in zip(images[..., 0] > 0.5, boxes[:, k], strict=True):
            if not ((box > 0) & (box < 126)).all():  # cut at the border, or not seen
                continue
            rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
            seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            np.testing.assert_allclose(box, seen, atol=1.01)
            compared += 1
    assert compared >= 8


def test_a_disc_by_hand():
    np.testing.assert_allclose(puppet_boxes(disc(10, -20, 5), SENSOR)[0, 0], (68, 38, 78, 48))
    np.testing.assert_allclose(puppet_boxes(disc(63, 0, 5), SENSOR)[0, 0], (121, 58, 126, 68))
    assert np.isnan(puppet_boxes(disc(63.5, 0, 5), SENSOR)).all()
    wide = puppet_boxes(disc(10, -20, 5), (346, 260))[0, 0]  # 260 pixels see 128 units
    np.testing.assert_allclose(wide, (np.array((5, -25, 15, -15)) / 128 + 0.5) * 126, rtol=1e-6)


def test_a_mirrored_puppet_exchanges_the_hands():
    puppet = pose(perform(1, subject_from_seed(2), seed=3), np.arange(0, 500_000, 100_000))
    here, there = puppet_boxes(puppet, SENSOR), puppet_boxes(puppet.mirrored(), SENSOR)
    swapped = 126 - there[:, [0, 2, 1]][..., [2, 1, 0, 3]]
    swapped[..., [1, 3]] = there[:, [0, 2, 1]][..., [1, 3]]
    np.testing.assert_allclose(here, swapped, atol=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_a_clip_carries_boxes_of_the_window_ends(style):
    clip = render_clip(
        2, subject_from_seed(5), seed=9, style=style, duration_s=0.3, with_frames=False
    )
    performance = perform(2, subject_from_seed(5), seed=9, style=style)
    ends_us = clip.start_us + clip.window_us * np.arange(1, clip.n_windows + 1)
    assert clip.boxes.shape == (clip.n_windows, len(BOX_CLASSES), 4)
    assert clip.boxes.dtype == np.float32
    np.testing.assert_array_equal(clip.boxes, puppet_boxes(pose(performance, ends_us), SENSOR))
