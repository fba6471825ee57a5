"""How much of a clip moves, and when: from a subject who stands still to a camera that shakes.

A motion changes a performance by a clock (what time it is for the subject) and by a shift of what
the camera sees; neither draws from the random numbers of the gesture itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError

MOTIONS = ("gesture", "static", "slow", "fast", "global", "stop-and-go", "translate", "flicker")
"""Motion levels of `neurovlm.events.scenes.render_clip`.

- gesture: the gesture at the speed of the subject;
- static: the subject stands still in the first pose, so only camera noise is left;
- slow, fast: the gesture at `SLOW` or `FAST` times the speed, which is then slow or quick;
- global: the camera shakes before a textured wall, so nearly everything changes;
- stop-and-go: the gesture with pauses;
- translate: the subject walks across the view;
- flicker: a lamp on the wall flickers beside the gesture.
"""

SLOW, FAST = 0.4, 1.8
GLOBAL_TEXTURE = 0.18
"""Log luminance of each wave of the wall that a shaking camera looks at."""
LAMP_CONTRAST = 0.7

_SALT = 5


def check_motion(motion: str) -> None:
    """Raise UsageError unless ``motion`` is one of `MOTIONS`."""
    if motion not in MOTIONS:
        raise UsageError(f"motion must be one of {', '.join(MOTIONS)}, got {motion!r}")


def motion_clock(motion: str, seed: int, t_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Time that has passed for the subject at the times ``t_us`` of the camera, in us."""
    if motion == "static":
        return np.zeros_like(t_us)
    if motion != "stop-and-go":
        return t_us
    rng = np.random.default_rng([seed, _SALT, 0])
    go_us, stop_us = rng.integers(250_000, 500_000, 2)
    whole, rest = np.divmod(t_us + rng.integers(go_us), go_us + stop_us)
    passed: NDArray[np.int64] = whole * go_us + np.minimum(rest, go_us)
    return passed


def view_shift(motion: str, seed: int, t_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shift of the subject in the view, ``(n, 2)`` view units; zero unless it or the camera moves.

    Walking starts on one side and goes to the other at 45 to 80 units per second; a shaking camera
    follows two sines of 2 to 6 Hz along each axis.
    """
    t_s = t_us[:, None] * 1e-6
    rng = np.random.default_rng([seed, _SALT, 1])
    if motion == "translate":
        side = rng.choice((-1.0, 1.0))
        start, speed = rng.uniform(35.0, 60.0), rng.uniform(45.0, 80.0)
        step = 0.8 * np.abs(np.sin(2 * np.pi * rng.uniform(1.5, 2.2) * t_s))
        return np.hstack([side * (start - speed * t_s), step])
    if motion == "global":
        rates_hz, phases = rng.uniform(2.0, 6.0, (2, 2)), rng.uniform(0, 2 * np.pi, (2, 2))
        size = rng.uniform(2.0, 4.5, 2)
        angle = 2 * np.pi * rates_hz * t_s[..., None] + phases
        shake: NDArray[np.float64] = size * np.sin(angle).sum(axis=-1)
        return shake
    return np.zeros((len(t_us), 2))


def lamp(
    seed: int, t_us: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Log luminance that a flickering lamp adds to the wall, ``(n, len(y), len(x))``.

    A soft disc of 6 to 10 view units near one upper corner, a sine of 6 to 20 Hz.
    """
    rng = np.random.default_rng([seed, _SALT, 2])
    centre = rng.choice((-1.0, 1.0)) * rng.uniform(42.0, 50.0), rng.uniform(-50.0, -36.0)
    radius, rate_hz = rng.uniform(6.0, 10.0), rng.uniform(6.0, 20.0)
    distance = np.hypot((x - centre[0])[None, :], (y - centre[1])[:, None])
    disc = np.clip(radius - distance + 0.5, 0.0, 1.0).astype(np.float32)
    wave = LAMP_CONTRAST * np.sin(2 * np.pi * rate_hz * t_us * 1e-6)
    light: NDArray[np.float32] = wave.astype(np.float32)[:, None, None] * disc
    return light
