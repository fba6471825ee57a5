"""Clips: determinism, truth counted again by other means, noise, frames, messages."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import (
    FLIP,
    LABELS,
    TEST_SEEDS,
    TRAIN_SEEDS,
    TRUTH_EVENTS,
    clip_seed,
    dataset,
    demo_clip,
    render_clip,
    slots_of,
    subject_from_seed,
)
from neurovlm.events.scenes.clip import DEMO_PAUSE_US


@pytest.fixture(scope="module")
def clip():
    return render_clip(8, subject_from_seed(3), seed=11)


def counted_again(clip, patch_of):
    """Truth from a plain loop over events; ``patch_of(x, y)`` is a patch or None."""
    counts = Counter()
    columns = (clip.stream.t, clip.stream.x, clip.stream.y, clip.from_scene)
    for t, x, y, real in zip(*(c.tolist() for c in columns), strict=True):
        patch = patch_of(x, y)
        if real and patch is not None:
            counts[(t - clip.start_us) // clip.window_us, patch] += 1
    truth = np.zeros_like(clip.truth)
    for (window, patch), n in counts.items():
        truth[window, patch] = n >= TRUTH_EVENTS
    return truth


def test_truth_is_every_patch_with_enough_scene_events_and_no_other(clip):
    def patch_of(x, y):
        inside = 1 <= x <= 126 and 1 <= y <= 126
        return (y - 1) // 9 * 14 + (x - 1) // 9 if inside else None

    np.testing.assert_array_equal(clip.truth, counted_again(clip, patch_of))
    assert 2 < clip.truth.sum(axis=1).mean() < 60


def test_truth_on_another_sensor():
    clip = render_clip(
        0, subject_from_seed(3), seed=1, sensor=(346, 260), duration_s=0.1, with_frames=False
    )

    def patch_of(x, y):
        column, row = (x - 43) * 126 // 260, y * 126 // 260
        return row // 9 * 14 + column // 9 if 43 <= x < 303 else None

    assert clip.stream.sensor == (346, 260)
    np.testing.assert_array_equal(clip.truth, counted_again(clip, patch_of))
    assert clip.truth.any()


def test_same_seed_same_clip_other_seed_other_clip(clip):
    again = render_clip(8, subject_from_seed(3), seed=11)
    np.testing.assert_array_equal(again.stream.to_tonic(), clip.stream.to_tonic())
    np.testing.assert_array_equal(again.frames, clip.frames)
    np.testing.assert_array_equal(again.truth, clip.truth)
    other = render_clip(8, subject_from_seed(3), seed=12)
    assert not np.array_equal(other.truth, clip.truth)
    assert not np.array_equal(other.frames, clip.frames)


def test_windows_cover_the_stream_once_from_the_first_event(clip):
    assert clip.n_windows == 60
    assert clip.start_us == clip.stream.t[0]
    assert sum(len(clip.window(k)) for k in range(60)) == len(clip.stream)
    assert clip.stream.t[-1] < 1_500_000


def test_frames_are_taken_in_the_middle_of_their_windows(clip):
    assert clip.frames.shape == (60, 224, 224, 3)
    assert clip.frames.dtype == np.uint8
    middle = clip.start_us + 25_000 * np.arange(60) + 12_500
    np.testing.assert_array_equal(clip.frame_t_us, middle)


def test_frames_show_motion_where_the_truth_says_so(clip):
    change = np.abs(np.diff(clip.frames.astype(float), axis=0)).max(axis=(0, 3))
    patches = change.reshape(14, 16, 14, 16).max(axis=(1, 3)).ravel()
    assert patches[clip.truth.any(axis=0)].mean() > 5 * patches[~clip.truth.any(axis=0)].mean()


def test_caption_and_slots_tell_the_truth(clip):
    subject = subject_from_seed(3)
    assert slots_of(clip.caption) == clip.slots
    assert clip.slots["action"] == "drums"
    assert clip.slots["colour"] == subject.colour
    for speed in ("slowly", "quickly"):
        said = render_clip(
            8, subject, seed=11, speed=speed, duration_s=0.1, with_frames=False
        ).slots["speed"]
        assert said == speed


@pytest.mark.parametrize("noise_hz", [0.5, 5.0])
def test_noise_has_the_rate_that_was_asked_for(noise_hz):
    clip = render_clip(1, subject_from_seed(0), seed=2, noise_hz=noise_hz, with_frames=False)
    # 4 hot pixels of 50 Hz come on top
    expected = (noise_hz * 128 * 128 + 4 * 50.0) * 1.5
    assert abs((~clip.from_scene).sum() - expected) < 5 * np.sqrt(expected)


def test_noise_does_not_change_the_scene():
    quiet, loud = (
        render_clip(4, subject_from_seed(6), seed=3, noise_hz=hz, with_frames=False)
        for hz in (0.1, 5.0)
    )
    for name in "txyp":
        np.testing.assert_array_equal(
            getattr(quiet.stream, name)[quiet.from_scene],
            getattr(loud.stream, name)[loud.from_scene],
        )


def test_unless_given_noise_is_drawn_between_a_tenth_and_five_hertz():
    rates = []
    for seed in range(12):
        clip = render_clip(9, subject_from_seed(0), seed=seed, duration_s=0.5, with_frames=False)
        rates.append(((~clip.from_scene).sum() / 0.5 - 200) / 128**2)
    assert 0.09 < min(rates) < 0.5
    assert 2.0 < max(rates) < 5.2


def test_dataset_is_deterministic_and_ordered():
    def take():
        return list(
            dataset(TRAIN_SEEDS[:2], (3, 4), clips_per_label=2, duration_s=0.05, with_frames=False)
        )

    first, second = take(), take()
    assert [c.label for c in first] == [3, 3, 4, 4] * 2
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.stream.to_tonic(), b.stream.to_tonic())
    assert len({len(c.stream) for c in first}) == len(first)
    seeds = {clip_seed(s, label, r) for s in range(20) for label in range(11) for r in range(3)}
    assert len(seeds) == 660


def test_demo_moves_rests_and_moves_again():
    clip = demo_clip(0, with_frames=False)
    assert clip.n_windows == 160
    n_changed = clip.truth.sum(axis=1)
    start, stop = (t_us // clip.window_us for t_us in DEMO_PAUSE_US)
    assert n_changed[start + 1 : stop - 1].max() == 0
    assert n_changed[:start].mean() > 3
    assert n_changed[stop + 1 :].mean() > 3
    assert clip.label != FLIP.index(10)


def test_wrong_use_is_refused():
    subject = subject_from_seed(0)
    with pytest.raises(UsageError, match="at least one window"):
        render_clip(0, subject, seed=0, duration_s=0.01)
    with pytest.raises(UsageError, match="speed must be one of slowly, quickly"):
        render_clip(0, subject, seed=0, speed="fast")
    with pytest.raises(UsageError, match=r"label must be in 0\.\.10"):
        render_clip(-1, subject, seed=0)
    with pytest.raises(UsageError, match="cannot be negative"):
        subject_from_seed(-1)


def features(subject_seeds):
    """Event counts per window, summed event images (3 x 3 pixels pooled) and labels."""
    counts, images, labels = [], [], []
    for clip in dataset(subject_seeds, with_frames=False):
        stream = clip.stream
        window = (stream.t - clip.start_us) // clip.window_us
        per_window = np.bincount(window, minlength=clip.n_windows)[: clip.n_windows]
        counts.append([*np.sort(per_window), stream.p.sum(), len(stream)])
        inside = (stream.x > 0) & (stream.x < 127) & (stream.y > 0) & (stream.y < 127)
        row, column = ((c[inside].astype(int) - 1) // 3 for c in (stream.y, stream.x))
        cell = (stream.p[inside] * 42 + row) * 42 + column
        images.append(np.bincount(cell, minlength=2 * 42 * 42))
        labels.append(clip.label)
    return np.log1p(counts), np.log1p(images), np.array(labels)


def linear_accuracy(train, train_labels, test, test_labels, ridge):
    """Ridge regression onto one-hot labels, in its dual form."""
    mean, spread = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / spread, (test - mean) / spread
    targets = np.eye(len(LABELS))[train_labels] - 1 / len(LABELS)
    kernel = train @ train.T + ridge * train.shape[1] * np.eye(len(train))
    scores = test @ train.T @ np.linalg.solve(kernel, targets)
    return (scores.argmax(axis=1) == test_labels).mean()


@pytest.mark.slow
def test_order_in_time_is_needed_to_name_the_gesture():
    """A linear classifier fails on counts (limit 40%) and on the summed image (limit 70%)."""
    train_counts, train_images, train_labels = features(TRAIN_SEEDS[:40])
    test_counts, test_images, test_labels = features(TEST_SEEDS[:20])
    for train, test, limit in (
        (train_counts, test_counts, 0.40),
        (train_images, test_images, 0.70),
    ):
        best = max(
            linear_accuracy(train, train_labels, test, test_labels, ridge)
            for ridge in (0.01, 0.1, 1.0, 10.0)
        )
        assert best < limit
