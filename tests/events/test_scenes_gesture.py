"""Gestures: sides, directions, phase relations, speeds and the mirror law."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.events.scenes.caption import FLIP, LABELS
from neurovlm.events.scenes.clip import perform, pose, render_log_luminance, render_rgb, sensor_wall
from neurovlm.events.scenes.gesture import hand_paths
from neurovlm.events.scenes.subject import TEST_SEEDS, TRAIN_SEEDS, subject_from_seed

SUBJECTS = (0, 1, 7, TEST_SEEDS[0], TEST_SEEDS[5])
TIMES_US = np.arange(0, 1_200_000, 5000)
ACTING_HAND = 9


def hand(label, subject, seed):
    """Image path of the hand that acts in a one-armed gesture."""
    capsules = pose(perform(label, subject, seed), TIMES_US).capsules
    return capsules[:, ACTING_HAND, :2]


def turned_rad(path):
    """Angle through which a path goes around its middle; clockwise on the screen is positive."""
    x, y = (path - (path.max(0) + path.min(0)) / 2).T
    return np.unwrap(np.arctan2(y, x))[-1] - np.unwrap(np.arctan2(y, x))[0]


@pytest.mark.parametrize("seed", SUBJECTS)
def test_circles_turn_the_way_their_name_says_as_the_person_sees_it(seed):
    subject = subject_from_seed(seed)
    for label, sign in ((3, -1), (4, 1), (5, -1), (6, 1)):
        assert sign * turned_rad(hand(label, subject, seed)) > 0.9 * 2 * np.pi


@pytest.mark.parametrize("seed", range(30))
def test_a_wave_turns_back_within_a_second_and_a_circle_never_does(seed):
    subject = subject_from_seed(seed)
    t_s = np.arange(0, 1.0, 0.005)
    for label in (1, 3, 4):
        paths = hand_paths(label, subject, subject.slow_hz, t_s, np.random.default_rng(seed))
        velocity = np.diff(paths.right, axis=0)
        bend = np.diff(np.unwrap(np.arctan2(velocity[:, 1], velocity[:, 0])))
        reversals = np.count_nonzero(np.abs(bend) > np.pi / 2)
        curls = {int(c) for c in np.sign(bend[np.abs(bend) < np.pi / 2])}
        if label == 1:
            assert reversals >= 1
            assert curls == {-1, 1}
        else:
            assert reversals == 0
            assert curls == {-1 if label == 3 else 1}


@pytest.mark.parametrize("seed", SUBJECTS)
def test_the_right_arm_is_on_the_image_left(seed):
    subject = subject_from_seed(seed)
    for label, sign in ((1, -1), (3, -1), (4, -1), (2, 1), (5, 1), (6, 1)):
        x = hand(label, subject, seed)[:, 0].mean()
        assert sign * (x - subject.centre[0]) > 0.4 * subject.size


@pytest.mark.parametrize(
    ("label", "axes", "sign"), [(0, (0,), -1), (0, (1,), 1), (7, (0, 1), -1), (8, (0, 1), -1)]
)
def test_phase_relation_of_the_two_hands(label, axes, sign):
    t_s = TIMES_US * 1e-6
    for seed in range(30):
        subject = subject_from_seed(seed)
        paths = hand_paths(label, subject, subject.slow_hz, t_s, np.random.default_rng(seed))
        for axis in axes:
            right, left = paths.right[:, axis], paths.left[:, axis]
            if right.std() > 0.002:
                assert sign * np.corrcoef(right, left)[0, 1] > 0.99


def test_other_gestures_are_parallel_or_roll_to_and_fro():
    t_s = TIMES_US * 1e-6
    kinds = set()
    for seed in range(60):
        subject = subject_from_seed(seed)
        paths = hand_paths(10, subject, subject.slow_hz, t_s, np.random.default_rng(seed))
        moved_right, moved_left = (np.diff(path, axis=0) for path in (paths.right, paths.left))
        same = np.allclose(moved_right, moved_left)
        assert same or np.allclose(moved_right, -moved_left)
        if not same:
            assert abs(turned_rad(paths.right)) < 2 * np.pi
        kinds.add(("parallel" if same else "rolls", bool(np.ptp(paths.right[:, 0]) > 0.25)))
    assert {("parallel", True), ("parallel", False), ("rolls", True)} <= kinds


def test_clapping_hands_meet_and_never_cross():
    t_s = TIMES_US * 1e-6
    for seed in range(30):
        subject = subject_from_seed(seed)
        paths = hand_paths(0, subject, subject.slow_hz, t_s, np.random.default_rng(seed))
        gap = paths.left[:, 0] - paths.right[:, 0]
        assert gap.min() > 0
        assert gap.max() > 2 * gap.min()


def test_every_speed_shows_a_turn_in_a_second_and_the_border_is_empty():
    for seed in (*range(200), *TEST_SEEDS[:200]):
        subject = subject_from_seed(seed)
        assert 1.0 <= subject.slow_hz <= 1.3
        assert 1.9 <= subject.quick_hz < 3.0


@pytest.mark.parametrize("label", range(len(LABELS)))
@pytest.mark.parametrize("seed", [0, 3, 4])
def test_mirrored_scene_is_the_scene_of_the_flipped_label(label, seed):
    subject = subject_from_seed(seed)
    mirror = subject.mirrored()
    t_us = np.arange(0, 400_000, 40_000)
    here, there = perform(label, subject, seed), perform(FLIP[label], mirror, seed)
    seen, twin = (
        render_log_luminance(p, t_us, sensor_wall(p.subject, (128, 128))) for p in (here, there)
    )
    assert np.ptp(seen, axis=0).max() > 0.3
    np.testing.assert_array_equal(seen, twin[:, :, ::-1])
    np.testing.assert_array_equal(render_rgb(here, t_us), render_rgb(there, t_us)[:, :, ::-1])


def test_both_kinds_of_subject_exist_and_mirroring_twice_changes_nothing():
    subjects = [subject_from_seed(seed) for seed in range(50)]
    assert {s.left_handed for s in subjects} == {True, False}
    for subject in subjects:
        assert subject.mirrored().mirrored() == subject
        assert subject.mirrored() != subject


def test_train_and_test_subjects_are_disjoint_and_all_differ():
    assert not set(TRAIN_SEEDS[:10]) & set(TEST_SEEDS)
    assert TRAIN_SEEDS.stop <= TEST_SEEDS.start
    subjects = [subject_from_seed(s) for s in (*TRAIN_SEEDS[:100], *TEST_SEEDS[:100])]
    assert len(set(subjects)) == 200
    assert subject_from_seed(12) == subject_from_seed(12)


def test_polarity_does_not_give_the_direction_away():
    """Signs of the hands' contrast are fair coins, independent of each other."""
    subjects = [subject_from_seed(seed) for seed in range(1000)]
    signs = np.sign([(s.right.hand_contrast, s.left.hand_contrast) for s in subjects])
    bound = 5 / np.sqrt(len(subjects))
    assert np.all(np.abs(signs.mean(0)) < bound)
    assert abs((signs[:, 0] * signs[:, 1]).mean()) < bound


def test_a_pose_depends_on_its_time_alone():
    performance = perform(8, subject_from_seed(2), 5)
    whole = pose(performance, TIMES_US).capsules
    np.testing.assert_array_equal(pose(performance, TIMES_US[50:60]).capsules, whole[50:60])
