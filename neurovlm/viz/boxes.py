"""Boxes over a picture: what the box head found beside what is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.viz import style

if TYPE_CHECKING:  # a picture needs no torch
    from neurovlm.sttf.boxes import Detections

GRID_PIXELS = PatchGrid().pixels
_COLOURS = style.DEVICES


def boxes(
    image: NDArray[Any],
    found: Detections | None = None,
    true: NDArray[np.floating] | None = None,
    ax: Axes | None = None,
    *,
    names: Sequence[str] = (),
    pixels: int = GRID_PIXELS,
    legend: bool = True,
) -> Axes:
    """Found boxes solid, true ones dashed, one colour per class, over an event image or a frame.

    Parameters
    ----------
    image
        Square picture of the grid at any resolution: RGB, or what `event_image` gives.
    found
        Boxes found in this window; written at each is its score in per cent.
    true
        ``(K, 4)``, true box of each class in the order of classes; a row of NaN is none.
    names
        Name of each class; its number where there is none.
    pixels
        Side of the grid the boxes are measured on.
    legend
        Whether to say below what is what.

    Raises
    ------
    UsageError
        When ``true`` has another shape.
    """
    ax = style.axes_or_new(ax, 3.4, 3.4)
    ax.imshow(image, extent=(0, pixels, pixels, 0), interpolation="nearest")
    shown: set[int] = set()
    for label, box in enumerate(_checked(true)):
        if not np.isnan(box).any():
            _draw(ax, box, label, "dashed")
            shown.add(label)
    if found is not None:
        for box, score, label in zip(found.boxes, found.scores, found.classes, strict=True):
            colour = _draw(ax, box, int(label), "solid")
            shown.add(int(label))
            ax.annotate(
                f"{score:.0%}",
                (box[0], box[1]),
                xytext=(0, 2.5),
                textcoords="offset points",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
                fontsize=style.SMALL_PT,
                color=colour,
            )
    ax.set(xticks=[], yticks=[], xlim=(0, pixels), ylim=(pixels, 0))
    handles = class_lines(sorted(shown), names)
    if found is not None:
        handles.append(Line2D([], [], color=style.INK, linestyle="solid", label="found"))
    if true is not None:
        handles.append(Line2D([], [], color=style.INK, linestyle="dashed", label="true"))
    if legend and handles:
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            ncols=3,
            frameon=False,
            fontsize=style.SMALL_PT,
        )
    return ax


def class_lines(labels: Iterable[int], names: Sequence[str]) -> list[Line2D]:
    """Lines of a legend that say which colour is which class."""
    return [
        Line2D(
            [],
            [],
            color=_COLOURS[label % len(_COLOURS)],
            label=names[label] if label < len(names) else f"class {label}",
        )
        for label in labels
    ]


def _checked(true: NDArray[np.floating] | None) -> NDArray[np.floating]:
    if true is None:
        return np.empty((0, 4))
    if true.ndim != 2 or true.shape[1] != 4:
        raise UsageError(f"boxes: true boxes must be (K, 4), one per class, got {true.shape}")
    return true


def _draw(ax: Axes, box: NDArray[np.floating], label: int, line: str) -> str:
    x0, y0, x1, y1 = (float(side) for side in box)
    colour = _COLOURS[label % len(_COLOURS)]
    rectangle = Rectangle(
        (x0, y0),
        x1 - x0,
        y1 - y0,
        fill=False,
        edgecolor=colour,
        linestyle=line,
        linewidth=1.4,
    )
    ax.add_patch(rectangle)
    return colour
