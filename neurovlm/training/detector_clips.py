"""Clips with true masks for the change detector: procedural scenes and static-camera video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import InputFileError
from neurovlm.core.grid import GridMap
from neurovlm.events.camera import (
    ContrastParams,
    contrast_step,
    first_state,
    log_luminance,
    merge,
    noise_events,
)
from neurovlm.events.io.video import SENSOR_SIDE, luminance, video_frames
from neurovlm.events.scenes import LABELS, TRUTH_EVENTS, clip_seed, render_clip, subject_from_seed
from neurovlm.events.scenes.clip import NOISE_HZ
from neurovlm.events.scenes.film import GRID, Clip

QUIET = 1 / 8
"""Share of the training clips without background noise."""
PIXEL_CHANGE = 0.2
"""A pixel of a video changed when its log luminance differs by more than this (the camera's
contrast threshold) from one frame to the next."""
FRAME_US = 25_000
"""A video is played at one frame per window, so that truth and mask speak of the same time."""


def training_noise(n: int, seed: int) -> NDArray[np.float64]:
    """Noise of ``n`` training clips: one in eight without any, the others log-uniform."""
    rng = np.random.default_rng([seed, 5])
    low, high = np.log(NOISE_HZ)
    level = np.exp(rng.uniform(low, high, n))
    return np.where(rng.random(n) < QUIET, 0.0, level)


def procedural_clip(subject_seed: int, noise_hz: float, repetition: int = 0) -> Clip:
    """1.5 s of a gesture of the subject ``subject_seed``; the label goes by its seed."""
    label = subject_seed % len(LABELS)
    return render_clip(
        label,
        subject_from_seed(subject_seed),
        noise_hz=noise_hz,
        seed=clip_seed(subject_seed, label, repetition),
        with_frames=False,
    )


def procedural_clips(subject_seeds: Iterable[int], noise_hz: Iterable[float]) -> Iterator[Clip]:
    """One clip per subject and noise level, pair by pair."""
    for subject_seed, level in zip(subject_seeds, noise_hz, strict=True):
        yield procedural_clip(subject_seed, float(level))


def video_clip(
    path: str | Path,
    part: tuple[float, float] = (0.0, 1.0),
    *,
    noise_hz: float = 1.0,
    seed: int = 0,
) -> Clip:
    """Events of a video seen by the contrast model, and the patches whose pixels changed.

    The centred square of each frame is reduced to 128 x 128 and shown for one window. A patch
    changed in a window when at least `TRUTH_EVENTS` of its pixels changed by `PIXEL_CHANGE`.

    Parameters
    ----------
    path
        Video of a camera that does not move, in any format FFmpeg reads.
    part
        Share of the frames to use: ``(0, 0.5)`` is the first half.
    noise_hz
        Background events per pixel and second.
    seed
        Decides thresholds and noise of the camera.

    Raises
    ------
    InputFileError
        When the file cannot be decoded or the part has fewer than two frames.
    MissingComponentError
        Without PyAV.
    """
    frames = _luminance(Path(path))
    first, last = (round(share * len(frames)) for share in part)
    shown = log_luminance(frames[first:last])
    if len(shown) < 2:
        raise InputFileError(
            f"{path}: frames {first} to {last} of {len(frames)} are no film; use a larger part"
        )
    rng = np.random.default_rng([seed, 6])
    params = ContrastParams(noise_hz=noise_hz)
    state = first_state(shown[0], 0, params, rng)
    times = FRAME_US * np.arange(1, len(shown), dtype=np.int64)
    signal, state = contrast_step(shown[1:], times, state, params)
    noise = noise_events(0, int(times[-1]), state, params, rng)
    stream, from_scene = merge(signal.between(0, int(times[-1])), noise)
    start_us = int(stream.t[0]) if len(stream) else 0
    n_windows = (int(times[-1]) - start_us) // FRAME_US
    # the first event is at most microseconds late, so window k shows frames k and k + 1
    middles = start_us + FRAME_US // 2 + FRAME_US * np.arange(n_windows)
    return Clip(stream, from_scene, _changed(shown)[middles // FRAME_US], start_us, FRAME_US)


def _luminance(path: Path) -> NDArray[np.float32]:
    """Luminance of the centred square of every frame, `DARK` + 0..1, ``(n, 128, 128)``."""
    frames = []
    for frame in video_frames(path, "gray"):
        height, width = frame.pixels.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = frame.pixels[top : top + side, left : left + side]
        frames.append(luminance(square, (SENSOR_SIDE, SENSOR_SIDE)))
    return np.stack(frames)


def _changed(shown: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Changed patches between neighbouring frames, ``(n - 1, 196)``."""
    grid_map = GridMap.fit((SENSOR_SIDE, SENSOR_SIDE), GRID.pixels)
    kept = np.abs(np.diff(shown, axis=0)) > PIXEL_CHANGE
    kept = kept[:, grid_map.rows >= 0][:, :, grid_map.columns >= 0]
    count = GRID.to_patches(kept[:, None].astype(np.int64)).sum(axis=-1)
    changed: NDArray[np.bool_] = count >= TRUTH_EVENTS
    return changed
