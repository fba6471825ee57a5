"""Scores say what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.training.data import UNKNOWN
from neurovlm.training.evaluate import TARGETS, compare, confusion, evaluate, flat, retention
from neurovlm.training.read import BOX_EVERY, Reading, box_precision, read, score_of, slots_right
from neurovlm.zoo.load import load


def reading(label, given) -> Reading:
    label, given = np.array(label), np.array(given)
    nothing = np.zeros((len(label), 1))
    return Reading(label, given, nothing.astype(np.float32), nothing.astype(np.int64), (), ())


def test_a_model_that_always_says_one_label_is_right_in_half_of_two(build, clips):
    model = build().eval()
    with torch.no_grad():
        model.head.label.bias[3] = 50.0
    assert read(model, clips()).accuracy == 0.5
    accuracy, loss = score_of(model, clips())
    assert accuracy == 0.5
    assert loss == pytest.approx(25.0, abs=1.0)  # half of the clips miss by 50


def test_clips_without_a_label_are_not_scored(build, clips):
    model = build().eval()
    with torch.no_grad():
        model.head.label.bias[3] = 50.0
    source = clips(n=4)
    label = source.label.copy()
    label[1] = UNKNOWN  # a clap, which the model would have missed
    assert read(model, replace(source, label=label)).accuracy == pytest.approx(2 / 3)
    assert score_of(model, replace(source, label=label))[0] == pytest.approx(2 / 3)


def test_active_tokens_are_counted_in_every_window_the_first_included(build, clips):
    model = build().eval()
    source = clips(n=2)
    policy = model.spec.policy
    found = read(model, source).n_active
    assert (found[:, 0] == 196).all()
    assert (found[:, 1:] <= policy.max_active).all()
    n_changed = np.minimum(source.changed[:, 1].sum(-1), policy.max_active - policy.n_refresh)
    n_refresh = np.minimum(source.changed[:, 1].sum(-1) // 2, policy.n_refresh)
    np.testing.assert_array_equal(found[:, 1], n_changed + n_refresh)
    assert (read(model, source, dense=True).n_active == 196).all()


def test_shuffling_changes_the_order_and_nothing_else(build, clips):
    model = build().eval()
    one, two = (read(model, clips(), shuffle=np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    straight = read(model, clips())
    assert not np.array_equal(one.probabilities, straight.probabilities)
    assert one.n_active.mean() == pytest.approx(straight.n_active.mean(), rel=0.1)


def test_the_label_is_read_after_a_clips_own_last_window(build, clips):
    model = build().eval()
    source = clips(n=2)
    short = read(model, replace(source, length=np.array([4, 4])))
    cut = replace(
        source,
        counts=tuple(type(c)(c.cell, c.count, (6, *c.shape[1:])) for c in source.counts),
        changed=source.changed[:, :4],
        score=source.score[:, :4],
    )
    cut = replace(cut, counts=tuple(c.from_dense(c.dense(0, 4)) for c in source.counts))
    np.testing.assert_allclose(short.probabilities, read(model, cut).probabilities, atol=1e-6)


@pytest.mark.parametrize("with_frames", [False, True])
def test_colour_is_asked_for_with_frames_only(build, clips, with_frames):
    source = clips(n=2, n_windows=8, with_frames=with_frames)
    score = slots_right(read(build().eval(), source), source)
    assert ("colour" in score.by_slot) == with_frames


def test_boxes_are_looked_for_in_every_tenth_window(build, clips):
    spec = build().spec
    model = build(spec=replace(spec, boxes=BoxConfig(hidden=8, n_mix=1))).eval()
    boxes = np.tile(np.float32([9, 9, 60, 60]), (2, 2 * BOX_EVERY, 3, 1))
    source = replace(clips(n=2, n_windows=2 * BOX_EVERY), boxes=boxes)
    found = read(model, source)
    assert len(found.found) == 4
    perfect = [
        replace(each, boxes=boxes[0, 0], scores=np.ones(3, np.float32), classes=np.arange(3))
        for each in found.found
    ]
    assert box_precision(replace(found, found=tuple(perfect)), source) == pytest.approx(1.0)


def test_confusion_is_a_share_of_the_true_label():
    table = confusion(reading([0, 0, 0, 1, UNKNOWN], [0, 0, 2, 1, 1]), 3)
    np.testing.assert_allclose(table[:2], [[2 / 3, 0, 1 / 3], [0, 1, 0]])
    assert np.isnan(table[2]).all()


def test_retention_of_equal_readings_is_one_and_its_interval_a_point():
    right = np.array([True, False, True, True])
    assert retention(right, right) == (1.0, 1.0, 1.0)


def test_retention_is_paired():
    rng = np.random.default_rng(0)
    dense = rng.random(400) < 0.5
    sparse = dense.copy()
    sparse[np.flatnonzero(dense)[:4]] = False
    ratio, low, high = retention(sparse, dense)
    assert ratio == pytest.approx(1 - 4 / dense.sum())
    # unpaired readings of this size would be 0.8 to 1.2 or so; four clips decide here
    assert 0.95 < low < ratio < high <= 1


def test_compare_holds_a_model_against_its_dense_twin(build, clips):
    source = clips(n=6)
    scores, sparse, dense = compare(build().eval(), source)
    assert scores["accuracy"] == sparse.accuracy
    assert scores["dense_accuracy"] == dense.accuracy
    assert scores["mean_active"] == sparse.n_active.mean()
    assert "box_map50" not in scores


def test_nothing_can_be_retained_of_nothing():
    with pytest.raises(UsageError, match="names no clip right"):
        retention(np.array([True]), np.array([False]))


def test_flat_scores_leave_single_seeds_out():
    nested = {"a": 1, "hard": {"b": 0.5, "by_seed": [{"b": 0.5}]}, "active": {"slow": {"mean": 2}}}
    assert flat(nested) == {"a": 1, "hard.b": 0.5, "active.slow.mean": 2}


@pytest.mark.slow
def test_every_target_is_a_score():
    model, card = load("sttf-tiny")
    done: list[tuple[int, int]] = []
    scores, tables = evaluate(
        model,
        card,
        seeds=1,
        n_subjects=1,
        n_linear=2,
        n_motion=1,
        workers=2,
        report=lambda *told: done.append(told),
    )
    assert set(TARGETS) <= set(flat(scores))
    n_parts = (
        1 + 2 + 2 + 2
    )  # the linear controls; per style a seed, the subjects trained on, motion
    assert done == [(k, n_parts) for k in range(1, n_parts + 1)]
    for table in tables.values():
        np.testing.assert_allclose(table.sum(1), 1)
