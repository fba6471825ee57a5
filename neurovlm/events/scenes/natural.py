"""Where the wrists are in gestures as people perform them before a DVS128.

Wrist paths in three dimensions, body units from the middle of the shoulders: x to the image right,
y down, z towards the camera. How a gesture is performed follows the recordings of DVS128 Gesture
(Amir et al., CVPR 2017); every number is drawn from a wide range. The ranges were set
while looking at pictures and statistics of seven of these recordings and at a network that was
trained on the real set (`neurovlm.training.realism`), so how many of the seven a model names that
was trained on these scenes is no blind test:

- clapping before the chest, the hands not equally busy;
- a wave with the forearm raised beside the head, from the elbow and the wrist;
- arm circles of the whole outstretched arm on a cone around an axis towards the camera. Clockwise
  is as the person sees it, so anticlockwise in the image, as in the real recordings;
- arm roll: the level forearms go round each other before the chest, in a plane that looks at the
  camera edge on;
- air drums: forearms strike down in turn; air guitar: one hand strums at the hip, the other is on
  the neck; other: something invented, such as flapping, punching, lifting, saluting or bowing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovlm.events.scenes.caption import FLIP
from neurovlm.events.scenes.gesture import ACTING_LEFT
from neurovlm.events.scenes.subject import Subject

Track = NDArray[np.float64]
"""``(n, 3)`` positions or directions over time, or ``(3,)`` where they stand still."""

UPPER_SHARE = 0.53
"""Share of the upper arm in the length of an arm."""
LEFT_HANDED_SHARE = 0.12


@dataclass(frozen=True, eq=False)
class ArmTrack:
    """One arm: where the wrist is, where the elbow is drawn to, where the fingers point."""

    wrist: Track
    elbow: Track
    fingers: Track


@dataclass(frozen=True, eq=False)
class Act:
    """Both arms and the bob of the whole body, ``(n, 2)`` body units."""

    right: ArmTrack
    left: ArmTrack
    bob: NDArray[np.float64]


Draw = Callable[[float, float], float]
"""Draw a number between two limits."""


def is_natural_mirrored(label: int, seed: int) -> bool:
    """Whether a natural scene is the mirror image of a right-handed one."""
    if FLIP[label] == label:
        return bool(np.random.default_rng([seed, 6]).random() < LEFT_HANDED_SHARE)
    return label in ACTING_LEFT


def natural_rate_hz(label: int, rate_hz: float) -> float:
    """Repetitions per second: whole-arm circles are slow, clapping is fast."""
    factor = {0: 1.6, 3: 0.65, 4: 0.65, 5: 0.65, 6: 0.65}
    return factor.get(label, 1.25) * rate_hz


def act(
    label: int, subject: Subject, rate_hz: float, t_s: NDArray[np.float64], rng: np.random.Generator
) -> Act:
    """Tracks of a right-handed (or right-sided) natural gesture at the times ``t_s``.

    Parameters
    ----------
    label
        One of the labels that `is_natural_mirrored` denies; others are mirrored by the caller.
    rate_hz
        Repetitions per second.
    rng
        Draws phase, place, size and shape of this performance.
    """

    def draw(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    theta = 2 * np.pi * rate_hz * t_s + draw(0, 2 * np.pi)
    theta = theta + draw(0.0, 0.35) * np.sin(theta + draw(0, 2 * np.pi))
    idle_hz, size = draw(0.2, 0.6), draw(0.0, 0.03)
    sway = size * np.sin(2 * np.pi * idle_hz * t_s + draw(0, 2 * np.pi))
    bob = draw(0.005, 0.035) * np.stack([np.sin(theta + draw(0, 6.0)), np.cos(theta)], axis=-1)
    idle = _idle(sway, draw)
    if label == 1:
        return Act(_wave(subject, theta, draw), idle, bob)
    if label in (3, 4):
        return Act(_circle(subject, theta if label == 4 else -theta, draw), idle, bob)
    if label == 0:
        return Act(*_clap(theta, draw), bob)
    if label == 7:
        return Act(*_roll(theta, rng.choice((-1.0, 1.0)), draw), bob)
    if label == 8:
        return Act(*_drums(theta, draw), bob)
    if label == 9:
        return Act(*_guitar(theta, draw), bob)
    return _other(subject, theta, idle, bob, rng, draw)


def _xyz(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Track:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


def _mirror(track: Track) -> Track:
    mirrored: Track = track * (-1.0, 1.0, 1.0)
    return mirrored


def _idle(sway: NDArray[np.float64], draw: Draw) -> ArmTrack:
    """The left arm hangs down beside the body."""
    wrist = _xyz(draw(0.45, 0.72) + sway, draw(1.02, 1.20) + 0.4 * sway, draw(0.0, 0.35))
    return ArmTrack(wrist, _xyz(0.4, 0.0, -1.0), _xyz(0.1, 1.0, draw(0.0, 0.6)))


def _clap(theta: NDArray[np.float64], draw: Draw) -> tuple[ArmTrack, ArmTrack]:
    height, forward, tilt = draw(0.15, 0.55), draw(0.35, 0.65), draw(-0.9, 0.9)
    middle, gap = draw(-0.15, 0.15), draw(0.03, 0.10)
    apart = 0.5 - 0.5 * np.cos(theta)
    sides = []
    for sign, busy in ((-1.0, draw(0.6, 1.0)), (1.0, draw(0.1, 1.0))):
        out = sign * (gap + draw(0.18, 0.40) * busy * apart)
        wrist = _xyz(middle + out, height + tilt * out, forward)
        fingers = _xyz(-sign * draw(0.1, 0.5), draw(-1.0, -0.3), draw(0.1, 0.6))
        sides.append(ArmTrack(wrist, _xyz(sign * draw(0.5, 1.0), 1.0, -0.3), fingers))
    return sides[0], sides[1]


def _wave(subject: Subject, theta: NDArray[np.float64], draw: Draw) -> ArmTrack:
    """The forearm swings about the elbow, the hand about the wrist."""
    elbow = np.array((-draw(0.50, 0.80), draw(0.25, 0.55), draw(0.1, 0.4)))
    forearm = (1 - UPPER_SHARE) * subject.arm
    middle, swing = draw(-0.05, 0.40), draw(0.08, 0.50)
    angle = middle + swing * np.sin(theta)
    lean = draw(0.0, 0.5)
    wrist = elbow + forearm * _xyz(-np.sin(angle), -np.cos(angle) * np.cos(lean), np.sin(lean))
    bend = middle + (swing + draw(0.1, 0.5)) * np.sin(theta - draw(0.0, 0.7))
    return ArmTrack(wrist, _xyz(-0.7, 1.0, -0.2), _xyz(-np.sin(bend), -np.cos(bend), draw(0, 0.4)))


def _circle(subject: Subject, theta: NDArray[np.float64], draw: Draw) -> ArmTrack:
    axis = np.array((-draw(0.15, 0.75), draw(-0.25, 0.15), 1.0))
    axis /= np.linalg.norm(axis)
    across = np.cross((0.0, 1.0, 0.0), axis)
    across /= np.linalg.norm(across)
    down = np.cross(axis, across)
    half = np.deg2rad(draw(40.0, 68.0))
    length = draw(0.85, 0.99) * subject.arm
    turn = np.cos(theta)[:, None] * across + draw(0.75, 1.1) * np.sin(theta)[:, None] * down
    direction = np.cos(half) * axis + np.sin(half) * turn
    shoulder = np.array((-subject.shoulder, 0.0, 0.0))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return ArmTrack(shoulder + length * direction, _xyz(-0.5, 1.0, -0.3), direction)


def _roll(theta: NDArray[np.float64], turn: float, draw: Draw) -> tuple[ArmTrack, ArmTrack]:
    height, forward, radius = draw(0.30, 0.65), draw(0.35, 0.6), draw(0.14, 0.26)
    inward, deep = draw(-0.05, 0.2), draw(0.6, 1.2)
    sides = []
    for sign, phase in ((-1.0, 0.0), (1.0, np.pi)):
        angle = turn * theta + phase
        wrist = _xyz(
            -sign * inward + 0.04 * np.cos(angle),
            height + radius * np.cos(angle),
            forward + deep * radius * np.sin(angle),
        )
        fingers = _xyz(-sign, draw(-0.3, 0.3), draw(0.0, 0.4))
        sides.append(ArmTrack(wrist, _xyz(sign * 1.5, draw(0.5, 1.2), -0.2), fingers))
    return sides[0], sides[1]


def _drums(theta: NDArray[np.float64], draw: Draw) -> tuple[ArmTrack, ArmTrack]:
    forward = draw(0.25, 0.6)
    lag = np.pi + draw(-0.5, 0.5)
    top, stroke = draw(0.0, 0.30), draw(0.45, 0.80)
    sides = []
    for sign, phase in ((-1.0, 0.0), (1.0, lag)):
        down = 0.5 + 0.5 * np.sin(theta + phase + 0.3 * np.sin(theta + phase))
        x = sign * (draw(0.15, 0.4) + draw(-0.12, 0.08) * down)
        wrist = _xyz(
            x, top + draw(0.0, 0.15) + stroke * down, forward + 0.25 * np.sin(np.pi * down)
        )
        fingers = _xyz(-0.3 * sign, 1.6 * down - 1.0, 0.6)
        sides.append(ArmTrack(wrist, _xyz(sign * draw(0.4, 1.0), 1.0, -0.5), fingers))
    return sides[0], sides[1]


def _guitar(theta: NDArray[np.float64], draw: Draw) -> tuple[ArmTrack, ArmTrack]:
    strum = np.sin(theta)
    size, slant = draw(0.08, 0.24), draw(-0.5, 0.3)
    wrist = _xyz(
        -draw(0.0, 0.3) + slant * size * strum, draw(0.55, 0.9) + size * strum, draw(0.2, 0.45)
    )
    fingers = _xyz(draw(0.3, 0.9), draw(0.0, 0.6) + 0.5 * strum, 0.4)
    right = ArmTrack(wrist, _xyz(-1.2, draw(0.2, 0.8), -0.4), fingers)
    slide = draw(0.0, 0.08) * np.sin(theta / draw(2.0, 4.0) + draw(0, 6.0))
    neck = _xyz(draw(0.60, 0.95) + slide, draw(0.05, 0.5) - 0.4 * slide, draw(0.2, 0.5))
    left = ArmTrack(neck, _xyz(0.6, 1.0, -0.2), _xyz(-0.4, -0.8, 0.5))
    return right, left


def _other(
    subject: Subject,
    theta: NDArray[np.float64],
    idle: ArmTrack,
    bob: NDArray[np.float64],
    rng: np.random.Generator,
    draw: Draw,
) -> Act:
    """One of six inventions; the arms move together, in turn, or one alone."""
    kind = int(rng.integers(6))
    swing = np.sin(theta)
    elbow = _xyz(-0.6, 1.0, -0.3)
    if kind == 0:  # flap the stretched arms
        angle = draw(0.2, 0.5) + draw(0.3, 0.9) * swing
        out = _xyz(-np.cos(angle), -np.sin(angle), draw(0.0, 0.5))
        arm = ArmTrack((-subject.shoulder, 0.0, 0.0) + 0.9 * subject.arm * out, elbow, out)
    elif kind == 1:  # punch
        push = 0.5 + 0.5 * swing
        wrist = _xyz(-0.35 + draw(0.0, 0.3) * push, draw(0.1, 0.3) - 0.1 * push, 0.25 + 0.75 * push)
        arm = ArmTrack(wrist, elbow, _xyz(0.0, 0.0, 1.0))
    elif kind == 2:  # lift and lower
        wrist = _xyz(-draw(0.3, 0.9), draw(-0.3, 0.4) + draw(0.3, 0.6) * swing, draw(0.2, 0.6))
        arm = ArmTrack(wrist, elbow, _xyz(-0.3, -0.6, 0.5))
    elif kind == 3:  # spread and join
        wrist = _xyz(-0.75 - draw(0.2, 0.4) * swing, draw(-0.2, 0.5), draw(0.2, 0.6))
        arm = ArmTrack(wrist, elbow, _xyz(-0.8, -0.4, 0.4))
    elif kind == 4:  # salute
        up = 0.5 + 0.5 * swing
        wrist = _xyz(-0.35 - 0.3 * (1 - up), 0.6 - 1.0 * up, 0.3)
        arm = ArmTrack(wrist, _xyz(-1.0, 0.4, 0.0), _xyz(0.7, -0.5, 0.2))
    else:  # circle above the head
        wrist = _xyz(-0.3 + 0.35 * np.cos(theta), -0.75 + 0.12 * swing, 0.2)
        arm = ArmTrack(wrist, _xyz(-1.0, -0.3, 0.0), _xyz(0.2, -1.0, 0.2))
    if rng.random() < 0.35 or kind == 5:
        return Act(arm, idle, bob)
    other = ArmTrack(_mirror(arm.wrist), _mirror(arm.elbow), _mirror(arm.fingers))
    if kind == 1:
        reverse = arm.wrist.mean(axis=0) * 2 - arm.wrist
        other = ArmTrack(_mirror(reverse), other.elbow, other.fingers)
    return Act(arm, other, bob)
