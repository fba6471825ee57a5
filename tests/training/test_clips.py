"""Rendered and recorded clips hold what they promise, and are rendered once."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.events.datasets import LabelledSet, Sample
from neurovlm.events.scenes import LABELS, TEST_SEEDS, TRAIN_SEEDS
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.augment import DropEvents
from neurovlm.training.clips import (
    HARD,
    NATURAL,
    OTHER_MOTIONS,
    Mixture,
    cache_key,
    labelled_clips,
    make_clips,
    rendered,
    see,
)
from neurovlm.training.data import FRAME_EVERY, UNKNOWN, ClipSet


@pytest.fixture(scope="module")
def frontend() -> Frontend:
    return Frontend.build(window_ms=25)


def stream(duration_s: float, seed: int = 0) -> EventStream:
    rng = np.random.default_rng(seed)
    n = 3000
    return EventStream(
        t=np.sort(rng.integers(0, round(1e6 * duration_s), n)),
        x=rng.integers(40, 50, n).astype(np.uint16),
        y=rng.integers(60, 70, n).astype(np.uint16),
        p=rng.random(n) < 0.5,
        sensor=(128, 128),
    )


def test_train_and_test_subjects_are_disjoint():
    assert not set(TRAIN_SEEDS) & set(TEST_SEEDS)


def test_mixtures_keep_to_their_shares():
    drawn = [Mixture(0.25, 0.4).draw(subject, 0) for subject in range(3000)]
    assert np.mean([style == "natural" for style, _ in drawn]) == pytest.approx(0.25, abs=0.03)
    moving = [motion for _, motion in drawn if motion != "gesture"]
    assert len(moving) / len(drawn) == pytest.approx(0.4, abs=0.03)
    for motion, share in OTHER_MOTIONS.items():
        assert moving.count(motion) / len(moving) == pytest.approx(share, abs=0.04)
    assert HARD.draw(3, 1) == ("hard", "gesture")
    assert NATURAL.draw(3, 1) == ("natural", "gesture")


def test_a_stream_is_cut_or_filled_up(frontend):
    whole = see(stream(0.5), frontend)
    assert len(whole[0]) == 20
    for n in (12, 30):
        counts, changed, score = see(stream(0.5), frontend, n)
        assert len(counts) == len(changed) == len(score) == n
        kept = min(n, 20)
        np.testing.assert_array_equal(counts[:kept], whole[0][:kept])
        assert not counts[20:].any()
        assert not changed[20:].any()


def test_recordings_become_clips_of_their_own_length(frontend):
    samples = tuple(
        Sample(str(k), lambda k=k: stream(0.3 + 0.1 * k, k), label=k % 2, group=f"person {k}")
        for k in range(3)
    )
    labelled = LabelledSet("made up", ("a", "b"), samples, None)
    clips = labelled_clips(labelled, frontend)
    assert clips.lengths.tolist() == [12, 16, 20]
    assert clips.label.tolist() == [0, 1, 0]
    assert len(set(clips.group.tolist())) == 3
    np.testing.assert_array_equal(clips.counts[0].dense(0, 12), see(stream(0.3), frontend)[0])
    varied = labelled_clips(labelled, frontend, variants=2, vary=lambda events, rng: events)
    assert varied.label.tolist() == [0, 0, 1, 1, 0, 0]
    gone = labelled_clips(labelled, frontend, variants=1, vary=lambda events, rng: events[:0])
    np.testing.assert_array_equal(gone.changed, clips.changed)  # nothing would be left to see


def test_mixed_recordings_keep_both_labels_and_their_shares(frontend):
    samples = tuple(
        Sample(str(k), lambda k=k: stream(0.3, k), label=k, group=f"person {k}") for k in range(2)
    )
    labelled = LabelledSet("made up", ("a", "b"), samples, None)
    mixed, plain = (
        labelled_clips(
            labelled, frontend, variants=12, vary=lambda events, rng: events, mixed=share
        )
        for share in (1.0, 0.0)
    )
    assert set(mixed.other.tolist()) == {0, 1}
    assert ((mixed.share > 0) & (mixed.share < 1)).any()
    assert not plain.share.any() and (plain.other == plain.label).all()
    unmixed = mixed.share == 0
    for k in range(24):
        same = np.array_equal(mixed.counts[k].dense(), plain.counts[k].dense())
        # a part of a recording may come back into itself
        assert same or not unmixed[k]


def test_processes_change_nothing(frontend):
    samples = tuple(
        Sample(str(k), lambda k=k: stream(0.2, k), label=k, group=f"person {k}") for k in range(2)
    )
    labelled, seen = LabelledSet("made up", ("a", "b"), samples, None), []
    one, two = (
        labelled_clips(
            labelled,
            frontend,
            variants=5,
            vary=DropEvents(0.3),
            mixed=0.5,
            workers=workers,
            report=seen.append,
        )
        for workers in (1, 2)
    )
    assert seen == 2 * list(range(1, 11))
    assert len({counts.cell.tobytes() for counts in one.counts}) == 10  # no two are varied alike
    for mine, theirs in zip(one.counts, two.counts, strict=True):
        np.testing.assert_array_equal(mine.cell, theirs.cell)
    np.testing.assert_array_equal(one.share, two.share)
    np.testing.assert_array_equal(one.other, two.other)


def test_another_detector_or_mixture_has_another_folder(frontend):
    other = Frontend.build(DetectorConfig(), detector="learned", window_ms=25)
    keys = {cache_key(frontend, HARD), cache_key(frontend, Mixture(0.0, 0.5))}
    assert len(keys | {cache_key(other, HARD)}) == 3
    assert cache_key(frontend, HARD) in keys


@pytest.mark.slow
def test_rendered_clips_have_what_they_promise(frontend, tmp_path):
    made = make_clips(TRAIN_SEEDS[:1], frontend, with_frames=True)
    n, n_windows = len(made), made.n_windows
    assert n == len(LABELS)
    assert made.label.tolist() == list(range(len(LABELS)))
    assert made.changed.shape == made.score.shape == made.truth.shape == (n, n_windows, 196)
    assert made.frames.shape == (n, n_windows // FRAME_EVERY, 224, 224, 3)
    assert made.boxes.shape == (n, n_windows, 3, 4)
    assert (made.score[made.changed] > 0).all()
    other = make_clips(TRAIN_SEEDS[:1], frontend, with_frames=False, repetition=1)
    assert not np.array_equal(other.changed, made.changed)
    paths = rendered(TRAIN_SEEDS[:2], frontend, HARD, tmp_path, frames_every=2)
    assert [path.name for path in paths] == ["0-rgb.npz", "1.npz"]
    found = ClipSet.load(paths[0])
    for one, two in zip(found.counts, made.counts, strict=True):
        np.testing.assert_array_equal(one.dense(), two.dense())
    times = [path.stat().st_mtime_ns for path in paths]
    rendered(TRAIN_SEEDS[:2], frontend, HARD, tmp_path, frames_every=2)
    assert [path.stat().st_mtime_ns for path in paths] == times


@pytest.mark.slow
def test_who_stands_still_has_no_label(frontend):
    clips = make_clips(TEST_SEEDS[:1], frontend, with_frames=False, motion="static")
    assert (clips.label == UNKNOWN).all()
    assert not any(clips.slots)
