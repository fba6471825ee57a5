"""Patches of events and of a frame -> tokens, for chosen patches only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neurovlm.core.grid import PatchGrid

FRAME_PATCH = 16
"""Side of a frame's patch in pixels; 14 x 14 of them make a 224 x 224 frame."""

FRAME_CHANNELS = 3

POSITION_SCALE = 0.3
"""Start of the position beside the embedded events, whose values have a spread of about 0.15."""


class PatchEmbed(nn.Module):
    """x_i = E log(1 + counts_i) + (F rgb_i or ``no_frame``) + position_i.

    The position is added here, before any token is selected, so that a token knows where it is
    whatever else is computed. ``no_frame`` is learned and stands for a frame that is missing.

    Parameters
    ----------
    dim
        Token width D.
    channels
        Event count channels C.
    grid
        Patch grid of the counts; a frame uses the same grid with larger patches.
    """

    event_pixels: Tensor
    rgb_pixels: Tensor

    def __init__(self, dim: int, channels: int, grid: PatchGrid) -> None:
        super().__init__()
        frame_grid = PatchGrid(grid.side, FRAME_PATCH)
        self.frame_pixels = frame_grid.pixels
        self.events = nn.Linear(channels * grid.patch**2, dim)
        self.frame = nn.Linear(FRAME_CHANNELS * FRAME_PATCH**2, dim, bias=False)
        self.no_frame = nn.Parameter(torch.zeros(dim))
        self.position = nn.Parameter(_waves(grid.side, dim) * POSITION_SCALE)
        self.register_buffer("event_pixels", _pixel_table(grid, channels), persistent=False)
        self.register_buffer(
            "rgb_pixels", _pixel_table(frame_grid, FRAME_CHANNELS), persistent=False
        )

    def forward(self, inputs: tuple[Tensor, Tensor | None], index: Tensor | None = None) -> Tensor:
        """Embed the patches at ``index``, or all of them.

        Parameters
        ----------
        inputs
            Counts, uint8 ``(B, C, pixels, pixels)``, spikes per pixel in the window; and a frame,
            uint8 ``(B, 224, 224, 3)``, or None.
        index
            int64 ``(B, k)``, or None for all N patches.

        Returns
        -------
        Tensor
            ``(B, k, D)``.
        """
        counts, frame = inputs
        x = self.events(torch.log1p(_patches(counts, self.event_pixels, index)))
        if frame is None:
            x = x + self.no_frame
        else:
            rgb = _patches(frame.permute(0, 3, 1, 2), self.rgb_pixels, index)
            x = x + self.frame(rgb / 127.5 - 1)
        return x + (self.position if index is None else self.position[index])


def _pixel_table(grid: PatchGrid, channels: int) -> Tensor:
    """Flat pixel index of each value of each patch, ``(N, channels * patch^2)``."""
    image = np.arange(channels * grid.pixels**2).reshape(channels, grid.pixels, grid.pixels)
    return torch.from_numpy(np.ascontiguousarray(grid.to_patches(image)))


def _waves(side: int, dim: int) -> Tensor:
    """Sines and cosines of row and column at several wavelengths, ``(side^2, dim)``.

    Neighbours start alike and far patches apart, as in Vaswani et al. (2017), in two dimensions.
    Wavelengths run from 4 to 4 * side patches; ``dim`` is filled up with zeros.
    """
    n = dim // 4
    wavelength = 4.0 * side ** torch.linspace(0, 1, n)
    angle = 2 * torch.pi * torch.arange(side)[:, None] / wavelength  # (side, n)
    wave = torch.cat([angle.sin(), angle.cos()], -1)  # (side, 2n)
    rows = wave[:, None].expand(side, side, 2 * n)
    columns = wave[None].expand(side, side, 2 * n)
    both = torch.cat([rows, columns], -1).flatten(0, 1)
    return torch.nn.functional.pad(both, (0, dim - 4 * n))


def _patches(image: Tensor, table: Tensor, index: Tensor | None) -> Tensor:
    """Pixels of the chosen patches as float, ``(B, k, channels * patch^2)``."""
    flat = image.flatten(1)
    if index is None:
        return flat[:, table].float()
    chosen = table[index]
    return flat.gather(1, chosen.flatten(1)).view(chosen.shape).float()
