"""Mix two event streams; labels are mixed by the share of events that each one gave.

EventMix (Shen et al. 2023) takes the events of one stream inside a random 3-D mask and those of
the other outside it. A box through all of time is CutMix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.stream import EventStream
from neurovlm.training.augment import in_order

Mask: TypeAlias = Literal["time", "box", "blob"]


@dataclass(frozen=True)
class Mix:
    """Put a part of one stream into another.

    Attributes
    ----------
    masks
        What the part looks like, one of them drawn for each pair: ``"time"``, a span of time;
        ``"box"``, a box of the sensor through all of time (CutMix); ``"blob"``, the ellipsoid
        within which a random 3-D Gaussian exceeds a threshold (EventMix).
    max_share
        Share of the volume of time and space that the mask covers, drawn from ``0..max_share``;
        of a blob less, where it reaches over the edge.
    """

    masks: tuple[Mask, ...] = ("time", "box", "blob")
    max_share: float = 0.5

    def __post_init__(self) -> None:
        if not self.masks or set(self.masks) - {"time", "box", "blob"}:
            raise UsageError(f"masks must be among time, box, blob, got {self.masks}")
        if not 0 <= self.max_share <= 1:
            raise UsageError(f"max_share must be in 0..1, got {self.max_share}")

    def __call__(
        self, base: EventStream, other: EventStream, rng: np.random.Generator
    ) -> tuple[EventStream, float]:
        """Replace the part of ``base`` inside the mask by that of ``other``.

        Times of ``other`` are moved, so that both begin together; the mask spans the time of
        ``base``, and what comes after it is never taken from ``other``.

        Returns
        -------
        The mixed stream, and the share of its events that ``other`` gave: the weight of the
        label of ``other``; the label of ``base`` has the rest.

        Raises
        ------
        UsageError
            When the sensors differ.
        """
        if base.sensor != other.sensor:
            raise UsageError(
                f"Mix: streams must share one sensor, got {base.sensor} and {other.sensor}"
            )
        if not len(base) or not len(other) or self.max_share == 0:
            return base, 0.0
        inside = _draw(self.masks[rng.integers(len(self.masks))], self.max_share, rng)
        keep = np.flatnonzero(~inside.of(base, base))
        take = np.flatnonzero(inside.of(other, base))
        if not len(keep) and not len(take):
            return base, 0.0
        mixed = in_order(
            np.concatenate([base.t[keep], other.t[take] - other.t[0] + base.t[0]]),
            np.concatenate([base.x[keep], other.x[take]]),
            np.concatenate([base.y[keep], other.y[take]]),
            np.concatenate([base.p[keep], other.p[take]]),
            base.sensor,
        )
        return mixed, len(take) / len(mixed)


CUT_MIX = Mix(("box",))
EVENT_MIX = Mix(("blob",))


@dataclass(frozen=True)
class _Region:
    """Box or ellipsoid in the unit cube of time, x and y."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    is_round: bool

    def of(self, stream: EventStream, clock: EventStream) -> NDArray[np.bool_]:
        """Which events lie inside, where the time of ``clock`` is 0..1."""
        since_us = stream.t - stream.t[0]
        inside = since_us < clock.duration_us
        width, height = stream.sensor
        squared = np.zeros(len(stream), np.float32)
        axes = (
            (since_us, clock.duration_us),
            (stream.x, width),
            (stream.y, height),
        )
        for (values, length), centre, half in zip(axes, self.centre, self.half, strict=True):
            position = (values.astype(np.float32) + np.float32(0.5)) / np.float32(length)
            offset = np.abs(position - np.float32(centre))
            if self.is_round:
                squared += (offset / np.float32(half)) ** 2
            else:
                inside &= offset < half
        return inside & (squared < 1) if self.is_round else inside


def _draw(mask: Mask, max_share: float, rng: np.random.Generator) -> _Region:
    share = max(rng.uniform(0, max_share), 1e-9)
    if mask == "blob":
        stretch = rng.uniform(0.5, 2.0, 3)
        # volume of the ellipsoid: 4 pi / 3 times its half axes
        half = stretch * (share / (4 / 3 * np.pi * stretch.prod())) ** (1 / 3)
        centre = rng.uniform(0, 1, 3)
    else:
        lengths = [share, 1.0, 1.0] if mask == "time" else [1.0, share**0.5, share**0.5]
        half = np.array(lengths) / 2
        centre = rng.uniform(half, 1 - half)
        half[half == 0.5] = 1.0  # whole axes have no edge to round at
    return _Region(tuple(centre.tolist()), tuple(half.tolist()), mask == "blob")
