"""Average precision of boxes, by pycocotools: how well the box head finds what is there."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.optional import require
from neurovlm.sttf.boxes import Detections


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision at one overlap, in [0, 1].

    Attributes
    ----------
    per_class
        By class; a class without a true box has none.
    n_true
        True boxes by class.
    """

    per_class: dict[int, float]
    n_true: dict[int, int]

    @property
    def mean(self) -> float:
        """Mean over the classes that have true boxes: mAP50 at an overlap of 0.5."""
        return sum(self.per_class.values()) / len(self.per_class)


def average_precision(
    found: Sequence[Detections],
    boxes: NDArray[np.floating],
    classes: NDArray[np.integer],
    *,
    min_iou: float = 0.5,
) -> AveragePrecision:
    """Compare found with true boxes, window by window.

    Detections of a class, best first over all windows, are hits when they overlap a true box of
    the window that is not taken yet by at least ``min_iou``. Average precision is the mean, over
    the recalls 0, 0.01 ... 1, of the best precision at that recall or a higher one (COCO's).

    Parameters
    ----------
    found
        What was found in each of T windows.
    boxes
        ``(T, K, 4)``, x0, y0, x1, y1; a row of NaN is a box that is not there.
    classes
        ``(K,)``, class of each of the K boxes.
    min_iou
        Intersection over union that makes a hit.

    Raises
    ------
    UsageError
        When shapes do not fit or there is no true box.
    MissingComponentError
        Without pycocotools.
    """
    if boxes.shape != (len(found), len(classes), 4):
        raise UsageError(
            f"average_precision: boxes must be ({len(found)}, {len(classes)}, 4) for so many "
            f"windows and classes, got {boxes.shape}"
        )
    seen = np.argwhere(~np.isnan(boxes).any(axis=-1))
    if not len(seen):
        raise UsageError("average_precision: there is no true box in any window; give some")
    labels = np.asarray(classes)[seen[:, 1]]
    true = [
        _annotation(window, boxes[window, k], label)
        for (window, k), label in zip(seen, labels, strict=True)
    ]
    said = [
        {**_annotation(window, box, label), "score": float(score)}
        for window, one in enumerate(found)
        for box, score, label in zip(one.boxes, one.scores, one.classes, strict=True)
    ]
    names, n_true = np.unique(labels, return_counts=True)
    known = [int(name) for name in names]
    precision = _coco_precision(true, said, known, len(found), min_iou)
    return AveragePrecision(
        dict(zip(known, precision.mean(axis=0).tolist(), strict=True)),
        dict(zip(known, n_true.tolist(), strict=True)),
    )


def _annotation(window: int, box: NDArray[np.floating], label: int) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(side) for side in box)
    return {
        "image_id": int(window),
        "category_id": int(label),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }


def _coco_precision(
    true: list[dict[str, Any]],
    said: list[dict[str, Any]],
    classes: list[int],
    n_windows: int,
    min_iou: float,
) -> NDArray[np.float64]:
    """Precision ``(101, C)`` at COCO's recalls; pycocotools prints, so it is not listened to."""
    coco = require("pycocotools.coco", "average precision")
    cocoeval = require("pycocotools.cocoeval", "average precision")
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = (_dataset(coco, boxes, classes, n_windows) for boxes in (true, said))
        evaluation = cocoeval.COCOeval(truth, results, "bbox")
        evaluation.params.iouThrs = np.array([min_iou])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
        evaluation.params.maxDets = [max(1, len(said))]
        evaluation.evaluate()
        evaluation.accumulate()
    precision: NDArray[np.float64] = evaluation.eval["precision"][0, :, :, 0, 0]
    return precision


def _dataset(coco: Any, boxes: list[dict[str, Any]], classes: list[int], n_windows: int) -> Any:
    dataset = coco.COCO()
    dataset.dataset = {
        "images": [{"id": window} for window in range(n_windows)],
        "categories": [{"id": name} for name in classes],
        "annotations": [{**box, "id": i} for i, box in enumerate(boxes, start=1)],
    }
    dataset.createIndex()
    return dataset
