"""Natural scenes: which way arms turn, bones that keep their length, habits of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.events.scenes import FLIP, clip_seed, render_clip, subject_from_seed
from neurovlm.events.scenes.clip import perform, pose
from neurovlm.events.scenes.figure import bend
from neurovlm.events.scenes.natural import UPPER_SHARE, is_natural_mirrored
from neurovlm.events.scenes.pixel import PixelHabits, lagged, with_afterpulses
from neurovlm.events.stream import EventStream

TIMES_US = np.arange(0, 2_000_000, 5_000)


def palm(label, seed):
    """Path of the acting hand of a one-armed gesture, ``(n, 2)``."""
    puppet = pose(perform(label, subject_from_seed(seed), seed, style="natural"), TIMES_US)
    part = puppet.parts[1] if label in (1, 3, 4) else puppet.parts[2]
    return puppet.capsules[:, part[0], 3:5]


@pytest.mark.parametrize("seed", range(20))
def test_clockwise_is_as_the_person_sees_it(seed):
    for label, sign in ((3, -1), (4, 1), (5, -1), (6, 1)):
        step = np.diff(palm(label, seed), axis=0)
        turned = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        assert sign * (turned[-1] - turned[0]) > 1.5 * np.pi


@pytest.mark.parametrize("seed", range(10))
def test_the_acting_arm_is_on_its_side(seed):
    for label, sign in ((1, -1), (2, 1), (3, -1), (6, 1)):
        performance = perform(label, subject_from_seed(seed), seed, style="natural")
        trunk = pose(performance, TIMES_US)
        middle = trunk.capsules[:, trunk.parts[0][0], 0].mean()
        assert sign * (palm(label, seed)[:, 0].mean() - middle) > 5


def test_most_people_are_right_handed_and_sides_follow_the_label():
    mirrored = np.mean([is_natural_mirrored(9, seed) for seed in range(500)])
    assert 0.05 < mirrored < 0.2
    for label in (1, 2, 3, 4, 5, 6):
        assert is_natural_mirrored(label, 0) != is_natural_mirrored(FLIP[label], 0)


def test_bones_keep_their_length():
    rng = np.random.default_rng(0)
    shoulder, arm = np.array((-0.4, 0.0, 0.0)), 1.3
    elbow, wrist = bend(shoulder, rng.uniform(-1.5, 1.5, (200, 3)), np.array((-1.0, 0.5, 0.1)), arm)
    np.testing.assert_allclose(np.linalg.norm(elbow - shoulder, axis=1), UPPER_SHARE * arm)
    np.testing.assert_allclose(np.linalg.norm(wrist - elbow, axis=1), (1 - UPPER_SHARE) * arm)


def test_within_reach_the_wrist_is_where_it_should_be():
    at = np.array([[0.2, 0.5, 0.4]])
    _, wrist = bend(np.zeros(3), at, np.array((0.0, 1.0, 0.0)), 1.3)
    np.testing.assert_allclose(wrist, at)


def test_a_clip_is_the_same_again_and_other_with_another_seed():
    def clip(seed):
        return render_clip(
            8, subject_from_seed(1), seed=seed, style="natural", duration_s=0.2, with_frames=False
        ).stream

    first = clip(clip_seed(1, 8, 0))
    np.testing.assert_array_equal(first.t, clip(clip_seed(1, 8, 0)).t)
    assert len(first) != len(clip(clip_seed(1, 8, 1)))


def test_lag_is_the_exponential_of_a_low_pass():
    t_us = np.arange(1, 6) * 2000
    seen = lagged(np.ones((5, 1, 1), np.float32), t_us, np.zeros((1, 1), np.float32), 0, 3000.0)
    np.testing.assert_allclose(seen[:, 0, 0], 1 - np.exp(-t_us / 3000.0), rtol=1e-5)


def test_afterpulses_keep_the_events_and_add_their_share():
    rng = np.random.default_rng(1)
    n = 20_000
    t, zero = np.sort(rng.integers(0, 10**9, n)), np.zeros(n, np.uint16)
    events = EventStream(t, zero, zero, np.ones(n, bool), (4, 4))
    more = with_afterpulses(events, PixelHabits(echo=0.1, bounce=0.2), rng)
    assert (more.p.sum() - n) / n == pytest.approx(0.1, abs=0.01)
    assert (~more.p).sum() / n == pytest.approx(0.2, abs=0.01)
    assert set(t) <= set(more.t.tolist())
    assert with_afterpulses(events, PixelHabits(), rng) is events
