"""Boxes: every box can be told, the loss is least at the truth, decoding inverts assignment."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.core.ops import total_macs
from neurovlm.sttf.boxes import (
    PRIOR,
    BoxConfig,
    BoxHead,
    BoxOutput,
    assign,
    box_counts,
    box_loss,
    decode,
    iou,
    patch_centres,
    to_boxes,
)

GRID = PatchGrid()
NAN = [math.nan] * 4


def make_head(**changes: int) -> BoxHead:
    torch.manual_seed(0)
    return BoxHead(BoxConfig(**changes), dim=16, grid=GRID).eval().requires_grad_(False)


def perfect(boxes: torch.Tensor, classes: torch.Tensor, n_classes: int) -> BoxOutput:
    """An output that says exactly what it should."""
    targets = assign(boxes, classes, n_classes, GRID)
    return BoxOutput(torch.where(targets.positive, 8.0, -8.0), targets.ltrb)


def positives(targets, stream: int, index: int) -> list[int]:
    return targets.positive[stream, :, index].nonzero()[:, 0].tolist()


def test_centres_run_row_by_row():
    centres = patch_centres(GRID)
    assert centres[0].tolist() == [4.5, 4.5]
    assert centres[1].tolist() == [13.5, 4.5]
    assert centres[14].tolist() == [4.5, 13.5]


def test_a_large_box_is_taught_around_its_centre_only():
    # centre (63, 63) lies where four patches meet; 1.5 patches reach two patches to each side
    targets = assign(torch.tensor([[[18.0, 18, 108, 108]]]), torch.tensor([0]), 1, GRID)
    rows = columns = range(6, 8)
    assert positives(targets, 0, 0) == [14 * row + column for row in rows for column in columns]
    assert targets.ltrb[0, 14 * 6 + 6, 0].tolist() == [40.5, 40.5, 49.5, 49.5]


def test_patches_one_and_a_half_patches_away_are_left_out():
    # centred on a patch: neighbours are one patch away, the next two
    targets = assign(torch.tensor([[[0.0, 0, 117, 117]]]), torch.tensor([0]), 1, GRID)
    near = range(5, 8)
    assert positives(targets, 0, 0) == [14 * row + column for row in near for column in near]


def test_a_box_between_centres_has_the_nearest_patch():
    targets = assign(torch.tensor([[[6.0, 6, 8, 8]]]), torch.tensor([0]), 1, GRID)
    assert positives(targets, 0, 0) == [0]
    assert targets.ltrb[0, 0, 0].tolist() == [-1.5, -1.5, 3.5, 3.5]


def test_of_two_boxes_of_a_class_the_smaller_has_the_patch_and_classes_do_not_compete():
    large, small = [40.0, 40, 86, 86], [58.0, 58, 68, 68]
    boxes = torch.tensor([[large, small]])
    same = assign(boxes, torch.tensor([0, 0]), 1, GRID)
    apart = assign(boxes, torch.tensor([0, 1]), 2, GRID)
    centre = 14 * 6 + 6  # at (58.5, 58.5), inside both
    assert same.ltrb[0, centre, 0].tolist() == [0.5, 0.5, 9.5, 9.5]
    assert apart.ltrb[0, centre, 0].tolist() == [18.5, 18.5, 27.5, 27.5]
    assert apart.ltrb[0, centre, 1].tolist() == [0.5, 0.5, 9.5, 9.5]


def test_a_box_that_is_not_there_teaches_nothing_to_its_own_stream_only():
    boxes = torch.tensor([[NAN, [10.0, 10, 30, 30]], [[10.0, 10, 30, 30], NAN]])
    targets = assign(boxes, torch.tensor([0, 1]), 2, GRID)
    n = targets.positive.sum(1)
    assert n[0, 0] == n[1, 1] == 0
    assert n[0, 1] == n[1, 0] > 0
    assert torch.isfinite(targets.ltrb).all()


SIDE = st.floats(0.5, 60)


@given(st.floats(0, 125.9), st.floats(0, 125.9), SIDE, SIDE)
def test_every_box_with_its_centre_on_the_grid_can_be_told(x, y, width, height):
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    boxes = torch.tensor([[box]], dtype=torch.float64)
    targets = assign(boxes, torch.tensor([0]), 1, GRID)
    told = targets.ltrb[targets.positive]
    assert len(told) >= 1
    assert (told > -GRID.patch / 2).all(), "softplus reaches down to half a patch"
    rebuilt = to_boxes(targets.ltrb, GRID)[targets.positive]
    torch.testing.assert_close(rebuilt, boxes[0].expand_as(rebuilt))


def test_decoding_a_perfect_output_gives_the_boxes():
    boxes = torch.tensor([[[10.0, 20, 40, 60], [70.0, 30, 80, 38], NAN]])
    output = perfect(boxes, torch.arange(3), 3)
    (found,) = decode(output, GRID)
    order = np.argsort(found.classes)
    assert found.classes[order].tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes[order], boxes[0, :2].numpy(), rtol=1e-6)


def test_two_boxes_of_one_class_are_both_found_where_two_are_asked_for():
    boxes = torch.tensor([[[10.0, 20, 40, 60], [70.0, 30, 90, 48]]])
    output = perfect(boxes, torch.tensor([0, 0]), 1)
    (one,) = decode(output, GRID)
    (two,) = decode(output, GRID, per_class=5)
    assert len(one.boxes) == 1
    assert sorted(two.boxes[:, 0].tolist()) == [10, 70]


def test_suppression_keeps_the_best_and_what_overlaps_little():
    n = GRID.n_patches
    logits, ltrb = torch.full((1, n, 1), -9.0), torch.full((1, n, 1, 4), 13.5)
    logits[0, [30, 31, 33], 0] = torch.tensor([1.0, 2.0, 0.0])  # squares of 27, 9 px a patch
    output = BoxOutput(logits, ltrb)
    # 30 and 31 overlap by 18 of 36 = 1/2; 31 and 33 by 9 of 45 = 1/5
    starts = [patch_centres(GRID)[i, 0].item() - 13.5 for i in (31, 30, 33)]
    for max_iou, kept in ((0.51, [0, 1, 2]), (0.49, [0, 2]), (0.19, [0])):
        (found,) = decode(output, GRID, per_class=9, max_iou=max_iou)
        assert found.boxes[:, 0].tolist() == [starts[i] for i in kept]
    scores = 1 / (1 + np.exp([-2.0, -1.0, 0.0]))
    (found,) = decode(output, GRID, per_class=9, max_iou=1.0)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)
    (found,) = decode(output, GRID, per_class=9, max_iou=1.0, min_score=0.6)
    assert len(found.scores) == 2


def test_nothing_above_the_least_score_is_an_empty_answer():
    untrained = make_head()(torch.zeros(2, GRID.n_patches, 16))
    for found in decode(untrained, GRID, min_score=0.5):
        assert found.boxes.shape == (0, 4)
        assert len(found.scores) == len(found.classes) == 0


def test_iou_by_hand():
    a = np.array([[0.0, 0, 10, 10]])
    b = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 7, 6], [3, 3, 3, 9]])
    np.testing.assert_allclose(iou(a, b), [[1, 50 / 150, 0, 20 / 100, 0]])


def test_loss_is_its_equation():
    n = GRID.n_patches
    positive = torch.zeros(1, n, 1, dtype=torch.bool)
    positive[0, 5, 0] = True
    true = torch.zeros(1, n, 1, 4)
    true[0, 5, 0] = torch.tensor([5.0, 5, 5, 5])
    said = torch.zeros(1, n, 1, 4)
    said[0, 5, 0] = torch.tensor([10.0, 5, 0, 5])
    targets = assign(torch.tensor([[NAN]]), torch.tensor([0]), 1, GRID)._replace(
        positive=positive, ltrb=true
    )
    loss = box_loss(BoxOutput(torch.zeros(1, n, 1), said), targets, GRID)
    per_patch = 0.25 * math.log(2)  # |truth - 1/2|^2 * log 2
    assert loss.score.item() == pytest.approx(per_patch * (0.25 + 0.75 * (n - 1)), rel=1e-5)
    # two squares of 10 that share half: IoU 50/150, hull 15 x 10 filled entirely
    assert loss.overlap.item() == pytest.approx(1 - 1 / 3)
    assert loss.sides.item() == pytest.approx(0.2 * (5 + 5) / 4 / 9)


def test_loss_is_zero_at_the_truth_and_finite_without_boxes():
    boxes = torch.tensor([[[10.0, 20, 40, 60], [70.0, 30, 80, 38]]])
    targets = assign(boxes, torch.arange(2), 2, GRID)
    sure = BoxOutput(torch.where(targets.positive, 40.0, -40.0), targets.ltrb)
    assert sum(box_loss(sure, targets, GRID)).item() == pytest.approx(0, abs=1e-6)
    empty = assign(torch.tensor([[NAN, NAN]]), torch.arange(2), 2, GRID)
    score, overlap, sides = box_loss(sure, empty, GRID)
    assert score > 0 and overlap == sides == 0


def test_an_empty_prediction_still_has_a_gradient():
    boxes = torch.tensor([[[50.0, 50, 76, 76]]])
    targets = assign(boxes, torch.tensor([0]), 1, GRID)
    said = torch.full((1, GRID.n_patches, 1, 4), -4.0, requires_grad=True)
    sum(box_loss(BoxOutput(torch.zeros(1, GRID.n_patches, 1), said), targets, GRID)).backward()
    assert (said.grad[targets.positive] < 0).all(), "every side is pushed outwards"


def test_a_patch_sees_its_neighbours_and_no_further_than_the_mixing_reaches():
    head = make_head(n_mix=2)
    tokens = torch.randn(1, GRID.n_patches, 16, generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[0, 14 * 7 + 7] *= -1
    moved = (head(tokens).logits != head(other).logits).any(-1)[0].view(14, 14)
    rows, columns = moved.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 9, 5, 9)


def test_an_untrained_head_finds_nothing_likely():
    logits = make_head()(torch.randn(4, GRID.n_patches, 16)).logits
    assert PRIOR / 2 < logits.sigmoid().mean().item() < PRIOR * 2


@pytest.mark.parametrize(("n_classes", "n_mix"), [(3, 2), (1, 0)])
def test_counts_are_those_of_what_torch_runs(n_classes, n_mix):
    config = BoxConfig(n_classes, 24, n_mix)
    head = BoxHead(config, 16, GRID)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head(torch.zeros(1, GRID.n_patches, 16))
    counts = box_counts(config, 16, GRID.n_patches)
    assert total_macs(counts) == counter.get_total_flops() // 2
    weights = sum(count.weight_bytes for count in counts)
    assert weights == 4 * sum(parameter.numel() for parameter in head.parameters())
    assert len({count.layer for count in counts}) == len(counts)


def test_bright_squares_are_found_after_a_little_training():
    rng = np.random.default_rng(0)
    grid = PatchGrid(7, 4)

    def scenes(n):
        images, boxes = np.zeros((n, 1, 28, 28), np.float32), np.zeros((n, 1, 4), np.float32)
        for i in range(n):
            w, h = rng.integers(5, 14, 2)
            x, y = rng.integers(0, 28 - w), rng.integers(0, 28 - h)
            images[i, 0, y : y + h, x : x + w] = 1
            boxes[i, 0] = x, y, x + w, y + h
        tokens = torch.tensor(grid.to_patches(images))
        return tokens, torch.tensor(boxes)

    torch.manual_seed(0)
    head = BoxHead(BoxConfig(1, 32, 2), 16, grid)
    head.norm = torch.nn.Identity()
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(150):
        tokens, boxes = scenes(32)
        loss = sum(box_loss(head(tokens), assign(boxes, torch.tensor([0]), 1, grid), grid))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tokens, boxes = scenes(100)
    found = decode(head(tokens), grid, min_score=0.0)
    overlap = [iou(one.boxes, box.numpy())[0, 0] for one, box in zip(found, boxes, strict=True)]
    assert np.mean(np.array(overlap) > 0.5) > 0.95


@pytest.mark.parametrize(
    ("boxes", "classes", "message"),
    [
        ([[[0.0, 0, 9, math.nan]]], [0], "box 0 of stream 0"),
        ([[[0.0, 0, 9, 9], [9.0, 0, 0, 9]]], [0, 1], "box 1 of stream 0"),
        ([[[0.0, 0, 9, math.inf]]], [0], "box 0 of stream 0"),
        ([[[0.0, 0, 9, 9]]], [2], r"classes must be 0 to 1, got \[2\]"),
        ([[[0.0, 0, 9, 9]]], [0, 1], r"got \(1, 1, 4\) and \(2,\)"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes, classes, message):
    with pytest.raises(UsageError, match=message):
        assign(torch.tensor(boxes), torch.tensor(classes), 2, GRID)


def test_shapes_that_are_none_are_refused():
    with pytest.raises(UsageError, match="196 patches, got 197; leave prefix tokens out"):
        make_head()(torch.zeros(1, 197, 16))
    with pytest.raises(UsageError, match="boxes: n_classes"):
        BoxConfig(n_classes=0)
