"""What pixels of a real DVS128 do beyond the contrast model.

Three habits seen in the recordings of DVS128 Gesture, as ranges to draw from: a pixel follows the
light with a lag (first-order low-pass); about an eighth of the events come twice within 2 us; and
many events are followed by one of the other polarity after some 0.3 to 1.5 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurovlm.events.camera import ContrastParams
from neurovlm.events.stream import EventStream


@dataclass(frozen=True)
class PixelHabits:
    """Habits of the pixels; the defaults are an ideal pixel.

    Attributes
    ----------
    lag_us
        Time constant of the low-pass in front of the comparator.
    echo
        Chance that an event is sent again within 2 us.
    bounce
        Chance that an event is followed by one of the other polarity.
    """

    lag_us: float = 0.0
    echo: float = 0.0
    bounce: float = 0.0


IDEAL = PixelHabits()
BOUNCE_US = 600.0
"""Median delay of an event that bounces; its logarithm spreads by 0.45."""


def draw_camera(rng: np.random.Generator) -> tuple[ContrastParams, PixelHabits]:
    """Draw a DVS128: thresholds, noise and habits from ranges around the real ones."""
    threshold = rng.uniform(0.12, 0.27, 2)
    params = ContrastParams(
        threshold_on=float(threshold[0]),
        threshold_off=float(0.5 * threshold.sum()),
        mismatch=float(rng.uniform(0.02, 0.06)),
        refractory_us=int(rng.uniform(200, 1500)),
        noise_hz=float(np.exp(rng.uniform(np.log(0.03), np.log(1.0)))),
        hot_pixels=int(rng.integers(8)),
        hot_hz=float(rng.uniform(5.0, 60.0)),
    )
    habits = PixelHabits(
        lag_us=float(rng.uniform(300.0, 5000.0)),
        echo=float(rng.uniform(0.03, 0.18)),
        bounce=float(rng.uniform(0.05, 0.30)),
    )
    return params, habits


def lagged(
    frames: NDArray[np.float32],
    t_us: NDArray[np.int64],
    before: NDArray[np.float32],
    before_us: int,
    lag_us: float,
) -> NDArray[np.float32]:
    """What pixels with a lag see: y += (1 - exp(-dt / lag)) (x - y), from frame to frame.

    Parameters
    ----------
    frames
        ``(n, height, width)`` log luminance at the times ``t_us``.
    before, before_us
        What they saw last, ``(height, width)``, and when.
    """
    if lag_us == 0.0:
        return frames
    steps = np.diff(t_us, prepend=before_us)
    seen = np.empty_like(frames)
    _low_pass(frames, before, (1 - np.exp(-steps / lag_us)).astype(np.float32), seen)
    return seen


@njit(cache=True)
def _low_pass(frames: Any, before: Any, gain: Any, seen: Any) -> None:
    n_frames, height, width = frames.shape
    for f in range(n_frames):
        last = before if f == 0 else seen[f - 1]
        for row in range(height):
            for column in range(width):
                was = last[row, column]
                seen[f, row, column] = was + gain[f] * (frames[f, row, column] - was)


def with_afterpulses(
    events: EventStream, habits: PixelHabits, rng: np.random.Generator
) -> EventStream:
    """Add echoes and bounces; draws nothing for an ideal pixel."""
    if habits.echo == 0.0 and habits.bounce == 0.0:
        return events
    n = len(events)
    echoes = rng.random(n) < habits.echo
    bounces = rng.random(n) < habits.bounce
    wait_us = np.exp(np.log(BOUNCE_US) + 0.45 * rng.standard_normal(int(bounces.sum())))
    again_us = rng.integers(0, 3, int(echoes.sum()))
    t = np.concatenate([events.t, events.t[echoes] + again_us, events.t[bounces] + wait_us])
    x, y = (np.concatenate([c, c[echoes], c[bounces]]) for c in (events.x, events.y))
    p = np.concatenate([events.p, events.p[echoes], ~events.p[bounces]])
    t = t.astype(np.int64)
    order = np.argsort(t, kind="stable")
    return EventStream(t[order], x[order], y[order], p[order], events.sensor)
