"""The one place that knows pixels <-> patches <-> tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError

Fit = Literal["crop", "letterbox", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "letterbox", "stretch")


@dataclass(frozen=True)
class PatchGrid:
    """A square grid of ``side x side`` patches, each ``patch x patch`` pixels.

    Token ``i`` is the patch in row ``i // side``, column ``i % side`` (row-major).
    """

    side: int = 14
    patch: int = 9

    def __post_init__(self) -> None:
        if self.side < 1 or self.patch < 1:
            raise UsageError(
                f"PatchGrid: side and patch must be at least 1, got {self.side} and {self.patch}"
            )

    @property
    def pixels(self) -> int:
        """Width and height of the grid in pixels."""
        return self.side * self.patch

    @property
    def n_patches(self) -> int:
        """Number of patches, one token each."""
        return self.side * self.side

    def to_patches(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """Cut ``(..., C, pixels, pixels)`` into ``(..., n_patches, C * patch * patch)``."""
        *lead, channels, height, width = image.shape
        if (height, width) != (self.pixels, self.pixels):
            raise UsageError(
                f"PatchGrid: image must be {self.pixels} x {self.pixels} pixels, "
                f"got {height} x {width}"
            )
        cut = image.reshape(*lead, channels, self.side, self.patch, self.side, self.patch)
        n = len(lead)
        order = (*range(n), n + 1, n + 3, n, n + 2, n + 4)
        return cut.transpose(order).reshape(*lead, self.n_patches, channels * self.patch**2)


@dataclass(frozen=True)
class GridMap:
    """Integer map from sensor pixels to grid pixels, one table per axis.

    ``columns[x]`` is the grid column of sensor column ``x``, or -1 where the pixel is cut off;
    ``rows`` likewise. The three fits:

    - ``crop``: the centred largest square; x' = (x - x0) * pixels // side.
    - ``letterbox``: the longer side fills the grid, the shorter is centred between empty bands.
    - ``stretch``: each axis fills the grid on its own.

    A side of 128 on a 126-pixel grid is centre-cropped by one pixel on each border, so DVS128
    pixels keep their size.
    """

    columns: NDArray[np.int32]
    rows: NDArray[np.int32]
    pixels: int

    def __post_init__(self) -> None:
        for name in ("columns", "rows"):
            array = getattr(self, name).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def fit(cls, sensor: tuple[int, int], pixels: int, fit: Fit = "crop") -> GridMap:
        """Build the map for a sensor of ``(width, height)``.

        Raises
        ------
        UsageError
            For an unknown fit or an empty sensor.
        """
        if fit not in FITS:
            raise UsageError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
        width, height = sensor
        if width < 1 or height < 1:
            raise UsageError(f"sensor must be at least 1x1, got {width}x{height}")
        if fit == "stretch":
            sides = (width, height)
        else:
            side = min(sensor) if fit == "crop" else max(sensor)
            sides = (side, side)
        columns = _axis(width, sides[0], pixels)
        rows = _axis(height, sides[1], pixels)
        return cls(columns, rows, pixels)

    def cells(self, size: int) -> GridMap:
        """Map to cells of ``size x size`` grid pixels.

        Raises
        ------
        UsageError
            When cells of this size do not fill the grid.
        """
        if size < 1 or self.pixels % size:
            raise UsageError(f"a grid of {self.pixels} pixels cannot be cut into cells of {size}")
        columns, rows = (
            np.where(axis >= 0, axis // size, np.int32(-1)) for axis in (self.columns, self.rows)
        )
        return GridMap(columns, rows, self.pixels // size)


def _axis(length: int, side: int, pixels: int) -> NDArray[np.int32]:
    """Map ``length`` sensor positions, centred on a window of ``side``, to ``pixels``."""
    position = np.arange(length, dtype=np.int64) - (length - side) // 2
    margin = side - pixels
    if 0 < margin <= 2:  # nearly the grid already: cut the border instead of merging pixels
        mapped = position - margin // 2
        inside = (mapped >= 0) & (mapped < pixels)
    else:
        mapped = position * pixels // side
        inside = (position >= 0) & (position < side)
    return np.where(inside, mapped, -1).astype(np.int32)
