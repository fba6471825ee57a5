"""Contrast model of an event camera: luminance frames -> events.

A pixel remembers the log luminance L_ref of its last event. Between two frames the log luminance
is taken as linear in time; whenever

    L(t) - L_ref >= theta_on    (ON)      or      L_ref - L(t) >= theta_off    (OFF)

the pixel emits an event at the crossing time and moves L_ref by that threshold. Thresholds differ
from pixel to pixel (mismatch). A crossing within the refractory period moves L_ref but emits
nothing. The model is that of ESIM (Rebecq et al., CoRL 2018); shot noise and hot pixels as in v2e
(Hu et al., CVPRW 2021) are Poisson events of either polarity that leave L_ref alone, so the events
of the scene itself are the same with and without noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream

NEVER_US = -(2**62)
BLOCK_FRAMES = 64


@dataclass(frozen=True)
class ContrastParams:
    """Parameters of the contrast model; defaults are the typical values of v2e.

    Attributes
    ----------
    threshold_on, threshold_off
        Contrast thresholds in log luminance (natural logarithm).
    mismatch
        Standard deviation of both thresholds over the pixels, same unit.
    refractory_us
        Time after an event in which the pixel emits nothing.
    noise_hz
        Shot noise events per pixel and second, both polarities together.
    hot_pixels, hot_hz
        Number of hot pixels and the rate of each.
    """

    threshold_on: float = 0.2
    threshold_off: float = 0.2
    mismatch: float = 0.03
    refractory_us: int = 500
    noise_hz: float = 1.0
    hot_pixels: int = 4
    hot_hz: float = 50.0

    def __post_init__(self) -> None:
        if self.threshold_on <= 0 or self.threshold_off <= 0:
            raise UsageError(
                "ContrastParams: thresholds must be above 0, got "
                f"{self.threshold_on} and {self.threshold_off}"
            )
        for name in ("mismatch", "refractory_us", "noise_hz", "hot_pixels", "hot_hz"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"ContrastParams: {name} cannot be negative, got {getattr(self, name)}"
                )


@dataclass(frozen=True, eq=False)
class ContrastState:
    """What the sensor remembers between two calls; arrays are ``(height, width)``.

    Attributes
    ----------
    t_us
        Time of the last frame.
    log_luminance
        The last frame, float32.
    reference
        L_ref of every pixel, float64.
    last_us
        Time of the last event of every pixel, int64.
    threshold_on, threshold_off
        The thresholds of every pixel, float64.
    hot
        Flat indices of the hot pixels.
    """

    t_us: int
    log_luminance: NDArray[np.float32]
    reference: NDArray[np.float64]
    last_us: NDArray[np.int64]
    threshold_on: NDArray[np.float64]
    threshold_off: NDArray[np.float64]
    hot: NDArray[np.int64]

    @property
    def sensor(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        height, width = self.reference.shape
        return width, height


def first_state(
    log_frame: NDArray[np.float32], t_us: int, params: ContrastParams, rng: np.random.Generator
) -> ContrastState:
    """State of a sensor that has been looking at ``log_frame`` for long.

    Parameters
    ----------
    log_frame
        ``(height, width)`` log luminance.
    t_us
        Time of the frame.
    params, rng
        Thresholds and hot pixels are drawn once, here.
    """
    shape = log_frame.shape
    thresholds = [
        np.maximum(mean + params.mismatch * rng.standard_normal(shape), 0.1 * mean)
        for mean in (params.threshold_on, params.threshold_off)
    ]
    n_hot = min(params.hot_pixels, log_frame.size)
    return ContrastState(
        t_us=t_us,
        log_luminance=log_frame.astype(np.float32),
        reference=log_frame.astype(np.float64),
        last_us=np.full(shape, NEVER_US, np.int64),
        threshold_on=thresholds[0],
        threshold_off=thresholds[1],
        hot=rng.choice(log_frame.size, n_hot, replace=False),
    )


def contrast_step(
    log_frames: NDArray[np.float32],
    t_us: NDArray[np.int64],
    state: ContrastState,
    params: ContrastParams,
) -> tuple[EventStream, ContrastState]:
    """Noise-free events of some more frames.

    Parameters
    ----------
    log_frames
        ``(n, height, width)`` log luminance, each later than the one before it and than ``state``.
    t_us
        ``(n,)`` their times.

    Returns
    -------
    EventStream, ContrastState
        Events in ``[state.t_us, t_us[-1]]`` and the state to go on with; ``state`` is left alone.
    """
    steps = np.diff(t_us, prepend=state.t_us)
    if np.any(steps <= 0):
        i = int(np.flatnonzero(steps <= 0)[0])
        raise UsageError(
            f"contrast_step: frame {i} at {t_us[i]} us is not later than the frame before it"
        )
    reference, last_us = state.reference.copy(), state.last_us.copy()
    t, x, y, p = _crossings(
        log_frames,
        t_us,
        state.log_luminance,
        state.t_us,
        reference,
        last_us,
        state.threshold_on,
        state.threshold_off,
        params.refractory_us,
    )
    order = np.argsort(t, kind="stable")
    events = EventStream(t[order], x[order], y[order], p[order], state.sensor)
    after = replace(
        state,
        t_us=int(t_us[-1]),
        log_luminance=log_frames[-1].copy(),
        reference=reference,
        last_us=last_us,
    )
    return events, after


def noise_events(
    start_us: int,
    stop_us: int,
    state: ContrastState,
    params: ContrastParams,
    rng: np.random.Generator,
) -> EventStream:
    """Shot noise and hot pixels in ``[start_us, stop_us)``, independent of the scene."""
    width, height = state.sensor
    duration_s = (stop_us - start_us) * 1e-6
    n_shot = rng.poisson(params.noise_hz * width * height * duration_s)
    n_hot = rng.poisson(params.hot_hz * len(state.hot) * duration_s)
    shot = rng.integers(0, width * height, n_shot)
    hot = state.hot[rng.integers(0, max(len(state.hot), 1), n_hot)]
    pixel = np.concatenate([shot, hot])
    t = rng.integers(start_us, stop_us, len(pixel))
    p = rng.integers(0, 2, len(pixel)) > 0
    order = np.argsort(t, kind="stable")
    pixel = pixel[order]
    return EventStream(
        t[order],
        (pixel % width).astype(np.uint16),
        (pixel // width).astype(np.uint16),
        p[order],
        (width, height),
    )


def merge(first: EventStream, second: EventStream) -> tuple[EventStream, NDArray[np.bool_]]:
    """Merge two streams of one sensor by time; also say which events came from the first."""
    if first.sensor != second.sensor:
        raise UsageError(f"merge: sensors differ, got {first.sensor} and {second.sensor}")
    order = np.argsort(np.concatenate([first.t, second.t]), kind="stable")
    t, x, y, p = (
        np.concatenate([getattr(first, name), getattr(second, name)])[order] for name in "txyp"
    )
    return EventStream(t, x, y, p, first.sensor), order < len(first)


def log_luminance(luminance: ArrayLike, floor: float = 1e-3) -> NDArray[np.float32]:
    """Log of linear luminance (1 = white), ``log(max(luminance, floor))``.

    Raises
    ------
    InputFileError
        For NaN, infinite or negative values.
    """
    values = np.asarray(luminance, dtype=np.float32)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputFileError(
            f"luminance at index {where} is {values[where]}; it must be finite and not negative"
        )
    log: NDArray[np.float32] = np.log(np.maximum(values, np.float32(floor)))
    return log


def frames_to_events(
    frames: Iterable[tuple[int, ArrayLike]], params: ContrastParams, rng: np.random.Generator
) -> EventStream:
    """Events, noise included, that a camera would send while it looks at ``frames``.

    Parameters
    ----------
    frames
        ``(t_us, luminance)`` pairs in time order; linear luminance ``(height, width)``, 1 = white.
        Memory does not grow with the number of frames, only with that of events.

    Raises
    ------
    UsageError
        Without frames, or when time does not grow.
    InputFileError
        For NaN, infinite or negative luminance.
    """
    pairs = iter(frames)
    head = next(pairs, None)
    if head is None:
        raise UsageError("frames_to_events: needs at least one frame, got none")
    start_us = int(head[0])
    state = first_state(log_luminance(head[1]), start_us, params, rng)
    parts = [EventStream.empty(state.sensor)]
    for times, block in _blocks(pairs):
        events, state = contrast_step(block, times, state, params)
        parts.append(events)
    noise = noise_events(start_us, state.t_us + 1, state, params, rng)
    stream, _ = merge(EventStream.join(parts), noise)
    return stream


def _blocks(
    pairs: Iterable[tuple[int, ArrayLike]],
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    times: list[int] = []
    frames: list[NDArray[np.float32]] = []
    for t_us, luminance in pairs:
        times.append(int(t_us))
        frames.append(log_luminance(luminance))
        if len(times) == BLOCK_FRAMES:
            yield np.array(times, np.int64), np.stack(frames)
            times, frames = [], []
    if times:
        yield np.array(times, np.int64), np.stack(frames)


@njit(cache=True)
def _crossings(
    frames: Any,
    t_us: Any,
    before: Any,
    before_us: int,
    reference: Any,
    last_us: Any,
    threshold_on: Any,
    threshold_off: Any,
    refractory_us: int,
) -> Any:
    """Unsorted events of a block of frames; ``reference`` and ``last_us`` are updated in place."""
    n_frames, height, width = frames.shape
    capacity, n = 1 << 15, 0
    t = np.empty(capacity, np.int64)
    x = np.empty(capacity, np.uint16)
    y = np.empty(capacity, np.uint16)
    p = np.empty(capacity, np.bool_)
    for f in range(n_frames):
        old = before if f == 0 else frames[f - 1]
        start_us = before_us if f == 0 else t_us[f - 1]
        span_us = t_us[f] - start_us
        for row in range(height):
            for column in range(width):
                level, was = frames[f, row, column], old[row, column]
                if level == was:
                    continue
                on = level > was
                theta = threshold_on[row, column] if on else threshold_off[row, column]
                sign = 1.0 if on else -1.0
                while sign * (level - reference[row, column]) >= theta:
                    reference[row, column] += sign * theta
                    share = (reference[row, column] - was) / (level - was)
                    at_us = start_us + int(span_us * share + 0.5)
                    if at_us - last_us[row, column] < refractory_us:
                        continue
                    last_us[row, column] = at_us
                    if n == capacity:
                        capacity *= 2
                        t = _grown(t, capacity)
                        x = _grown(x, capacity)
                        y = _grown(y, capacity)
                        p = _grown(p, capacity)
                    t[n], x[n], y[n], p[n] = at_us, column, row, on
                    n += 1
    return t[:n], x[:n], y[:n], p[:n]


@njit(cache=True)
def _grown(array: Any, capacity: int) -> Any:
    larger = np.empty(capacity, array.dtype)
    larger[: len(array)] = array
    return larger
