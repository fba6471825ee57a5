"""Ground-truth boxes of head and hands, from the shapes that are painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import GridMap
from neurovlm.events.scenes.body import Puppet
from neurovlm.events.scenes.film import GRID
from neurovlm.events.scenes.subject import VIEW_UNITS

BOX_CLASSES = ("head", "right hand", "left hand")
"""Classes of boxes, in the order of `SceneClip.boxes`; right and left are the person's own."""

MIN_INSIDE = 0.5
"""A box counts as seen when at least this share of its area is inside the view."""


def visible_units(sensor: tuple[int, int]) -> float:
    """Side of the part of the view that the patch grid covers, in view units."""
    n_visible = int((GridMap.fit(sensor, GRID.pixels).columns >= 0).sum())
    return VIEW_UNITS * n_visible / min(sensor)


def puppet_boxes(puppet: Puppet, sensor: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes around head and hands of each pose.

    Returns
    -------
    ndarray
        float32 ``(n_frames, len(BOX_CLASSES), 4)``: x0, y0, x1, y1 in pixels of the patch grid,
        cut at its border; NaN where less than `MIN_INSIDE` of the box is inside.
    """
    boxes = np.stack([_around(puppet.capsules[:, list(part)]) for part in puppet.parts], axis=1)
    view = visible_units(sensor)
    whole = (boxes / view + 0.5) * GRID.pixels
    cut = np.clip(whole, 0.0, GRID.pixels)
    unseen = _area(cut) < MIN_INSIDE * _area(whole)
    cut[unseen] = np.nan
    return cut.astype(np.float32)


def _around(capsules: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest boxes ``(n_frames, 4)`` around capsules ``(n_frames, n, 6)``."""
    ends = np.concatenate([capsules[..., :3], capsules[..., 3:]], axis=1)
    low = (ends[..., :2] - ends[..., 2:]).min(axis=1)
    high = (ends[..., :2] + ends[..., 2:]).max(axis=1)
    return np.concatenate([low, high], axis=1)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return area
