"""Boxes stand where they are, solid when found and dashed when true."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from neurovlm import viz
from neurovlm.core.errors import UsageError
from neurovlm.sttf.boxes import Detections
from neurovlm.viz.tokens import event_image

NAMES = ("head", "right hand", "left hand")
IMAGE = event_image(np.zeros((3, 126, 126), np.uint8))
TRUE = np.array([[50, 10, 70, 40], [20, 60, 30, 72], [np.nan] * 4])
FOUND = Detections(
    np.array([[52, 12, 70, 41], [90, 60, 99, 70]], np.float32),
    np.array([0.93, 0.4], np.float32),
    np.array([0, 2]),
)


def drawn(ax):
    """(line, x0, y0, x1, y1) of every box, in the order drawn."""
    return [(p.get_linestyle(), *p.get_bbox().extents.tolist()) for p in ax.patches]


def test_found_boxes_are_solid_true_ones_dashed_and_missing_ones_left_out():
    ax = viz.boxes(IMAGE, FOUND, TRUE, names=NAMES)
    assert drawn(ax) == [
        ("dashed", 50, 10, 70, 40),
        ("dashed", 20, 60, 30, 72),
        ("solid", 52, 12, 70, 41),
        ("solid", 90, 60, 99, 70),
    ]
    head_true, right, head_found, left = (p.get_edgecolor() for p in ax.patches)
    assert head_true == head_found
    assert len({head_true, right, left}) == 3
    assert [text.get_text() for text in ax.texts] == ["93%", "40%"]
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == [*NAMES, "found", "true"]


def test_boxes_are_measured_on_the_grid_whatever_the_picture_is_made_of():
    frame = np.zeros((224, 224, 3), np.uint8)
    ax = viz.boxes(frame, FOUND)
    assert ax.images[0].get_extent() == [0, 126, 126, 0]
    assert ax.get_xlim() == (0, 126) and ax.get_ylim() == (126, 0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "class 0",
        "class 2",
        "found",
    ]


def test_only_the_given_axes_is_drawn_on():
    first, second = Figure().subplots(1, 2)
    assert viz.boxes(IMAGE, FOUND, TRUE, second) is second
    assert not first.has_data() and not first.patches
    assert not viz.boxes(IMAGE).patches


def test_true_boxes_of_another_shape_are_refused():
    with pytest.raises(UsageError, match=r"must be \(K, 4\), one per class, got \(4,\)"):
        viz.boxes(IMAGE, true=TRUE[0])
