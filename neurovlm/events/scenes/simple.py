"""Simple motion with exact truth: a moving square, a flickering patch, a static scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.camera import ContrastParams
from neurovlm.events.scenes.film import GRID, Clip, film

SIDE = 128
BORDER = (SIDE - GRID.pixels) // 2
"""Sensor pixels cut off on each side of the patch grid."""


def moving_square(
    *,
    velocity_px_s: tuple[float, float] = (80.0, 0.0),
    start_px: tuple[float, float] = (20.0, 50.0),
    size_px: float = 20.0,
    contrast: float = 0.8,
    duration_s: float = 0.5,
    window_ms: float = 25.0,
    noise_hz: float = 0.0,
    seed: int = 0,
) -> Clip:
    """Film a textured square that moves over a plain wall, on a 128 x 128 sensor.

    Parameters
    ----------
    velocity_px_s
        Rightwards and downwards.
    start_px
        Its left and upper edge at time 0; pixel column x covers ``[x, x + 1)``.
    contrast
        Mean log luminance above the wall; the texture adds +-0.3.
    noise_hz
        Background events per pixel and second; there are no hot pixels.
    """
    edges = np.arange(SIDE + 1, dtype=np.float64)

    def look(t_us: NDArray[np.int64]) -> NDArray[np.float32]:
        t_s = t_us[:, None] * 1e-6
        covered, wave = [], []
        for start, velocity in zip(start_px, velocity_px_s, strict=True):
            low = start + velocity * t_s
            inside = np.clip(edges[None, :], low, low + size_px)
            covered.append(np.diff(inside, axis=1))
            wave.append(np.sin(2 * np.pi / 6.0 * (edges[None, :-1] + 0.5 - low)))
        texture = contrast + 0.3 * wave[1][:, :, None] * wave[0][:, None, :]
        image: NDArray[np.float64] = texture * covered[1][:, :, None] * covered[0][:, None, :]
        return image.astype(np.float32)

    return film(look, duration_s, window_ms, _camera(noise_hz), np.random.default_rng(seed))


def flicker_patch(
    patch: int,
    *,
    rate_hz: float = 20.0,
    contrast: float = 0.8,
    duration_s: float = 0.5,
    window_ms: float = 25.0,
    noise_hz: float = 0.0,
    seed: int = 0,
) -> Clip:
    """Film a plain wall of which one patch, row-major 0..195, changes its brightness as a sine."""
    if not 0 <= patch < GRID.n_patches:
        raise UsageError(f"flicker_patch: patch must be in 0..{GRID.n_patches - 1}, got {patch}")
    row, column = divmod(patch, GRID.side)
    lamp = np.zeros((SIDE, SIDE))
    top, left = BORDER + GRID.patch * row, BORDER + GRID.patch * column
    lamp[top : top + GRID.patch, left : left + GRID.patch] = contrast

    def look(t_us: NDArray[np.int64]) -> NDArray[np.float32]:
        wave = np.sin(2 * np.pi * rate_hz * t_us * 1e-6)
        image: NDArray[np.float64] = wave[:, None, None] * lamp
        return image.astype(np.float32)

    return film(look, duration_s, window_ms, _camera(noise_hz), np.random.default_rng(seed))


def static_scene(
    *, noise_hz: float = 1.0, duration_s: float = 0.5, window_ms: float = 25.0, seed: int = 0
) -> Clip:
    """Film a wall on which nothing happens: sensor noise only, and no patch changed."""

    def look(t_us: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.zeros((len(t_us), SIDE, SIDE), np.float32)

    return film(look, duration_s, window_ms, _camera(noise_hz), np.random.default_rng(seed))


def _camera(noise_hz: float) -> ContrastParams:
    return ContrastParams(noise_hz=noise_hz, hot_pixels=0)
