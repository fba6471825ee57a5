"""Augmentations keep what is true, true."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.events.scenes.caption import FLIP, LABELS, caption_of, label_slots
from neurovlm.events.scenes.subject import TEST_SEEDS, TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.language.tokenizer import WordTokenizer
from neurovlm.training.data import (
    FRAME_EVERY,
    Augmentation,
    ClipSet,
    SparseCounts,
    draw_batch,
    flip_slots,
    make_clips,
    shift,
)
from neurovlm.zoo.spec import ModelSpec

TOKENIZER = WordTokenizer(ModelSpec().words)


@pytest.mark.parametrize("label", range(len(LABELS)))
def test_mirrored_slots_are_those_of_the_mirrored_label(label):
    slots = label_slots(label, "slowly", "red")
    assert flip_slots(slots) == label_slots(FLIP[label], "slowly", "red")
    assert flip_slots(flip_slots(slots)) == slots


def test_shift_moves_and_fills_with_nothing():
    image = np.arange(1, 10).reshape(3, 3)
    assert shift(image, 1, 0).tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert shift(image, -1, 1).tolist() == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]
    assert np.array_equal(shift(image, 0, 0), image)


@pytest.mark.parametrize("with_frames", [False, True])
def test_batches_keep_events_mask_label_and_caption_together(clips, with_frames):
    source = clips(n=8, n_windows=8, with_frames=with_frames)
    augmentation = Augmentation(batch_size=64, n_windows=8, drop=0.0)
    batch = draw_batch(source, TOKENIZER, augmentation, np.random.default_rng(0))
    assert set(batch.label.tolist()) == {0, 3, FLIP[3]}
    for clip in range(64):
        # the mask lies where the events lie, whatever was mirrored or shifted
        busy = batch.counts[clip].numpy().reshape(8, 3, 14, 9, 14, 9).sum((1, 3, 5)) > 0
        assert not (busy.reshape(8, 196) & ~batch.changed[clip].numpy()).any()
        said = TOKENIZER.decode(batch.words[clip].tolist())
        label = int(batch.label[clip])
        speed = "quickly" if label == 0 else "slowly"
        colour = "red" if with_frames else None
        assert said == caption_of(label_slots(label, speed, colour))
    assert (batch.frames is not None) == with_frames


def test_limits_and_drop_are_within_their_ranges(clips):
    source = clips(n=8, n_windows=8)
    augmentation = Augmentation(
        batch_size=64, n_windows=5, max_active=(9, 11), n_refresh=(2, 3), drop=0.5, max_shift=0
    )
    batch = draw_batch(source, TOKENIZER, augmentation, np.random.default_rng(0))
    assert batch.counts.shape[:2] == (64, 5)
    assert set(batch.max_active.tolist()) == {9, 10, 11}
    assert set(batch.n_refresh.tolist()) == {2, 3}
    kept = batch.changed.float().mean() / source.changed.mean()
    assert 0.6 < kept < 0.9


def test_sparse_counts_are_the_counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, (7, 3, 10, 10)).astype(np.uint8)
    sparse = SparseCounts.from_dense(counts)
    assert len(sparse.cell) == np.count_nonzero(counts)
    np.testing.assert_array_equal(sparse.dense(), counts)
    np.testing.assert_array_equal(sparse.dense(2, 5), counts[2:5])


def test_joined_sets_keep_their_order(clips):
    for with_frames in (False, True):
        parts = [clips(n=2, seed=seed, with_frames=with_frames) for seed in (0, 1)]
        joined = ClipSet.join(parts)
        assert len(joined) == 4
        np.testing.assert_array_equal(joined.counts[3].dense(), parts[1].counts[1].dense())
        np.testing.assert_array_equal(joined.changed[2:], parts[1].changed)
        assert joined.slots == parts[0].slots + parts[1].slots
        assert (joined.frames is not None) == with_frames


@pytest.mark.slow
def test_rendered_clips_have_what_they_promise():
    frontend = Frontend.build()
    made = make_clips(TRAIN_SEEDS[:1], frontend, with_frames=True)
    n, n_windows = len(made), made.n_windows
    assert n == len(LABELS)
    assert made.label.tolist() == list(range(len(LABELS)))
    assert made.changed.shape == made.score.shape == (n, n_windows, 196)
    assert made.frames.shape == (n, n_windows // FRAME_EVERY, 224, 224, 3)
    assert (made.score[made.changed] > 0).all()
    again = make_clips(TRAIN_SEEDS[:1], frontend, with_frames=False)
    for one, other in zip(again.counts, made.counts, strict=True):
        np.testing.assert_array_equal(one.dense(), other.dense())
    other = make_clips(TRAIN_SEEDS[:1], frontend, with_frames=False, repetition=1)
    assert not np.array_equal(other.changed, made.changed)


def test_train_and_test_subjects_are_disjoint():
    assert not set(TRAIN_SEEDS) & set(TEST_SEEDS)
