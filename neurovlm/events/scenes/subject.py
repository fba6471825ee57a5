"""Subjects: who is in front of the camera, and in what room.

Lengths are in view units: the shorter side of the sensor is 128 units, x grows to the image right,
y down, (0, 0) is the centre of the image. Body lengths are in body units (1 = shoulder to hip).
Right and left are the subject's own; the right arm appears on the image left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.caption import COLOURS

TRAIN_SEEDS = range(100_000)
"""Seeds of subjects to train on."""
TEST_SEEDS = range(1_000_000, 1_100_000)
"""Seeds of subjects that no training may see."""

SHIRT_RGB = {
    "red": (0.80, 0.10, 0.10),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.12, 0.22, 0.80),
    "yellow": (0.92, 0.82, 0.12),
    "white": (0.95, 0.95, 0.93),
    "black": (0.05, 0.05, 0.06),
}
SLOW_HZ = (1.00, 1.30)
QUICK_HZ = (1.90, 2.80)
VIEW_UNITS = 128.0
N_WAVES = 10

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Limb:
    """Looks of one arm.

    ``*_contrast`` is the log luminance above the background as the event sensor sees it. Silicon
    also sees near infrared, where cloth and skin differ from what their colour suggests, so it is
    drawn apart from the colour.
    """

    arm_contrast: float
    hand_contrast: float
    arm_rgb: Rgb
    hand_rgb: Rgb


@dataclass(frozen=True)
class Subject:
    """One person, their style and their room; made by `subject_from_seed`.

    Attributes
    ----------
    colour
        Shirt colour, one of `caption.COLOURS`.
    centre, size
        Middle of the shoulders and length of one body unit, in view units.
    shoulder, arm, thickness, hand, head
        Half shoulder width, arm length, arm radius, hand radius, head radius, in body units.
    torso_contrast, head_contrast, skin_rgb, wall_rgb, right, left
        Looks.
    left_handed
        Which way round guitar, roll and the like are performed.
    slow_hz, quick_hz
        Repetitions (of circles and waves: turns) per second when slow and when quick.
    amplitude, tilt, warp, warp_phase, tremor, sway, sway_hz
        Style: size of gestures, tilt of paths (rad), unevenness along a cycle, tremor (view units),
        sway of the body (view units) and its rate.
    texture
        ``(N_WAVES, 4)`` waves of the wall: wave numbers kx, ky (rad per view unit), phase,
        amplitude (log luminance).
    """

    colour: str
    centre: tuple[float, float]
    size: float
    shoulder: float
    arm: float
    thickness: float
    hand: float
    head: float
    torso_contrast: float
    head_contrast: float
    skin_rgb: Rgb
    wall_rgb: Rgb
    right: Limb
    left: Limb
    left_handed: bool
    slow_hz: float
    quick_hz: float
    amplitude: float
    tilt: float
    warp: float
    warp_phase: float
    tremor: float
    sway: float
    sway_hz: float
    texture: tuple[tuple[float, float, float, float], ...]

    def mirrored(self) -> Subject:
        """Return the subject in a mirror; doing it twice gives the subject back."""
        return replace(
            self,
            centre=(-self.centre[0], self.centre[1]),
            right=self.left,
            left=self.right,
            left_handed=not self.left_handed,
            texture=tuple((-kx, ky, phase, a) for kx, ky, phase, a in self.texture),
        )


def subject_from_seed(seed: int) -> Subject:
    """Draw a subject; the same seed always gives the same one."""
    if seed < 0:
        raise UsageError(f"subject seed cannot be negative, got {seed}")
    rng = np.random.default_rng([seed, 0x5B])
    size = rng.uniform(33.0, 48.0)
    reach = 62.0 - 1.15 * size
    skin = _skin(rng)
    return Subject(
        colour=str(rng.choice(COLOURS)),
        centre=(rng.uniform(-reach, reach), rng.uniform(-22.0, -4.0)),
        size=size,
        shoulder=rng.uniform(0.36, 0.48),
        arm=rng.uniform(1.15, 1.35),
        thickness=rng.uniform(0.06, 0.10),
        hand=rng.uniform(0.10, 0.16),
        head=rng.uniform(0.20, 0.27),
        torso_contrast=_contrast(rng),
        head_contrast=_contrast(rng),
        skin_rgb=skin,
        wall_rgb=_grey(rng, 0.35, 0.6),
        right=_limb(rng, skin),
        left=_limb(rng, skin),
        left_handed=bool(rng.random() < 0.5),
        slow_hz=rng.uniform(*SLOW_HZ),
        quick_hz=rng.uniform(*QUICK_HZ),
        amplitude=rng.uniform(0.8, 1.2),
        tilt=rng.uniform(-0.3, 0.3),
        warp=rng.uniform(0.0, 0.45),
        warp_phase=rng.uniform(0, 2 * np.pi),
        tremor=rng.uniform(0.0, 0.5),
        sway=rng.uniform(0.2, 1.5),
        sway_hz=rng.uniform(0.15, 0.5),
        texture=_texture(rng),
    )


def wall_texture(
    subject: Subject, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log luminance of the wall around its mean, ``(len(y), len(x))``: a sum of plane waves."""
    texture = np.zeros((len(y), len(x)))
    for kx, ky, phase, amplitude in subject.texture:
        texture += amplitude * np.cos((kx * x)[None, :] + (ky * y)[:, None] + phase)
    return texture


def moving_wall_texture(
    subject: Subject,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    shift: NDArray[np.float64],
    amplitude: float,
) -> NDArray[np.float32]:
    """Log luminance of a wall that moves by ``shift`` ``(n, 2)`` view units: ``(n, y, x)``.

    Its waves are those of `wall_texture`, each with the given amplitude. By the addition theorem
    cos(a + b) = cos a cos b - sin a sin b every frame is one matrix product.
    """
    kx, ky, phase, _ = np.array(subject.texture).T
    ax = kx * (x[None, :, None] - shift[:, None, None, 0])
    ay = ky * (y[None, :, None] - shift[:, None, None, 1]) + phase
    down = np.concatenate([np.cos(ay), -np.sin(ay)], axis=-1)
    across = np.concatenate([np.cos(ax), np.sin(ax)], axis=-1)
    wall: NDArray[np.float64] = amplitude * (down @ across.transpose(0, 2, 1))
    return wall.astype(np.float32)


def _contrast(rng: np.random.Generator) -> float:
    return float(rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 1.1))


def _limb(rng: np.random.Generator, skin: Rgb) -> Limb:
    dark, light, bare = _grey(rng, 0.06, 0.2), _grey(rng, 0.75, 0.95), skin
    sleeve = (dark, light, bare, bare)[rng.integers(4)]
    return Limb(_contrast(rng), _contrast(rng), sleeve, skin)


def _skin(rng: np.random.Generator) -> Rgb:
    light = rng.choice((rng.uniform(0.2, 0.32), rng.uniform(0.7, 0.95)))
    return (light, 0.76 * light, 0.62 * light)


def _grey(rng: np.random.Generator, low: float, high: float) -> Rgb:
    light = rng.uniform(low, high)
    tint = rng.uniform(0.92, 1.0, 3)
    return (light * tint[0], light * tint[1], light * tint[2])


def _texture(rng: np.random.Generator) -> tuple[tuple[float, float, float, float], ...]:
    contrast = rng.uniform(0.0, 0.08)
    wavelength = np.exp(rng.uniform(np.log(6.0), np.log(60.0), N_WAVES))
    angle = rng.uniform(0, 2 * np.pi, N_WAVES)
    phase = rng.uniform(0, 2 * np.pi, N_WAVES)
    k = 2 * np.pi / wavelength
    waves = zip(k * np.cos(angle), k * np.sin(angle), phase, strict=True)
    return tuple((float(kx), float(ky), float(p), float(contrast)) for kx, ky, p in waves)
