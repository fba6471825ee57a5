"""Rendered clips: events, frames, ground truth, label and caption of one gesture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import GridMap
from neurovlm.events.camera import (
    ContrastParams,
    contrast_step,
    first_state,
    merge,
    noise_events,
)
from neurovlm.events.scenes.body import Puppet, build_puppet
from neurovlm.events.scenes.caption import (
    FLIP,
    LABELS,
    SPEEDS,
    caption_of,
    check_label,
    label_slots,
)
from neurovlm.events.scenes.gesture import hand_paths, is_drawn_mirrored
from neurovlm.events.scenes.paint import paint, pixel_centres
from neurovlm.events.scenes.subject import VIEW_UNITS, Subject, subject_from_seed, wall_texture
from neurovlm.events.scenes.truth import GRID, changed_patches
from neurovlm.events.stream import EventStream

RENDER_STEP_US = 2000
FRAME_PIXELS = 224
NOISE_HZ = (0.1, 5.0)
BLOCK = 64


@dataclass(frozen=True, eq=False)
class SceneClip:
    """One performance of one gesture and everything that is true of it.

    Attributes
    ----------
    stream
        Events with camera noise.
    from_scene
        ``(n_events,)`` bool: caused by the scene, not by noise.
    truth
        ``(n_windows, 196)`` bool: patches that changed (`truth.changed_patches`).
    start_us, window_us
        Window k is ``[start_us + k window_us, start_us + (k + 1) window_us)``; ``start_us`` is the
        time of the first event, where the spiking front end starts its first tick.
    frames
        ``(n_windows, 224, 224, 3)`` uint8 RGB of the part of the view that the patch grid covers,
        taken in the middle of each window; None if they were not asked for.
    frame_t_us
        ``(n_windows,)`` their times.
    label, slots, caption
        What is seen.
    """

    stream: EventStream
    from_scene: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    start_us: int
    window_us: int
    frames: NDArray[np.uint8] | None
    frame_t_us: NDArray[np.int64]
    label: int
    slots: dict[str, str]
    caption: str

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return len(self.truth)

    def window(self, k: int) -> EventStream:
        """Events of window k."""
        start = self.start_us + k * self.window_us
        return self.stream.between(start, start + self.window_us)


@dataclass(frozen=True)
class Performance:
    """A gesture about to be performed: all that decides what is seen, noise apart."""

    label: int
    subject: Subject
    rate_hz: float
    seed: int


def perform(label: int, subject: Subject, seed: int, speed: str | None = None) -> Performance:
    """Choose the speed of a performance: ``speed`` if given, else drawn from ``seed``."""
    check_label(label)
    if speed is not None and speed not in SPEEDS:
        raise UsageError(f"speed must be one of {', '.join(SPEEDS)} or None, got {speed!r}")
    rng = np.random.default_rng([seed, 1])
    chosen = speed or SPEEDS[int(rng.integers(2))]
    rate_hz = subject.slow_hz if chosen == "slowly" else subject.quick_hz
    return Performance(label, subject, rate_hz * rng.uniform(0.97, 1.03), seed)


def pose(performance: Performance, t_us: NDArray[np.int64]) -> Puppet:
    """Shapes of a performance at the times ``t_us``; the same time always gives the same shapes."""
    label, subject = performance.label, performance.subject
    if is_drawn_mirrored(label, subject):
        twin = replace(performance, label=FLIP[label], subject=subject.mirrored())
        return pose(twin, t_us).mirrored()
    rng = np.random.default_rng([performance.seed, 2])
    t_s = t_us * 1e-6
    hands = hand_paths(label, subject, performance.rate_hz, t_s, rng)
    return build_puppet(subject, hands, t_s, rng)


def render_log_luminance(
    performance: Performance, t_us: NDArray[np.int64], sensor: tuple[int, int]
) -> NDArray[np.float32]:
    """What the event sensor sees: ``(n, height, width)`` log luminance above the wall's mean."""
    width, height = sensor
    unit = VIEW_UNITS / min(sensor)
    visible = (width * unit, height * unit)
    x, y = pixel_centres(width, visible[0]), pixel_centres(height, visible[1])
    wall = wall_texture(performance.subject, x, y).astype(np.float32)
    puppet = pose(performance, t_us)
    images = paint(wall[..., None], puppet.capsules, puppet.contrast[:, None], visible)
    return images[..., 0]


def render_rgb(
    performance: Performance, t_us: NDArray[np.int64], sensor: tuple[int, int] = (128, 128)
) -> NDArray[np.uint8]:
    """Colour frames ``(n, 224, 224, 3)`` of the part of the view that the patch grid covers."""
    n_visible = int((GridMap.fit(sensor, GRID.pixels).columns >= 0).sum())
    view = VIEW_UNITS * n_visible / min(sensor)
    x = pixel_centres(FRAME_PIXELS, view)
    subject = performance.subject
    wall = np.exp(wall_texture(subject, x, x))[..., None] * np.array(subject.wall_rgb)
    puppet = pose(performance, t_us)
    images = paint(wall.astype(np.float32), puppet.capsules, puppet.rgb, (view, view))
    return (255.0 * np.clip(images, 0.0, 1.0) + 0.5).astype(np.uint8)


def scene_events(
    performance: Performance,
    duration_us: int,
    sensor: tuple[int, int],
    params: ContrastParams,
    rng: np.random.Generator,
) -> tuple[EventStream, NDArray[np.bool_]]:
    """Events of a performance, and which of them the scene caused."""
    times = np.arange(0, duration_us + 1, RENDER_STEP_US)
    head = render_log_luminance(performance, times[:1], sensor)[0]
    state = first_state(head, 0, params, rng)
    parts = [EventStream.empty(sensor)]
    for first in range(1, len(times), BLOCK):
        block = times[first : first + BLOCK]
        events, state = contrast_step(
            render_log_luminance(performance, block, sensor), block, state, params
        )
        parts.append(events)
    signal = EventStream.join(parts).between(0, duration_us)
    return merge(signal, noise_events(0, duration_us, state, params, rng))


def render_clip(
    label: int,
    subject: Subject,
    *,
    duration_s: float = 1.5,
    window_ms: float = 25.0,
    sensor: tuple[int, int] = (128, 128),
    noise_hz: float | None = None,
    seed: int,
    speed: str | None = None,
    with_frames: bool = True,
) -> SceneClip:
    """Render one gesture of one subject.

    Parameters
    ----------
    label
        0..10, see `caption.LABELS`.
    duration_s, window_ms
        The clip holds ``duration_s / window_ms`` whole windows.
    sensor
        ``(width, height)``; the shorter side always sees the same 128 view units.
    noise_hz
        Background events per pixel and second; None draws it log-uniformly from `NOISE_HZ`.
    seed
        Decides phase, place, path, speed (unless given) and camera noise.
    speed
        ``"slowly"`` or ``"quickly"``.
    with_frames
        Whether to render RGB frames.

    Raises
    ------
    UsageError
        For an unknown label or speed, or a clip shorter than one window.
    """
    window_us = round(window_ms * 1000)
    n_windows = int(duration_s * 1e6 + 0.5) // max(window_us, 1)
    if window_us < 1 or n_windows < 1:
        raise UsageError(
            f"render_clip: needs at least one window, got {duration_s} s of {window_ms} ms windows"
        )
    performance = perform(label, subject, seed, speed)
    rng = np.random.default_rng([seed, 3])
    drawn_hz = float(np.exp(rng.uniform(*np.log(NOISE_HZ))))
    params = ContrastParams(noise_hz=drawn_hz if noise_hz is None else noise_hz)
    stream, from_scene = scene_events(performance, n_windows * window_us, sensor, params, rng)
    start_us = int(stream.t[0]) if len(stream) else 0
    signal = EventStream(*(getattr(stream, c)[from_scene] for c in "txyp"), sensor=sensor)
    frame_t_us = start_us + window_us // 2 + window_us * np.arange(n_windows)
    said = "slowly" if performance.rate_hz < 1.5 else "quickly"
    slots = label_slots(label, said, subject.colour)
    return SceneClip(
        stream=stream,
        from_scene=from_scene,
        truth=changed_patches(signal, start_us, n_windows, window_us),
        start_us=start_us,
        window_us=window_us,
        frames=render_rgb(performance, frame_t_us, sensor) if with_frames else None,
        frame_t_us=frame_t_us,
        label=label,
        slots=slots,
        caption=caption_of(slots),
    )


def dataset(
    subject_seeds: Iterable[int],
    labels: Iterable[int] = range(len(LABELS)),
    *,
    clips_per_label: int = 1,
    with_frames: bool = True,
    duration_s: float = 1.5,
) -> Iterator[SceneClip]:
    """Clips of each subject, label and repetition, in that order; the same call, the same clips.

    Take ``subject_seeds`` from `TRAIN_SEEDS` or `TEST_SEEDS`.
    """
    labels = tuple(labels)
    for subject_seed in subject_seeds:
        subject = subject_from_seed(subject_seed)
        for label in labels:
            for repetition in range(clips_per_label):
                yield render_clip(
                    label,
                    subject,
                    seed=clip_seed(subject_seed, label, repetition),
                    with_frames=with_frames,
                    duration_s=duration_s,
                )


def clip_seed(subject_seed: int, label: int, repetition: int) -> int:
    """Seed of one clip: a mix of its coordinates, so that neighbours share nothing."""
    return int(np.random.SeedSequence([subject_seed, label, repetition]).generate_state(1)[0])
