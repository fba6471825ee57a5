"""Average precision by hand, by brute force, and its bounds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from neurovlm.core.errors import MissingComponentError, UsageError
from neurovlm.sttf.boxes import Detections, iou
from neurovlm.training.average_precision import average_precision

NAN = [np.nan] * 4
ONE = np.array([0])


def detections(*found: tuple[list[float], float, int]) -> Detections:
    """Boxes with score and class."""
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    return Detections(boxes, scores, np.array([label for _, _, label in found], np.int64))


def square(x: float) -> list[float]:
    return [x, 0.0, x + 10, 10.0]


def test_a_case_by_hand():
    """Four true boxes; detections by score: hit, miss, hit, miss, hit.

    Recall 1/4 at precision 1, 2/4 at 2/3, 3/4 at 3/5, never 1: of the recalls 0, 0.01 ... 1 the
    first 26 have the best precision 1, the next 25 have 2/3, the next 25 have 3/5, the rest 0.
    """
    true = np.array([[square(0)], [square(20)], [square(40)], [square(60)]])
    found = [
        detections((square(0), 0.9, 0), (square(80), 0.8, 0)),
        detections((square(21), 0.7, 0)),
        detections((square(46), 0.6, 0)),  # overlap 4 of 16: a miss
        detections((square(60), 0.5, 0)),
    ]
    scored = average_precision(found, true, ONE)
    assert scored.mean == pytest.approx((26 + 25 * 2 / 3 + 25 * 3 / 5) / 101)
    assert scored.n_true == {0: 4}


def test_a_second_hit_on_one_box_is_a_miss():
    true = np.array([[square(0)], [square(0)]])
    found = [detections((square(0), 0.9, 0), (square(1), 0.8, 0)), detections((square(0), 0.7, 0))]
    assert average_precision(found, true, ONE).mean == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_half_an_overlap_is_a_hit_at_one_half_only():
    true = np.array([[[0.0, 0, 10, 10]]])
    found = [detections(([0.0, 0, 10, 5], 0.9, 0))]
    assert average_precision(found, true, ONE).mean == pytest.approx(1)
    assert average_precision(found, true, ONE, min_iou=0.6).mean == 0


def test_classes_are_judged_apart_and_boxes_that_are_not_there_do_not_count():
    true = np.array([[square(0), square(30), NAN], [NAN, square(30), NAN]])
    found = [
        detections((square(0), 0.9, 0), (square(0), 0.8, 1), (square(0), 0.8, 2)),
        detections((square(30), 0.7, 0)),
    ]
    scored = average_precision(found, true, np.arange(3))
    assert scored.per_class == {0: pytest.approx(1), 1: 0}
    assert scored.n_true == {0: 1, 1: 2}
    assert scored.mean == pytest.approx(0.5)


def test_nothing_found_scores_zero():
    nothing = [detections(), detections()]
    assert average_precision(nothing, np.array([[square(0)], [NAN]]), ONE).mean == 0


def brute_force(found, boxes, classes, label, min_iou):
    """Best precision at each of COCO's recalls, walking down the list."""
    n_true = int((~np.isnan(boxes).any(-1) & (classes == label)).sum())
    order = sorted(
        (
            (-score, w, k)
            for w, d in enumerate(found)
            for k, score in enumerate(d.scores)
            if d.classes[k] == label
        )
    )
    taken, hits, points = set(), 0, []
    for rank, (_, w, k) in enumerate(order, start=1):
        best, at = min_iou, None
        for j in range(len(classes)):
            if classes[j] != label or (w, j) in taken or np.isnan(boxes[w, j]).any():
                continue
            overlap = iou(found[w].boxes[k : k + 1], boxes[w, j : j + 1])[0, 0]
            if overlap >= best:
                best, at = overlap, (w, j)
        if at is not None:
            taken.add(at)
            hits += 1
        points.append((hits / n_true, hits / rank))
    recalls = np.linspace(0, 1, 101)
    return np.mean([max((p for r, p in points if r >= at), default=0.0) for at in recalls])


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    classes = np.array([0, 0, 2])
    low = rng.uniform(0, 60, (40, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, 30, (40, 3, 2))], -1)
    boxes[rng.random((40, 3)) < 0.3] = np.nan
    found = []
    for window in range(40):
        some = []
        for box, label in zip(boxes[window], classes, strict=True):
            if np.isnan(box).any() or rng.random() < 0.2:
                box = np.array([0.0, 0, 20, 20])
            for _ in range(rng.integers(0, 3)):
                shaken = box + rng.normal(0, 2.5, 4)
                some.append((shaken.tolist(), float(rng.random()), int(label)))
        found.append(detections(*some))
    scored = average_precision(found, boxes, classes)
    expected = {label: brute_force(found, boxes, classes, label, 0.5) for label in (0, 2)}
    assert 0.05 < min(expected.values()) < 0.95
    assert scored.per_class == pytest.approx(expected)


def test_it_is_silent(capfd):
    average_precision([detections((square(0), 0.9, 0))], np.array([[square(0)]]), ONE)
    assert capfd.readouterr() == ("", "")


def test_bad_input_is_named(monkeypatch):
    with pytest.raises(UsageError, match=r"must be \(1, 1, 4\).*got \(2, 1, 4\)"):
        average_precision([detections()], np.zeros((2, 1, 4)), ONE)
    with pytest.raises(UsageError, match="no true box"):
        average_precision([detections()], np.array([[NAN]]), ONE)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingComponentError, match=r"neurovlm\[evaluate\]"):
        average_precision([detections()], np.array([[square(0)]]), ONE)
