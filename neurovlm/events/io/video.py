"""Video files: frames decoded by PyAV, and the events a camera would send of them.

The events are simulated by the contrast model (`neurovlm.events.camera`), with log luminance
linear in time between two frames. Pixel values are taken as luminance, as ESIM (Rebecq et al.,
CoRL 2018) and v2e (Hu et al., CVPRW 2021) take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurovlm.core.errors import InputFileError
from neurovlm.core.optional import require
from neurovlm.events.camera import (
    ContrastParams,
    contrast_step,
    first_state,
    log_luminance,
    merge,
    noise_events,
)
from neurovlm.events.io.frames import Frame
from neurovlm.events.io.source import Columns, Sensor, Source

EXTENSIONS = {
    "MP4": (".mp4", ".m4v", ".mov"),
    "AVI": (".avi",),
    "Matroska": (".mkv",),
    "WebM": (".webm",),
}
"""Formats by name, with what their files are called."""
SENSOR_SIDE = 128
"""Shorter side of the simulated sensor, that of a DVS128: what lies below the model's grid costs
events and shows nothing."""
FRAME_SIDE = 256
"""Shorter side of the frames handed on."""
DARK = 0.05
"""Added to luminance: compression noise in the dark is no change of contrast."""
MISSING_S = 0.5
"""A video that ends this much before the time its header states is truncated."""
_BLOCK_FRAMES = 8  # an event per threshold and pixel: more frames at once cost much memory


def video_format(head: bytes) -> str | None:
    """Name of the video format that begins with these bytes, or None."""
    if head[4:8] == b"ftyp":
        return "MP4"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "AVI"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "WebM" if b"webm" in head[:64] else "Matroska"
    return None


def open_video(path: Path, name: str, seed: int) -> Source:
    """Simulate an event camera that looks at a video.

    Parameters
    ----------
    path
        Video file.
    name
        Its format.
    seed
        Decides thresholds and noise of the camera; each pass gives the same events.

    Raises
    ------
    InputFileError
        When the file cannot be decoded, holds no video stream, or fewer than two frames.
    MissingComponentError
        Without PyAV.
    """
    first = list(islice(video_frames(path, side=FRAME_SIDE), 2))
    if len(first) < 2:
        raise InputFileError(
            f"{path}: holds one frame only; events come from change between frames: give a film"
        )
    with _opened(path) as (_, stream):
        rate, size = stream.average_rate, (stream.width, stream.height)
    height, width = first[0].pixels.shape[:2]
    sensor = _reduced(width, height, SENSOR_SIDE)
    params = ContrastParams()
    note = (
        f"no event camera saw this: events are simulated from a video of {size[0]}x{size[1]} "
        f"pixels at {float(rate or 0):.4g} frames per second, reduced to {sensor[0]}x{sensor[1]} "
        f"(contrast model, threshold {params.threshold_on:g}, seed {seed}, luminance interpolated "
        "between frames); motion faster than the frames shows as jumps"
    )
    return Source(
        name,
        lambda: _columns(path, sensor, params, seed),
        sensor,
        (note,),
        lambda: video_frames(path, side=FRAME_SIDE),
    )


def video_frames(
    path: Path, layout: Literal["rgb24", "gray"] = "rgb24", side: int | None = None
) -> Iterator[Frame]:
    """Frames of the first video stream, upright, at their own times, the first at 0.

    Parameters
    ----------
    path
        Video in any format FFmpeg reads.
    layout
        RGB ``(height, width, 3)`` or grey ``(height, width)``.
    side
        Reduce frames, by area, to this shorter side where theirs is longer.

    Raises
    ------
    InputFileError
        When the file cannot be decoded, has no video stream, no frame, a frame without time or
        not later than the one before it, or ends before the time its header states.
    MissingComponentError
        Without PyAV.
    """
    start, last, end, n = Fraction(0), Fraction(-1), Fraction(0), 0
    with _opened(path) as (container, stream):
        for image in container.decode(stream):
            if image.pts is None or image.is_corrupt:
                what = "is damaged" if image.is_corrupt else "has no time"
                raise InputFileError(
                    f"{path}: frame {n} {what}; copy the file again, or use --stop"
                )
            at = image.pts * image.time_base
            start = at if n == 0 else start
            if n and at <= last:
                raise InputFileError(
                    f"{path}: frame {n} at {float(at):g} s is not later than the one before it; "
                    "write the video again with rising times"
                )
            yield Frame(round((at - start) * 1_000_000), _pixels(image, layout, side))
            last, end, n = at, at + (image.duration or 0) * image.time_base, n + 1
        stated = _stated_end(container, stream)
    if not n:
        raise InputFileError(f"{path}: holds no video frames; give another file")
    if stated is not None and stated - end > MISSING_S:
        raise InputFileError(
            f"{path}: truncated: its frames end at {float(end):.2f} s of {float(stated):.2f} s; "
            "copy the file again, or use --stop to run what is there"
        )


def luminance(pixels: NDArray[np.uint8], size: Sensor) -> NDArray[np.float32]:
    """Reduce luminance, `DARK` + 0..1, of a frame by area to ``size`` = (width, height)."""
    grey = Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.BOX)
    return np.float32(DARK) + np.asarray(grey, np.float32) / np.float32(255)


def _columns(path: Path, sensor: Sensor, params: ContrastParams, seed: int) -> Iterator[Columns]:
    """Events of one pass, block by block; scene and noise draw from generators of their own."""
    rng, noise_rng = (np.random.default_rng([seed, part]) for part in (0, 1))
    frames = video_frames(path, side=FRAME_SIDE)
    head = next(frames)
    state = first_state(log_luminance(luminance(head.pixels, sensor)), head.t_us, params, rng)
    while block := list(islice(frames, _BLOCK_FRAMES)):
        shown = np.stack([log_luminance(luminance(frame.pixels, sensor)) for frame in block])
        times = np.array([frame.t_us for frame in block], np.int64)
        start_us = state.t_us
        scene, state = contrast_step(shown, times, state, params)
        noise = noise_events(start_us, state.t_us, state, params, noise_rng)
        events, _ = merge(scene, noise)
        yield Columns(events.t, events.x, events.y, events.p)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and first video stream; what FFmpeg refuses becomes an ``InputFileError``."""
    av = require("av", "reading video")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                kinds = ", ".join(sorted({stream.type for stream in container.streams}))
                raise InputFileError(
                    f"{path}: holds no video stream (it holds {kinds or 'none'}); give a film"
                )
            yield container, container.streams.video[0]
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputFileError(f"{path}: cannot be decoded as video: {reason}") from error


def _pixels(image: Any, layout: str, side: int | None) -> NDArray[np.uint8]:
    """Pixels of a decoded frame, reduced and turned as a player would show them."""
    width, height = image.width, image.height
    if side is not None:
        width, height = _reduced(width, height, side)
    image = image.reformat(width=width, height=height, format=layout, interpolation="AREA")
    upright: NDArray[np.uint8] = np.rot90(image.to_ndarray(), round(image.rotation / 90) % 4)
    return np.ascontiguousarray(upright)


def _reduced(width: int, height: int, side: int) -> Sensor:
    """Size with the same aspect whose shorter side is at most ``side``."""
    share = min(1.0, side / min(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _stated_end(container: Any, stream: Any) -> Fraction | None:
    """Where the video ends by its header, in s; of a file with sound only the stream's word."""
    first = (stream.start_time or 0) * stream.time_base
    if stream.duration is not None:
        return Fraction(first + stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return Fraction(container.duration, 1_000_000)
    return None
