"""Rendered clips: events, frames, ground truth, label and caption of one gesture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.camera import ContrastParams
from neurovlm.events.scenes.body import Puppet, build_puppet
from neurovlm.events.scenes.boxes import puppet_boxes, visible_units
from neurovlm.events.scenes.caption import (
    FLIP,
    LABELS,
    SPEEDS,
    caption_of,
    check_label,
    label_slots,
)
from neurovlm.events.scenes.figure import build_figure
from neurovlm.events.scenes.film import Clip, film
from neurovlm.events.scenes.gesture import hand_paths, is_drawn_mirrored
from neurovlm.events.scenes.motion import (
    FAST,
    GLOBAL_TEXTURE,
    SLOW,
    check_motion,
    lamp,
    motion_clock,
    view_shift,
)
from neurovlm.events.scenes.natural import act, is_natural_mirrored, natural_rate_hz
from neurovlm.events.scenes.paint import paint, pixel_centres
from neurovlm.events.scenes.pixel import IDEAL, PixelHabits, draw_camera
from neurovlm.events.scenes.subject import (
    TEST_SEEDS,
    VIEW_UNITS,
    Subject,
    moving_wall_texture,
    subject_from_seed,
    wall_texture,
)

SENSOR = (128, 128)
FRAME_PIXELS = 224
STYLES = ("hard", "natural")
NOISE_HZ = (0.1, 5.0)
DEMO_PAUSE_US = (1_500_000, 2_500_000)


@dataclass(frozen=True, eq=False)
class SceneClip(Clip):
    """One performance of one gesture and everything that is true of it.

    Attributes
    ----------
    frames
        ``(n_windows, 224, 224, 3)`` uint8 RGB of the part of the view that the patch grid covers;
        None if they were not asked for.
    frame_t_us
        ``(n_windows,)`` times of the frames: the middle of each window, so that frame and events
        of one window together do not tell forward from backward.
    boxes
        float32 ``(n_windows, 3, 4)``: x0, y0, x1, y1 of each of `BOX_CLASSES` at the end of each
        window, in pixels of the 126 x 126 patch grid; NaN where less than half is in the view.
    label, slots, caption
        What is seen. A static clip is called after the gesture in whose first pose it stands.
    """

    frames: NDArray[np.uint8] | None
    frame_t_us: NDArray[np.int64]
    boxes: NDArray[np.float32]
    label: int
    slots: dict[str, str]
    caption: str


@dataclass(frozen=True)
class Performance:
    """All that decides what is seen, camera noise apart.

    Attributes
    ----------
    label, subject
        Who does what.
    speed, rate_hz
        Slot value and repetitions per second.
    seed
        Decides phase, place and shape of this performance.
    pause_us
        ``(start, stop)`` between which everything stands still.
    style
        One of `STYLES`.
    motion
        One of `motion.MOTIONS`.
    """

    label: int
    subject: Subject
    speed: str
    rate_hz: float
    seed: int
    pause_us: tuple[int, int] = (0, 0)
    style: str = "hard"
    motion: str = "gesture"


def perform(
    label: int,
    subject: Subject,
    seed: int,
    speed: str | None = None,
    *,
    style: str = "hard",
    motion: str = "gesture",
) -> Performance:
    """Choose the speed of a performance: ``speed`` if given, else drawn from ``seed``.

    The motions slow and fast choose their own.
    """
    check_label(label)
    check_motion(motion)
    if style not in STYLES:
        raise UsageError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if speed is not None and speed not in SPEEDS:
        raise UsageError(f"speed must be one of {', '.join(SPEEDS)} or None, got {speed!r}")
    drawn = SPEEDS[int(np.random.default_rng([seed, 1]).integers(len(SPEEDS)))]
    chosen = {"slow": "slowly", "fast": "quickly"}.get(motion, speed or drawn)
    rate_hz = subject.slow_hz if chosen == "slowly" else subject.quick_hz
    rate_hz *= {"slow": SLOW, "fast": FAST}.get(motion, 1.0)
    return Performance(label, subject, chosen, rate_hz, seed, style=style, motion=motion)


def pose(performance: Performance, t_us: NDArray[np.int64]) -> Puppet:
    """Shapes of a performance at the times ``t_us``; the same time always gives the same shapes."""
    start_us, stop_us = performance.pause_us
    passed_us = t_us - np.clip(t_us - start_us, 0, stop_us - start_us)
    clock_us = motion_clock(performance.motion, performance.seed, passed_us)
    puppet = _pose_at(performance, clock_us * np.float64(1e-6))
    if performance.motion in ("translate", "global"):
        return puppet.moved(view_shift(performance.motion, performance.seed, t_us))
    return puppet


def _pose_at(performance: Performance, t_s: NDArray[np.float64]) -> Puppet:
    p, is_natural = performance, performance.style == "natural"
    mirrored = (
        is_natural_mirrored(p.label, p.seed)
        if is_natural
        else is_drawn_mirrored(p.label, p.subject)
    )
    label = FLIP[p.label] if mirrored else p.label
    subject = p.subject.mirrored() if mirrored else p.subject
    rng = np.random.default_rng([p.seed, 2])
    if is_natural:
        acted = act(label, subject, natural_rate_hz(label, p.rate_hz), t_s, rng)
        looks_rng = np.random.default_rng([p.seed, 7])
        puppet = build_figure(subject, acted, t_s, looks_rng, mirrored=mirrored)
    else:
        puppet = build_puppet(subject, hand_paths(label, subject, p.rate_hz, t_s, rng), t_s, rng)
    return puppet.mirrored() if mirrored else puppet


def sensor_wall(subject: Subject, sensor: tuple[int, int]) -> NDArray[np.float32]:
    """Log luminance of the empty room, ``(height, width)``; its mean is about 0."""
    width, height = sensor
    x, y = (pixel_centres(n, n * VIEW_UNITS / min(sensor)) for n in (width, height))
    return wall_texture(subject, x, y).astype(np.float32)


def render_log_luminance(
    performance: Performance, t_us: NDArray[np.int64], wall: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Paint what the event sensor sees in front of ``wall``: ``(n, height, width)``."""
    x, y, _ = _view(wall)
    return render_puppet(pose(performance, t_us), wall, _wall_at(performance, t_us, wall, x, y))


def render_puppet(
    puppet: Puppet, wall: NDArray[np.float32], behind: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Paint a puppet before ``wall`` ``(height, width)``, or what it looks like in each frame."""
    _, _, visible = _view(wall)
    background = (wall if behind is None else behind)[..., None]
    return paint(background, puppet.capsules, puppet.contrast[:, None], visible)[..., 0]


def _view(
    wall: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Positions of the pixels and width and height of a wall, in view units."""
    height, width = wall.shape
    unit = VIEW_UNITS / min(width, height)
    visible = (width * unit, height * unit)
    return pixel_centres(width, visible[0]), pixel_centres(height, visible[1]), visible


def _wall_at(
    performance: Performance,
    t_us: NDArray[np.int64],
    wall: NDArray[Any],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> NDArray[Any]:
    """Wall as it is, or moved or lit at each time."""
    if performance.motion == "global":
        shift = view_shift("global", performance.seed, t_us)
        return moving_wall_texture(performance.subject, x, y, shift, GLOBAL_TEXTURE)
    if performance.motion == "flicker":
        return wall + lamp(performance.seed, t_us, x, y)
    return wall


def render_rgb(
    performance: Performance, t_us: NDArray[np.int64], sensor: tuple[int, int] = SENSOR
) -> NDArray[np.uint8]:
    """Colour frames ``(n, 224, 224, 3)`` of the part of the view that the patch grid covers."""
    view = visible_units(sensor)
    x = pixel_centres(FRAME_PIXELS, view)
    texture = wall_texture(performance.subject, x, x)
    puppet = pose(performance, t_us)
    frames = np.empty((len(t_us), FRAME_PIXELS, FRAME_PIXELS, 3), np.uint8)
    for k in range(len(t_us)):
        behind = np.exp(_wall_at(performance, t_us[k : k + 1], texture, x, x))
        wall = behind.reshape(*texture.shape, 1) * np.array(performance.subject.wall_rgb)
        wall_255 = np.clip(255.0 * wall, 0.0, 255.0).astype(np.float32)
        shapes = puppet.capsules[k : k + 1]
        frames[k] = paint(wall_255, shapes, 255.0 * puppet.rgb, (view, view))[0] + np.float32(0.5)
    return frames


def render_clip(
    label: int,
    subject: Subject,
    *,
    duration_s: float = 1.5,
    window_ms: float = 25.0,
    sensor: tuple[int, int] = SENSOR,
    noise_hz: float | None = None,
    seed: int,
    speed: str | None = None,
    with_frames: bool = True,
    style: str = "hard",
    motion: str = "gesture",
) -> SceneClip:
    """Render one gesture of one subject.

    Parameters
    ----------
    label
        0..10, see `caption.LABELS`.
    duration_s, window_ms
        The clip holds as many whole windows as fit into the duration.
    sensor
        ``(width, height)``; the shorter side always sees the same 128 view units.
    noise_hz
        Background events per pixel and second; None draws it log-uniformly from `NOISE_HZ`, of
        natural scenes from a wider range.
    seed
        Decides phase, place, path, speed (unless given) and camera noise.
    speed
        ``"slowly"`` or ``"quickly"``.
    with_frames
        Whether to render RGB frames.
    style
        ``"hard"``: neither event counts nor the summed image tell the label, only order in time;
        ``"natural"``: geometry, gestures and pixels like those of the DVS128 Gesture recordings,
        see `natural` and `pixel`.
    motion
        How much of the view moves, see `motion.MOTIONS`.

    Raises
    ------
    UsageError
        For an unknown label, speed, style or motion, or a clip shorter than one window.
    """
    performance = perform(label, subject, seed, speed, style=style, motion=motion)
    return _render(performance, duration_s, window_ms, sensor, noise_hz, with_frames)


def demo_clip(seed: int = 0, *, with_frames: bool = True) -> SceneClip:
    """Four seconds of an unseen subject who stands still from 1.5 s to 2.5 s."""
    rng = np.random.default_rng([seed, 4])
    subject = subject_from_seed(TEST_SEEDS[int(rng.integers(len(TEST_SEEDS)))])
    performance = perform(int(rng.integers(len(LABELS) - 1)), subject, seed)
    paused = replace(performance, pause_us=DEMO_PAUSE_US)
    return _render(paused, 4.0, 25.0, SENSOR, 0.5, with_frames)


def _render(
    performance: Performance,
    duration_s: float,
    window_ms: float,
    sensor: tuple[int, int],
    noise_hz: float | None,
    with_frames: bool,
) -> SceneClip:
    rng = np.random.default_rng([performance.seed, 3])
    params, habits = draw_style_camera(performance.style, noise_hz, rng)
    wall = sensor_wall(performance.subject, sensor)
    clip = film(
        lambda t_us: render_log_luminance(performance, t_us, wall),
        duration_s,
        window_ms,
        params,
        rng,
        habits,
    )
    ends_us = clip.start_us + clip.window_us * np.arange(1, clip.n_windows + 1)
    frame_t_us = clip.start_us + clip.window_us // 2 + clip.window_us * np.arange(clip.n_windows)
    slots = label_slots(performance.label, performance.speed, performance.subject.colour)
    return SceneClip(
        **vars(clip),
        frames=render_rgb(performance, frame_t_us, sensor) if with_frames else None,
        frame_t_us=frame_t_us,
        boxes=puppet_boxes(pose(performance, ends_us), sensor),
        label=performance.label,
        slots=slots,
        caption=caption_of(slots),
    )


def draw_style_camera(
    style: str, noise_hz: float | None, rng: np.random.Generator
) -> tuple[ContrastParams, PixelHabits]:
    """Camera of a style; ``noise_hz`` replaces the noise that is drawn."""
    if style == "natural":
        params, habits = draw_camera(rng)
        return (params if noise_hz is None else replace(params, noise_hz=noise_hz)), habits
    drawn_hz = float(np.exp(rng.uniform(*np.log(NOISE_HZ))))
    return ContrastParams(noise_hz=drawn_hz if noise_hz is None else noise_hz), IDEAL


def dataset(
    subject_seeds: Iterable[int],
    labels: Iterable[int] = range(len(LABELS)),
    *,
    clips_per_label: int = 1,
    duration_s: float = 1.5,
    with_frames: bool = True,
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
                    duration_s=duration_s,
                    seed=clip_seed(subject_seed, label, repetition),
                    with_frames=with_frames,
                )


def clip_seed(subject_seed: int, label: int, repetition: int) -> int:
    """Seed of one clip: a mix of its coordinates, so that neighbours share nothing."""
    return int(np.random.SeedSequence([subject_seed, label, repetition]).generate_state(1)[0])
