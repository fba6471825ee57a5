"""Paint capsules with soft edges onto stacks of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def pixel_centres(n: int, visible: float) -> NDArray[np.float64]:
    """Positions of ``n`` pixels that share ``visible`` view units, symmetric around 0."""
    return np.float64(visible / n) * (np.arange(n) - (n - 1) / 2)


def paint(
    background: NDArray[np.float32],
    capsules: NDArray[np.float64],
    values: NDArray[np.float64],
    visible: tuple[float, float],
) -> NDArray[np.float32]:
    """Paint shapes over a background, one image per frame.

    Each shape covers a pixel with alpha = clip(r - d + 1/2, 0, 1), d the distance of the pixel from
    the shape's axis in pixels, and blends its value with what lies behind it.

    Parameters
    ----------
    background
        ``(height, width, channels)``, or ``(n_frames, height, width, channels)`` if it changes.
    capsules
        ``(n_frames, n_shapes, 6)`` as in `Puppet`, back to front.
    values
        ``(n_shapes, channels)``.
    visible
        Width and height of the image in view units, centred on (0, 0).

    Returns
    -------
    ndarray
        float32 ``(n_frames, height, width, channels)``.
    """
    height, width, _ = background.shape[-3:]
    images = np.array(np.broadcast_to(background, (len(capsules), *background.shape[-3:])))
    x, y = pixel_centres(width, visible[0]), pixel_centres(height, visible[1])
    _paint(images, capsules, values.astype(np.float32), x, y, visible[0] / width)
    return images


@njit(cache=True)
def _paint(images: Any, capsules: Any, values: Any, xs: Any, ys: Any, step: float) -> None:
    n_frames, height, width, n_channels = images.shape
    for f in range(n_frames):
        for s in range(capsules.shape[1]):
            x0, y0, r0, x1, y1, r1 = capsules[f, s]
            dx, dy, dr = x1 - x0, y1 - y0, r1 - r0
            length2 = max(dx * dx + dy * dy, 1e-12)
            margin = max(r0, r1) + step
            left = max(int((min(x0, x1) - margin - xs[0]) / step), 0)
            right = min(int((max(x0, x1) + margin - xs[0]) / step) + 2, width)
            top = max(int((min(y0, y1) - margin - ys[0]) / step), 0)
            bottom = min(int((max(y0, y1) + margin - ys[0]) / step) + 2, height)
            for row in range(top, bottom):
                py = ys[row] - y0
                for column in range(left, right):
                    px = xs[column] - x0
                    along = min(max((px * dx + py * dy) / length2, 0.0), 1.0)
                    ox, oy = px - along * dx, py - along * dy
                    inside = (r0 + along * dr - np.sqrt(ox * ox + oy * oy)) / step + 0.5
                    if inside <= 0:
                        continue
                    alpha = np.float32(min(inside, 1.0))
                    for c in range(n_channels):
                        behind = images[f, row, column, c]
                        images[f, row, column, c] = behind + alpha * (values[s, c] - behind)
