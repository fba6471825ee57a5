"""Where the hands are: paths of the 11 gestures.

Every gesture moves hands on ellipses, so that pictures summed over time look alike and the order in
time tells gestures apart:

    offset(theta) = R(tilt) (a cos theta, b sin theta),    theta = 2 pi f t + phase + warp sin(...)

- arm circles: clockwise as the person sees it, so theta falls (y points down), or grows;
- a wave swings to and fro along the same ellipse, over the top, at the same angular speed: what a
  single window or a bag of windows shows is what an arm circle shows;
- clapping mirrors one hand's offset, along the horizontal; drums alternate along the vertical;
- arm roll: both hands half a turn apart on one ellipse, round and round;
- guitar: one hand strums, the other slides along the neck;
- other: both hands in parallel, horizontally (as in clapping) or vertically (as in drums), or half
  a turn apart (as in arm roll) but to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovlm.events.scenes.caption import FLIP
from neurovlm.events.scenes.subject import Subject

Path = NDArray[np.float64]
"""``(n, 2)`` positions x, y in body units from the middle of the shoulders."""

ROUNDING = 0.985
"""How sharp the turning points of `_to_and_fro` are; 1 would be a bare triangle wave."""

ACTING_LEFT = (2, 5, 6)
"""Labels drawn as the mirror image of their right-hand twin."""


@dataclass(frozen=True, eq=False)
class Hands:
    """Paths of the hands, ``(n, 2)`` each, in body units from the middle of the shoulders."""

    right: Path
    left: Path


def is_drawn_mirrored(label: int, subject: Subject) -> bool:
    """Whether a scene is the mirror image of a right-handed one."""
    if FLIP[label] == label:
        return subject.left_handed
    return label in ACTING_LEFT


def hand_paths(
    label: int, subject: Subject, rate_hz: float, t_s: NDArray[np.float64], rng: np.random.Generator
) -> Hands:
    """Paths of a right-handed (or right-sided) gesture at the times ``t_s``.

    Parameters
    ----------
    label
        One of the labels that `is_drawn_mirrored` denies; others are mirrored by the caller.
    rate_hz
        Repetitions per second.
    rng
        Draws phase, place, size and shape of this performance.
    """
    theta = _phase(subject, rate_hz, t_s, rng)
    if label in (1, 3, 4):
        return _one_arm(label, subject, theta, t_s, rng)
    if label == 9:
        return _guitar(subject, theta, rng)
    return _two_arms(label, subject, theta, rng)


def _phase(
    subject: Subject, rate_hz: float, t_s: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Phase that always grows: |warp| < 1 keeps the direction of turn."""
    even = 2 * np.pi * rate_hz * t_s + rng.uniform(0, 2 * np.pi)
    warp = subject.warp * np.sin(even + subject.warp_phase + rng.uniform(-0.5, 0.5))
    return even + warp


def _one_arm(
    label: int,
    subject: Subject,
    theta: NDArray[np.float64],
    t_s: NDArray[np.float64],
    rng: np.random.Generator,
) -> Hands:
    centre = np.array((rng.uniform(-0.90, -0.65), rng.uniform(-0.45, 0.25)))
    major = subject.amplitude * rng.uniform(0.24, 0.38)
    minor = major * rng.uniform(0.7, 1.0)
    tilt = subject.tilt + rng.uniform(-0.3, 0.3)
    swing = _to_and_fro(theta, rng)
    idle_at = np.array((rng.uniform(0.45, 0.7), rng.uniform(0.6, 1.05)))
    idle_hz = rng.uniform(0.2, 0.5)
    idle = idle_at + 0.02 * np.stack(
        [np.sin(2 * np.pi * idle_hz * t_s), np.cos(2 * np.pi * 0.7 * idle_hz * t_s)], axis=-1
    )
    if label == 1:
        offset = _ellipse(swing - np.pi / 2, major, minor, tilt)
    else:
        direction = -1.0 if label == 3 else 1.0  # as the person sees it, who looks at the viewer
        offset = _ellipse(direction * theta, major, minor, tilt)
    return Hands(right=centre + offset, left=idle)


def _guitar(subject: Subject, theta: NDArray[np.float64], rng: np.random.Generator) -> Hands:
    strum_at = np.array((rng.uniform(-0.3, 0.0), rng.uniform(0.35, 0.65)))
    length = subject.amplitude * rng.uniform(0.16, 0.28)
    offset = _ellipse(theta, length, length * rng.uniform(0.0, 0.3), rng.uniform(1.1, 1.8))
    neck_at = np.array((rng.uniform(0.65, 0.95), rng.uniform(-0.05, 0.3)))
    slide = rng.uniform(0.04, 0.12) * np.sin(theta / 2 + rng.uniform(0, 2 * np.pi))
    neck = np.stack([slide, -0.3 * slide], axis=-1)
    return Hands(right=strum_at + offset, left=neck_at + neck)


def _two_arms(
    label: int, subject: Subject, theta: NDArray[np.float64], rng: np.random.Generator
) -> Hands:
    height = rng.uniform(0.1, 0.55)
    apart = rng.uniform(0.32, 0.52)
    major = min(subject.amplitude * rng.uniform(0.24, 0.36), apart - 0.08)
    thin = major * rng.uniform(0.0, 0.3)
    round_ = major * rng.uniform(0.65, 1.0)
    tilt = subject.tilt + rng.uniform(-0.15, 0.15)
    variant = rng.integers(3)
    turn = rng.choice((-1.0, 1.0))
    close = rng.uniform(0.0, 0.15)
    start = rng.uniform(0, 2 * np.pi)
    swing = _to_and_fro(theta, rng)
    if label == 7 or (label == 10 and variant == 2):
        apart = close
        around = start + swing if label == 10 else turn * theta
        offset = _ellipse(around, major, round_, tilt)
        other = -offset
    elif label == 0:
        offset = _ellipse(turn * theta, major, thin, tilt)
        other = offset * (-1.0, 1.0)
    elif label == 8:
        offset = _ellipse(turn * theta, major, thin, tilt + np.pi / 2)
        other = -offset
    else:
        offset = _ellipse(turn * theta, major, thin, tilt + variant * np.pi / 2)
        other = offset
    return Hands(np.add(offset, (-apart, height)), np.add(other, (apart, height)))


def _to_and_fro(theta: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Angle that follows ``theta`` forwards and backwards between -A and A, with rounded turns.

    A triangle wave of slope +-1: A asin(k sin(pi theta / 2A)) / asin(k), k just below 1.
    """
    half_sweep = np.deg2rad(rng.uniform(130.0, 165.0))
    quarter = np.pi / (2 * half_sweep) * theta + rng.uniform(0, 2 * np.pi)
    triangle = np.arcsin(ROUNDING * np.sin(quarter)) / np.arcsin(ROUNDING)
    swing: NDArray[np.float64] = half_sweep * triangle
    return swing


def _ellipse(theta: NDArray[np.float64], major: float, minor: float, tilt: float) -> Path:
    x, y = major * np.cos(theta), minor * np.sin(theta)
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
