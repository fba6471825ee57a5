"""Names beside points, where they cover neither a point, nor a line, nor each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from hw_models.plot import style

_CHARACTER = 0.6  # mean width of a character over the size of the font
_GAP_PT = 7.0


def name_points(
    ax: Axes,
    points: Sequence[tuple[float, float, str]],
    lines: npt.NDArray[np.float64],
    *,
    at_most: int,
) -> None:
    """Write names beside points, the first ones first; one that finds no free place is left out.

    Parameters
    ----------
    ax
        With its limits and scales set.
    points
        Position in data coordinates and name.
    lines
        Positions along lines that must stay free, in data coordinates, shape (n, 2).
    at_most
        Number of names.
    """
    size_pt = style.SMALL_PT - 1
    per_pt = ax.figure.dpi / 72
    places = np.array([(x, y) for x, y, _ in points]).reshape(-1, 2)
    taken = ax.transData.transform(np.concatenate([places, lines.reshape(-1, 2)]))
    inside = ax.get_window_extent()
    boxes: list[Bbox] = []
    for (x, y, name), at in zip(points, taken, strict=False):
        width, height = len(name) * _CHARACTER * size_pt * per_pt, 1.3 * size_pt * per_pt
        for (right, up), box in _places(at, width, height, _GAP_PT * per_pt):
            covered = ((taken > box.min) & (taken < box.max)).all(axis=1).any()
            outside = not (inside.contains(*box.min) and inside.contains(*box.max))
            if covered or outside or any(box.overlaps(other) for other in boxes):
                continue
            boxes.append(box)
            ax.annotate(
                name,
                (x, y),
                xytext=(right * _GAP_PT, up * _GAP_PT * 0.8),
                textcoords="offset points",
                ha={1: "left", 0: "center", -1: "right"}[right],
                va={1: "bottom", 0: "center", -1: "top"}[up],
                fontsize=size_pt,
                color=style.INK,
                zorder=4,
            )
            break
        if len(boxes) == at_most:
            return


def _places(
    at: npt.NDArray[np.float64], width: float, height: float, gap: float
) -> Iterator[tuple[tuple[int, int], Bbox]]:
    """Eight places around a point, the most usual first, with the box of a name there."""
    for right, up in ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1)):
        x = at[0] + right * gap + width * (right - 1) / 2
        y = at[1] + up * gap * 0.8 + height * (up - 1) / 2
        yield (right, up), Bbox.from_bounds(x, y, width, height)
