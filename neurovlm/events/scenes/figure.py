"""A figure with face, fingers and folds that performs natural gestures in three dimensions.

The camera looks along z; what is nearer is drawn larger (`PERSPECTIVE` per body unit) and arms are
drawn in front of the trunk. Looks and place are drawn anew for each performance; what depends on
who performs (proportions, skin, speed) comes from the subject.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurovlm.events.scenes.body import Puppet, capsule
from neurovlm.events.scenes.natural import UPPER_SHARE, Act, ArmTrack, Track
from neurovlm.events.scenes.subject import SHIRT_RGB, Rgb, Subject

PERSPECTIVE = 0.16
MIN_DIFFERENCE = 0.4
"""Least difference between the log luminance of skin and shirt: hands are seen before the chest."""
FINGERS = (-0.75, -0.22, 0.0, 0.22, 0.42)
"""Angles of thumb and fingers of an open hand, as shares of the spread that is drawn."""


@dataclass
class _Canvas:
    """Shapes in the order they are painted."""

    capsules: list[NDArray[np.float64]] = field(default_factory=list)
    contrast: list[float] = field(default_factory=list)
    rgb: list[Rgb] = field(default_factory=list)

    def add(self, shape: NDArray[np.float64], contrast: float, rgb: Rgb) -> int:
        self.capsules.append(shape)
        self.contrast.append(contrast)
        self.rgb.append(rgb)
        return len(self.capsules) - 1


@dataclass(frozen=True)
class _Looks:
    """Contrasts (log luminance above the wall) and colours of one performance."""

    skin: float
    shirt: float
    trousers: float
    hair: float
    sleeve: float
    skin_rgb: Rgb
    shirt_rgb: Rgb


def draw_looks(subject: Subject, rng: np.random.Generator) -> _Looks:
    """Skin and clothes, mostly darker than the wall."""

    def contrast(low: float, high: float, light: float) -> float:
        return float(rng.uniform(low, high) * (1.0 if rng.random() < light else -1.0))

    skin, shirt = contrast(0.5, 1.4, 0.1), contrast(0.2, 1.5, 0.3)
    while abs(skin - shirt) < MIN_DIFFERENCE:
        shirt = contrast(0.2, 1.5, 0.3)
    bare = rng.random() < 0.75
    sleeve = skin if bare else shirt + float(rng.choice((-1.0, 1.0)) * rng.uniform(0.2, 0.4))
    return _Looks(
        skin=skin,
        shirt=shirt,
        trousers=contrast(0.4, 1.4, 0.2),
        hair=contrast(0.6, 1.6, 0.1),
        sleeve=sleeve,
        skin_rgb=subject.skin_rgb,
        shirt_rgb=SHIRT_RGB[subject.colour],
    )


def build_figure(
    subject: Subject,
    acted: Act,
    t_s: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    mirrored: bool = False,
) -> Puppet:
    """Pose a natural figure; the right arm is drawn in front.

    Parameters
    ----------
    acted
        Tracks of the arms in body units from the middle of the shoulders.
    t_s
        ``(n,)`` their times, for sway.
    rng
        Draws place, size, looks and sway of this performance; equal draws give the same person.
    mirrored
        Whether the caller is going to mirror the puppet; all but the arms then ends up where it
        would be without the mirror.
    """
    looks = draw_looks(subject, rng)
    unit = rng.uniform(40.0, 58.0)
    stand = np.array((rng.uniform(-18.0, 18.0), rng.uniform(-12.0, 12.0)))
    swing = 2 * np.pi * subject.sway_hz * t_s + rng.uniform(0, 2 * np.pi)
    sway = rng.uniform(0.3, 1.6) * np.stack([np.sin(swing), 0.3 * np.cos(2 * swing)], axis=-1)
    side = np.array((-1.0 if mirrored else 1.0, 1.0))
    middle = side * (stand + sway) + unit * acted.bob
    canvas = _Canvas()
    _clutter(canvas, len(t_s), side, rng)
    head = _trunk(canvas, subject, looks, (middle, unit), side, rng)
    hands = []
    for arm, sign in ((acted.left, 1.0), (acted.right, -1.0)):
        hands.append(_arm(canvas, subject, looks, (arm, sign), (middle, unit), rng))
    capsules = np.stack(canvas.capsules, axis=1)
    parts = (head, hands[1], hands[0])
    return Puppet(capsules, np.array(canvas.contrast), np.array(canvas.rgb), parts)


def _clutter(canvas: _Canvas, n: int, side: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Up to four things that stand on the wall and are seen only where something passes."""
    for _ in range(int(rng.integers(5))):
        start = np.tile(side * rng.uniform(-64, 64, 2), (n, 1))
        end = start + side * rng.uniform(-40, 40, 2)
        grey = float(rng.uniform(0.2, 0.8))
        shape = capsule(start, end, *rng.uniform(1.0, 8.0, 2))
        canvas.add(shape, float(rng.uniform(-0.5, 0.5)), (grey, grey, grey))


def _trunk(
    canvas: _Canvas,
    subject: Subject,
    looks: _Looks,
    place: tuple[NDArray[np.float64], float],
    side: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Trousers, shirt with folds, neck and a head with hair and eyes; returns the head's shapes."""
    middle, u = place
    wide = subject.shoulder * u

    def at(x: float, y: float) -> NDArray[np.float64]:
        return middle + u * np.array((x, y))

    dark: Rgb = (0.12, 0.12, 0.16)
    canvas.add(capsule(at(0, 1.05), at(0, 2.2), 0.75 * wide, 0.7 * wide), looks.trousers, dark)
    canvas.add(
        capsule(at(0, 0.2), at(0, 0.98), 0.9 * wide, 0.75 * wide), looks.shirt, looks.shirt_rgb
    )
    x = subject.shoulder * 0.8
    canvas.add(capsule(at(-x, 0.03), at(x, 0.03), 0.13 * u, 0.13 * u), looks.shirt, looks.shirt_rgb)
    for _ in range(int(rng.integers(2, 8))):
        fold = side * rng.uniform((-0.3, 0.15), (0.3, 0.9), (2, 2))
        tone = looks.shirt + float(rng.uniform(-0.3, 0.3))
        canvas.add(capsule(at(*fold[0]), at(*fold[1]), 0.02 * u, 0.02 * u), tone, looks.shirt_rgb)
    r = rng.uniform(0.85, 1.05) * subject.head * u * 0.8
    canvas.add(capsule(at(0, 0), at(0, -0.2), 0.09 * u, 0.09 * u), looks.skin, looks.skin_rgb)
    top = -0.18 - 2.2 * r / u
    hair = capsule(at(0, top), at(0, top + 0.1), r, 0.95 * r)
    face = capsule(at(0, top + 0.12), at(0, -0.22 - 0.5 * r / u), 0.92 * r, 0.7 * r)
    shapes = [canvas.add(hair, looks.hair, dark), canvas.add(face, looks.skin, looks.skin_rgb)]
    for x in (-0.4 * r / u, 0.4 * r / u):
        eye = at(x, top + 0.16)
        shapes.append(canvas.add(capsule(eye, eye, 0.03 * u, 0.03 * u), looks.skin - 0.5, dark))
    return tuple(shapes)


def _arm(
    canvas: _Canvas,
    subject: Subject,
    looks: _Looks,
    arm: tuple[ArmTrack, float],
    place: tuple[NDArray[np.float64], float],
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Upper arm, forearm, palm and fingers; returns the shapes of the hand."""
    (track, sign), (middle, u) = arm, place
    n = len(middle)
    shoulder = np.array((sign * subject.shoulder, 0.03, 0.0))
    wrist = np.broadcast_to(track.wrist, (n, 3))
    elbow, wrist = bend(shoulder, wrist, track.elbow, subject.arm)
    fingers = np.broadcast_to(track.fingers, (n, 3))
    fingers = fingers / np.linalg.norm(fingers, axis=1, keepdims=True)
    thick, hand = 0.9 * subject.thickness, subject.hand

    def limb(start: Track, end: Track, r_start: float, r_end: float) -> NDArray[np.float64]:
        ends = []
        for point, r in ((start, r_start), (end, r_end)):
            near = 1 + PERSPECTIVE * np.broadcast_to(point, (n, 3))[:, 2:]
            ends += [middle + u * near * np.broadcast_to(point, (n, 3))[:, :2], u * r * near]
        return np.concatenate(ends, axis=1)

    shirt, skin = looks.shirt_rgb, looks.skin_rgb
    bare = looks.sleeve == looks.skin
    canvas.add(limb(shoulder, elbow, 1.35 * thick, 1.1 * thick), looks.shirt, shirt)
    fore_rgb = skin if bare else shirt
    canvas.add(limb(elbow, wrist, 1.1 * thick, 0.75 * thick), looks.sleeve, fore_rgb)
    for _ in range(2):  # light and shade along the forearm
        ends = np.sort(rng.uniform(0.05, 0.95, 2))
        a, b = (elbow + share * (wrist - elbow) for share in ends)
        tone = looks.sleeve + float(rng.uniform(-0.5, 0.5))
        canvas.add(limb(a, b, 0.45 * thick, 0.4 * thick), tone, fore_rgb)
    cuff = wrist + 0.1 * (elbow - wrist)
    tone = looks.skin + float(rng.uniform(-0.5, 0.2))
    canvas.add(limb(cuff, cuff, 0.85 * thick, 0.85 * thick), tone, (0.1, 0.1, 0.1))
    palm = wrist + 0.9 * hand * fingers
    shapes = [canvas.add(limb(wrist, palm, 0.5 * hand, 0.62 * hand), looks.skin, skin)]
    spread, length = rng.uniform(0.1, 1.3), rng.uniform(0.5, 1.2) * hand
    side = np.stack([-fingers[:, 1], fingers[:, 0], np.zeros(n)], axis=-1)
    for angle in FINGERS:
        a = spread * angle
        root = palm + 0.9 * hand * angle * side
        tip = root + length * (np.cos(a) * fingers + np.sin(a) * side)
        shapes.append(canvas.add(limb(root, tip, 0.2 * hand, 0.15 * hand), looks.skin, skin))
    return tuple(shapes)


def bend(
    shoulder: Track, wrist: Track, towards: Track, arm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Elbow of a two-bone arm, drawn ``towards`` a direction, and the wrist within its reach.

    With upper arm a and forearm b and the wrist at distance d, the elbow lies
    (d^2 + a^2 - b^2) / 2d along the line to the wrist and off it by what Pythagoras leaves.

    Parameters
    ----------
    shoulder, towards
        ``(3,)`` or ``(n, 3)``.
    wrist
        ``(n, 3)``; beyond 99.9 % of the arm, or too near, it is moved along its line.
    arm
        Length of upper arm and forearm.
    """
    upper, fore = UPPER_SHARE * arm, (1 - UPPER_SHARE) * arm
    line = wrist - shoulder
    distance = np.linalg.norm(line, axis=1, keepdims=True)
    along = line / np.maximum(distance, 1e-9)
    distance = np.clip(distance, abs(upper - fore) + 0.02, 0.999 * arm)
    out = towards - np.sum(towards * along, axis=1, keepdims=True) * along
    out = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    foot = (distance**2 + upper**2 - fore**2) / (2 * distance)
    off = np.sqrt(np.maximum(upper**2 - foot**2, 0.0))
    return shoulder + foot * along + off * out, shoulder + distance * along
