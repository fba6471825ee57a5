"""Intensity frames that some cameras record beside the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError


@dataclass(frozen=True, eq=False)
class Frame:
    """One intensity image.

    Attributes
    ----------
    t_us
        Time in microseconds, on the clock of the events.
    pixels
        uint8, ``(height, width)`` grey or ``(height, width, 3)`` RGB, read-only.

    Raises
    ------
    InputFileError
        When the pixels have another type or shape, or hold NaN.
    """

    t_us: int
    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        pixels = self.pixels
        if np.issubdtype(pixels.dtype, np.floating) and np.isnan(pixels).any():
            place = tuple(int(i) for i in np.argwhere(np.isnan(pixels))[0])
            raise InputFileError(f"frame at {self.t_us} us: pixel {place} is NaN; repair the frame")
        if pixels.dtype != np.uint8:
            raise InputFileError(
                f"frame at {self.t_us} us: pixels must be uint8, got {pixels.dtype}; "
                "scale them to 0..255"
            )
        if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)) or not pixels.size:
            raise InputFileError(
                f"frame at {self.t_us} us: pixels must be (height, width) or (height, width, 3), "
                f"got {pixels.shape}"
            )
        if pixels.flags.writeable:
            pixels = pixels.copy()
            pixels.setflags(write=False)
            object.__setattr__(self, "pixels", pixels)


def frame_from_decoder(t_us: int, pixels: NDArray[Any]) -> Frame:
    """Bring the four pixel layouts of AEDAT4 (L, I;16, RGB, RGBA) to 8-bit grey or RGB."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    return Frame(t_us, pixels)
