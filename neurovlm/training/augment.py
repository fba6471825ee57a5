"""Event-level augmentation: frozen configurations that map a stream to a varied stream.

Each takes ``(stream, rng)`` and returns a new stream: sorted, inside the sensor, the same for the
same state of ``rng``. Events that leave the sensor are lost. Times stay at or after the first
event's unless said otherwise. Space is geometry, the rest losses, time, and noise; two streams are
mixed by `neurovlm.training.mix`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.stream import EventStream

Augment: TypeAlias = Callable[[EventStream, np.random.Generator], EventStream]


@dataclass(frozen=True)
class Shift:
    """Move by whole pixels, drawn from ``-max_px..max_px`` for each axis.

    Attributes
    ----------
    max_px
        At least 0.
    wrap
        Whether what leaves on one side enters on the other (a roll).
    """

    max_px: int
    wrap: bool = False

    def __post_init__(self) -> None:
        _check(self, self.max_px >= 0, "max_px must be at least 0")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        dx, dy = rng.integers(-self.max_px, self.max_px, 2, endpoint=True)
        x, y = stream.x.astype(np.int64) + dx, stream.y.astype(np.int64) + dy
        if self.wrap:
            width, height = stream.sensor
            return _with(stream, x=x % width, y=y % height)
        return _inside(stream, x, y)


@dataclass(frozen=True)
class Affine:
    """Rotate, scale and shear about the middle of the sensor, drawn anew for each stream.

    With offsets ``(u, v)`` from the middle, ``u' = s (u cos a - v sin a) + k v`` and
    ``v' = s (u sin a + v cos a)``; coordinates are rounded to pixels.

    Attributes
    ----------
    max_degrees
        Largest angle ``a`` either way.
    max_scale
        Scales are log-uniform in ``1 / max_scale..max_scale``.
    max_shear
        Largest ``k`` either way, in pixels per pixel.
    """

    max_degrees: float = 0.0
    max_scale: float = 1.0
    max_shear: float = 0.0

    def __post_init__(self) -> None:
        _check(self, self.max_degrees >= 0 and self.max_shear >= 0, "angle and shear from 0")
        _check(self, self.max_scale >= 1, "max_scale must be at least 1")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        angle = np.deg2rad(rng.uniform(-self.max_degrees, self.max_degrees))
        scale = self.max_scale ** rng.uniform(-1, 1)
        shear = rng.uniform(-self.max_shear, self.max_shear)
        cos, sin = np.float32(scale * np.cos(angle)), np.float32(scale * np.sin(angle))
        middle_x, middle_y = (np.float32((side - 1) / 2) for side in stream.sensor)
        u, v = stream.x - middle_x, stream.y - middle_y
        x = u * cos + v * (np.float32(shear) - sin) + middle_x
        y = u * sin + v * cos + middle_y
        return _inside(stream, np.rint(x), np.rint(y))


@dataclass(frozen=True)
class SpatialJitter:
    """Move each event by a rounded normal offset.

    Attributes
    ----------
    sigma_px
        Standard deviation on each axis.
    """

    sigma_px: float

    def __post_init__(self) -> None:
        _check(self, self.sigma_px >= 0, "sigma_px must be at least 0")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        offset = np.float32(self.sigma_px) * rng.standard_normal((2, len(stream)), np.float32)
        dx, dy = np.rint(offset).astype(np.int64)
        return _inside(stream, stream.x + dx, stream.y + dy)


@dataclass(frozen=True)
class DropEvents:
    """Lose a share of the events, drawn from ``0..max_share``, each independently."""

    max_share: float

    def __post_init__(self) -> None:
        _check_share(self, self.max_share)

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        share = rng.uniform(0, self.max_share)
        return _take(stream, rng.random(len(stream), np.float32) >= share)


@dataclass(frozen=True)
class DropTime:
    """Lose every event of one span of time, a share of the duration drawn from ``0..max_share``.

    Gu et al. 2021, EventDrop.
    """

    max_share: float

    def __post_init__(self) -> None:
        _check_share(self, self.max_share)

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        begin_us, end_us = span(stream, rng.uniform(0, self.max_share), rng)
        return _take(stream, (stream.t < begin_us) | (stream.t >= end_us))


@dataclass(frozen=True)
class DropArea:
    """Lose every event of one box of the sensor, a share of its area from ``0..max_share``.

    Gu et al. 2021, EventDrop. The box has the sensor's aspect ratio.
    """

    max_share: float

    def __post_init__(self) -> None:
        _check_share(self, self.max_share)

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        return _take(stream, ~in_box(stream, rng.uniform(0, self.max_share), rng))


@dataclass(frozen=True)
class TimeSkew:
    """Play faster or slower: times after the first are multiplied by one log-uniform factor.

    Attributes
    ----------
    max_factor
        Factors are in ``1 / max_factor..max_factor``.
    """

    max_factor: float

    def __post_init__(self) -> None:
        _check(self, self.max_factor >= 1, "max_factor must be at least 1")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        factor = self.max_factor ** rng.uniform(-1, 1)
        if not len(stream):
            return stream
        first = stream.t[0]
        return _with(stream, t=first + np.rint((stream.t - first) * factor).astype(np.int64))


@dataclass(frozen=True)
class TimeJitter:
    """Move each event in time by a rounded normal offset and sort; none before the first event.

    Attributes
    ----------
    sigma_us
        Standard deviation in microseconds.
    """

    sigma_us: float

    def __post_init__(self) -> None:
        _check(self, self.sigma_us >= 0, "sigma_us must be at least 0")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        offset = np.float32(self.sigma_us) * rng.standard_normal(len(stream), np.float32)
        t = stream.t + np.rint(offset).astype(np.int64)
        if not len(stream):
            return stream
        return in_order(np.maximum(t, stream.t[0]), stream.x, stream.y, stream.p, stream.sensor)


@dataclass(frozen=True)
class SwapPolarity:
    """Make ON events OFF and the reverse, as where the contrast of the scene is reversed."""

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        return _with(stream, p=~stream.p)


@dataclass(frozen=True)
class Noise:
    """Add background activity and hot pixels: Poisson, of either polarity alike.

    Attributes
    ----------
    rate_hz
        Largest rate of each pixel's background activity; drawn from ``0..rate_hz``.
    n_hot
        Number of hot pixels, drawn from ``0..n_hot``.
    hot_rate_hz
        Rate of each hot pixel.
    """

    rate_hz: float = 0.0
    n_hot: int = 0
    hot_rate_hz: float = 100.0

    def __post_init__(self) -> None:
        fine = min(self.rate_hz, self.n_hot, self.hot_rate_hz) >= 0
        _check(self, fine, "rates and numbers must be at least 0")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        width, height = stream.sensor
        duration_s = stream.duration_us / 1e6
        rate_hz = rng.uniform(0, self.rate_hz)
        n_background = rng.poisson(rate_hz * duration_s * width * height)
        n_hot = rng.integers(0, self.n_hot, endpoint=True)
        per_hot = rng.poisson(self.hot_rate_hz * duration_s, n_hot)
        pixels = np.concatenate(
            [
                rng.integers(0, width * height, n_background),
                np.repeat(rng.integers(0, width * height, n_hot), per_hot),
            ]
        )
        if not len(pixels):
            return stream
        t = rng.integers(stream.t[0], stream.t[-1], len(pixels), endpoint=True)
        p = rng.random(len(pixels)) < 0.5
        return in_order(
            np.concatenate([stream.t, t]),
            np.concatenate([stream.x, (pixels % width).astype(np.uint16)]),
            np.concatenate([stream.y, (pixels // width).astype(np.uint16)]),
            np.concatenate([stream.p, p]),
            stream.sensor,
        )


@dataclass(frozen=True)
class Sometimes:
    """Apply one of several with probability ``chance``, else leave the stream as it is."""

    chance: float
    choices: tuple[Augment, ...]

    def __post_init__(self) -> None:
        _check_share(self, self.chance)
        _check(self, len(self.choices) > 0, "needs at least one choice")

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        is_on, which = rng.random() < self.chance, int(rng.integers(len(self.choices)))
        return self.choices[which](stream, rng) if is_on else stream


@dataclass(frozen=True)
class Compose:
    """Apply one after the other."""

    steps: tuple[Augment, ...]

    def __call__(self, stream: EventStream, rng: np.random.Generator) -> EventStream:
        """Vary one stream."""
        for step in self.steps:
            stream = step(stream, rng)
        return stream


def compose(*steps: Augment) -> Compose:
    """Chain augmentations, first to last."""
    return Compose(steps)


def mirror(stream: EventStream) -> EventStream:
    """Left becomes right; an involution. The label changes with it, see `mirrored`."""
    return _with(stream, x=np.uint16(stream.sensor[0] - 1) - stream.x)


def mirrored(
    stream: EventStream, label: int, flip: tuple[int, ...] | None, rng: np.random.Generator
) -> tuple[EventStream, int]:
    """Mirror every second stream, and its label by ``flip``; never where ``flip`` is None."""
    if rng.random() < 0.5 or flip is None:
        return stream, label
    return mirror(stream), flip[label]


def in_order(
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.bool_],
    sensor: tuple[int, int],
) -> EventStream:
    """Sort events by time; those of one time keep their order."""
    order = np.argsort(t, kind="stable")
    return EventStream(t[order], x[order], y[order], p[order], sensor)


def span(stream: EventStream, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Random ``begin_us <= t < end_us`` that lasts a share of the stream."""
    length_us = round(share * stream.duration_us)
    begin_us = int(rng.integers(0, stream.duration_us - length_us, endpoint=True))
    begin_us += int(stream.t[0]) if len(stream) else 0
    return begin_us, begin_us + length_us


def in_box(stream: EventStream, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which events lie in a random box of the sensor's shape that covers a share of its area."""
    inside = np.ones(len(stream), np.bool_)
    for axis, side in zip((stream.x, stream.y), stream.sensor, strict=True):
        length = round(side * share**0.5)
        first = int(rng.integers(0, side - length, endpoint=True))
        inside &= (axis >= first) & (axis < first + length)
    return inside


def _with(stream: EventStream, **columns: NDArray[Any]) -> EventStream:
    new = {name: columns.get(name, getattr(stream, name)) for name in "txyp"}
    return EventStream(**new, sensor=stream.sensor)


def _take(stream: EventStream, keep: NDArray[np.bool_]) -> EventStream:
    index = np.flatnonzero(keep)
    return EventStream(
        stream.t[index], stream.x[index], stream.y[index], stream.p[index], stream.sensor
    )


def _inside(stream: EventStream, x: NDArray[Any], y: NDArray[Any]) -> EventStream:
    width, height = stream.sensor
    index = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
    return EventStream(stream.t[index], x[index], y[index], stream.p[index], stream.sensor)


def _check(config: object, is_fine: bool, rule: str) -> None:
    if not is_fine:
        raise UsageError(f"{rule}, got {config}")


def _check_share(config: object, share: float) -> None:
    _check(config, 0 <= share <= 1, "a share or chance must be in 0..1")
