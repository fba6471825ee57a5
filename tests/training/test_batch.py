"""Augmentations keep what is true, true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurovlm.events.scenes.caption import FLIP, LABELS, caption_of, label_slots
from neurovlm.language.tokenizer import END, WordTokenizer
from neurovlm.training.batch import (
    Augmentation,
    draw_batch,
    encode_captions,
    flip_slots,
    mirror_boxes,
    shift,
    shift_boxes,
)
from neurovlm.training.data import UNKNOWN
from neurovlm.zoo.spec import ModelSpec

TOKENIZER = WordTokenizer(ModelSpec().words)
BOXES = np.array([[10, 20, 30, 50], [90, 0, 120, 30], [np.nan] * 4], np.float32)


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


def test_mirrored_boxes_change_hands_and_come_back():
    mirrored = mirror_boxes(BOXES)
    np.testing.assert_array_equal(mirrored[0], [96, 20, 116, 50])
    assert np.isnan(mirrored[1]).all()  # the left hand, which was not seen
    np.testing.assert_array_equal(mirrored[2], [6, 0, 36, 30])
    np.testing.assert_array_equal(mirror_boxes(mirrored), BOXES)


def test_shifted_boxes_are_cut_at_the_border_and_dropped_when_half_is_gone():
    moved = shift_boxes(BOXES, 0, 18)
    np.testing.assert_array_equal(moved[0], [28, 20, 48, 50])
    np.testing.assert_array_equal(moved[1], [108, 0, 126, 30])  # 18 of 30 columns are left
    assert np.isnan(shift_boxes(BOXES, 0, 27)[1]).all()  # 9 of 30
    assert np.isnan(moved[2]).all()


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


def test_boxes_lie_where_the_events_lie(clips):
    source = clips(n=8, n_windows=4)
    boxes = np.full((8, 4, 3, 4), np.nan, np.float32)
    for clip in range(8):  # the busy half as the box of the head
        low, high = (0, 36) if clip % 2 == 0 else (72, 108)
        boxes[clip, :, 0] = (low, 0, high, 126)
    batch = draw_batch(
        replace(source, boxes=boxes),
        TOKENIZER,
        Augmentation(batch_size=32, n_windows=4),
        np.random.default_rng(0),
    )
    for clip in range(32):
        x0, y0, x1, y1 = batch.boxes[clip, 0, 0].int().tolist()
        counts = batch.counts[clip].clone()
        assert counts.sum() > 0
        counts[..., y0:y1, x0:x1] = 0
        assert counts.sum() == 0


def test_nothing_is_mirrored_without_a_map_of_labels(clips):
    source = clips(n=8)
    still = Augmentation(batch_size=32, n_windows=6, flip=None)
    batch = draw_batch(source, TOKENIZER, still, np.random.default_rng(0))
    assert set(batch.label.tolist()) == {0, 3}


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


def test_short_clips_are_padded_and_their_padding_does_not_count(clips):
    source = replace(clips(n=2, n_windows=6), length=np.array([6, 3]))
    whole = Augmentation(batch_size=16, n_windows=None, drop=0.0)
    batch = draw_batch(source, TOKENIZER, whole, np.random.default_rng(0))
    short = batch.label == 0
    assert set(batch.length[short].tolist()) == {3}
    assert batch.counting(1)[short].sum(1).unique().tolist() == [2]
    assert batch.counting(1)[~short].sum(1).unique().tolist() == [5]


def test_a_clip_without_a_label_counts_nowhere(clips):
    source = replace(clips(n=2), label=np.array([UNKNOWN, UNKNOWN]), slots=({}, {}))
    batch = draw_batch(source, TOKENIZER, Augmentation(8, 6), np.random.default_rng(0))
    assert not batch.counting(0).any()
    assert (batch.words == END).all()


def test_no_caption_is_the_end_alone():
    words = encode_captions([{}, {"action": "clap", "speed": "slowly"}], TOKENIZER)
    assert (words[0] == END).all()
    assert words[1, 0] != END


def test_both_labels_of_a_mixed_clip_are_mirrored(clips):
    source = replace(
        clips(n=4, n_windows=6),
        other=np.array([1, 2, 1, 2]),
        share=np.array([0.25, 0.5, 0.0, 0.75], np.float32),
    )
    plain = Augmentation(batch_size=4, n_windows=None, flip=tuple(range(11)))
    turned = Augmentation(batch_size=4, n_windows=None, flip=FLIP)
    rows = []
    for augmentation in (plain, turned):
        batch = draw_batch(source, TOKENIZER, augmentation, np.random.default_rng(3))
        rows.append([each.tolist() for each in batch.mixed_labels])
    (label, other, share), (seen_label, seen_other, seen_share) = rows
    assert share == seen_share
    mirrored = [a != b for a, b in zip(other, seen_other, strict=True)]
    assert any(mirrored) and not all(mirrored)
    for k, is_mirrored in enumerate(mirrored):
        assert seen_label[k] == (FLIP[label[k]] if is_mirrored else label[k])
        assert seen_other[k] == (FLIP[other[k]] if is_mirrored else other[k])
