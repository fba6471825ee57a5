"""From hand paths to the shapes that are painted: a body of ten tapered capsules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurovlm.events.scenes.gesture import Hands, Path
from neurovlm.events.scenes.subject import SHIRT_RGB, Limb, Subject

PARTS = ((2, 3), (9,), (6,))
_FLIP_X = np.array([-1.0, 1.0, 1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Puppet:
    """Shapes of a scene, back to front.

    Attributes
    ----------
    capsules
        ``(n_frames, n_shapes, 6)``: x, y, radius of one end and of the other, in view units.
    contrast
        ``(n_shapes,)`` log luminance above the mean of the wall.
    rgb
        ``(n_shapes, 3)`` linear colour in 0..1.
    parts
        Indices of the shapes of the head, of the right and of the left hand; right and left are
        the person's own.
    """

    capsules: NDArray[np.float64]
    contrast: NDArray[np.float64]
    rgb: NDArray[np.float64]
    parts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def mirrored(self) -> Puppet:
        """Return the puppet in a mirror: x changes sign, what is in front stays in front."""
        head, right, left = self.parts
        return Puppet(self.capsules * _FLIP_X, self.contrast, self.rgb, (head, left, right))

    def moved(self, shift: NDArray[np.float64]) -> Puppet:
        """Return the puppet shifted by ``(n_frames, 2)`` view units."""
        step = np.zeros((len(shift), 1, 6))
        step[:, 0, [0, 1]] = step[:, 0, [3, 4]] = shift
        return replace(self, capsules=self.capsules + step)


def build_puppet(
    subject: Subject, hands: Hands, t_s: NDArray[np.float64], rng: np.random.Generator
) -> Puppet:
    """Pose ``subject`` with the given hands; the right arm is drawn in front.

    Parameters
    ----------
    hands
        Paths in body units from the middle of the shoulders, ``(n, 2)`` each.
    t_s
        ``(n,)`` their times, for sway and tremor.
    rng
        Draws the phases of sway and tremor and a small shift of where the subject stands.
    """
    u = subject.size
    stand = np.array(subject.centre) + rng.uniform(-3.0, 3.0, 2)
    sway_phase = rng.uniform(0, 2 * np.pi)
    middle = stand + _sway(subject, t_s, sway_phase)
    down = np.array([0.0, u])
    neck = middle - 0.10 * down
    hip = stand + down + 0.5 * (middle - stand)
    side = np.array([subject.shoulder * u, 0.0])
    nose = neck - 0.2 * down
    shapes = [
        capsule(middle + 0.15 * down, hip, 0.85 * side[0], 0.72 * side[0]),
        capsule(middle - 0.85 * side, middle + 0.85 * side, 0.12 * u, 0.12 * u),
        capsule(neck, neck - 0.22 * down, subject.head * u * 0.8, subject.head * u),
        capsule(nose, nose, 0.05 * u, 0.05 * u),
    ]
    shirt, skin = SHIRT_RGB[subject.colour], subject.skin_rgb
    contrast = [subject.torso_contrast] * 2 + [subject.head_contrast, 0.6 * subject.head_contrast]
    rgb = [shirt, shirt, skin, (0.7 * skin[0], 0.7 * skin[1], 0.7 * skin[2])]
    for limb, path, sign in ((subject.left, hands.left, 1.0), (subject.right, hands.right, -1.0)):
        wrist = middle + u * path + _tremor(subject.tremor, t_s, rng)
        shapes += _arm(subject, middle + sign * side, wrist, sign)
        contrast += _limb_contrast(limb)
        rgb += [limb.arm_rgb, limb.arm_rgb, limb.hand_rgb]
    return Puppet(np.stack(shapes, axis=1), np.array(contrast), np.array(rgb), PARTS)


def _limb_contrast(limb: Limb) -> list[float]:
    return [limb.arm_contrast, limb.arm_contrast, limb.hand_contrast]


def _arm(subject: Subject, shoulder: Path, wrist: Path, sign: float) -> list[NDArray[np.float64]]:
    """Upper arm, forearm, hand. The elbow hangs outward and down, more so the shorter the reach.

    Depth is not modelled: an arm that would be too short is drawn longer.
    """
    u = subject.size
    reach = np.linalg.norm(wrist - shoulder, axis=1)
    half = 0.5 * subject.arm * u
    bulge = 0.75 * np.sqrt(np.maximum(half**2 - (reach / 2) ** 2, 0.0))
    elbow = (shoulder + wrist) / 2 + bulge[:, None] * (0.55 * sign, 0.83)
    along = wrist - elbow
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    thick, hand = subject.thickness * u, subject.hand * u
    return [
        capsule(shoulder, elbow, 1.25 * thick, 1.05 * thick),
        capsule(elbow, wrist, 1.05 * thick, 0.75 * thick),
        capsule(wrist, wrist + 0.9 * hand * along, 0.9 * hand, hand),
    ]


def _sway(subject: Subject, t_s: NDArray[np.float64], phase: float) -> Path:
    swing = 2 * np.pi * subject.sway_hz * t_s + phase
    return subject.sway * np.stack([np.sin(swing), 0.3 * np.cos(2 * swing)], axis=-1)


def _tremor(size: float, t_s: NDArray[np.float64], rng: np.random.Generator) -> Path:
    rates_hz = rng.uniform(2.5, 7.0, (2, 3))
    phases = rng.uniform(0, 2 * np.pi, (2, 3))
    waves = np.sin(2 * np.pi * rates_hz * t_s[:, None, None] + phases)
    tremor: Path = size * waves.mean(axis=-1)
    return tremor


def capsule(start: Path, end: Path, r_start: float, r_end: float) -> NDArray[np.float64]:
    """One shape ``(n_frames, 6)`` between two paths ``(n_frames, 2)``."""
    n = len(start)
    return np.column_stack([start, np.full(n, r_start), end, np.full(n, r_end)])
