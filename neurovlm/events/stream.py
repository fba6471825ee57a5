"""EventStream: time-sorted events of one sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovlm.core.errors import InputFileError, UsageError

_ALIASES = {
    "t": ("t", "timestamp", "ts"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "polarity", "on"),
}
TONIC_DTYPE = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])


@dataclass(frozen=True, eq=False)
class EventStream:
    """Events sorted by time; arrays are contiguous and read-only.

    Attributes
    ----------
    t
        int64 ``(n,)``, microseconds, non-decreasing.
    x, y
        uint16 ``(n,)``, column and row.
    p
        bool ``(n,)``, True for ON.
    sensor
        ``(width, height)`` in pixels.

    Raises
    ------
    InputFileError
        On disorder or an event outside the sensor, naming the first offender.
    """

    t: NDArray[np.int64]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    p: NDArray[np.bool_]
    sensor: tuple[int, int]

    def __post_init__(self) -> None:
        dtypes = {"t": np.int64, "x": np.uint16, "y": np.uint16, "p": np.bool_}
        for name, dtype in dtypes.items():
            array = _own(getattr(self, name), np.dtype(dtype))
            object.__setattr__(self, name, array)
        if not len(self.t) == len(self.x) == len(self.y) == len(self.p):
            raise UsageError(
                "EventStream: t, x, y, p must have one length, got "
                f"{len(self.t)}, {len(self.x)}, {len(self.y)}, {len(self.p)}"
            )
        check_order(self.t)
        check_inside(self.x, self.y, self.sensor)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def duration_us(self) -> int:
        """Time from the first event to the end of the last event's microsecond; 0 if empty."""
        return int(self.t[-1] - self.t[0]) + 1 if len(self) else 0

    def sign(self) -> NDArray[np.int8]:
        """+1 for ON, -1 for OFF."""
        return np.where(self.p, np.int8(1), np.int8(-1))

    def between(self, start_us: int, stop_us: int) -> EventStream:
        """Events with ``start_us <= t < stop_us``; a view, nothing is copied."""
        first, last = np.searchsorted(self.t, [start_us, stop_us])
        return self[int(first) : int(last)]

    def __getitem__(self, cut: slice) -> EventStream:
        if cut.step not in (None, 1):
            return EventStream(self.t[cut], self.x[cut], self.y[cut], self.p[cut], self.sensor)
        part = object.__new__(EventStream)  # neighbours of a checked stream need no check
        for name in "txyp":
            object.__setattr__(part, name, getattr(self, name)[cut])
        object.__setattr__(part, "sensor", self.sensor)
        return part

    @classmethod
    def join(cls, parts: Sequence[EventStream]) -> EventStream:
        """Concatenate streams of one sensor that follow each other in time."""
        if not parts:
            raise UsageError("EventStream.join: needs at least one part, got none")
        sensors = {part.sensor for part in parts}
        if len(sensors) != 1:
            raise UsageError(f"EventStream.join: parts must share one sensor, got {sensors}")
        t, x, y, p = (np.concatenate([getattr(part, name) for part in parts]) for name in "txyp")
        return cls(t, x, y, p, parts[0].sensor)

    @classmethod
    def empty(cls, sensor: tuple[int, int]) -> EventStream:
        """No events on a sensor of ``(width, height)``."""
        no_pixel = np.empty(0, np.uint16)
        return cls(np.empty(0, np.int64), no_pixel, no_pixel, np.empty(0, np.bool_), sensor)

    @classmethod
    def from_array(cls, events: NDArray[Any], sensor: tuple[int, int] | None = None) -> EventStream:
        """Take a structured array by field name: Tonic, Metavision, faery and dv dtypes.

        Times are microseconds; fractions are rounded. Polarity may be bool, 0/1 or -1/+1.
        Without ``sensor`` the smallest sensor that holds every event is assumed.

        Raises
        ------
        UsageError
            When a field is missing or no sensor is given for an empty array.
        InputFileError
            When a time is not finite, or a coordinate is not a whole number of 0..65535.
        """
        names = events.dtype.names or ()
        columns: dict[str, NDArray[Any]] = {}
        for field, aliases in _ALIASES.items():
            found = next((alias for alias in aliases if alias in names), None)
            if found is None:
                raise UsageError(
                    f"EventStream.from_array: no field {' / '.join(aliases)} in {list(names)}"
                )
            columns[field] = events[found]
        x, y = _coordinates(columns["x"], "x"), _coordinates(columns["y"], "y")
        if sensor is None:
            if len(events) == 0:
                raise UsageError("EventStream.from_array: give sensor=(width, height) for 0 events")
            sensor = (int(x.max()) + 1, int(y.max()) + 1)
        return cls(_times(columns["t"]), x, y, columns["p"] > 0, sensor)

    def to_tonic(self) -> NDArray[Any]:
        """Structured array with Tonic's fields ``x, y, t, p``."""
        array = np.empty(len(self), TONIC_DTYPE)
        for name in "xytp":
            array[name] = getattr(self, name)
        return array

    def __repr__(self) -> str:
        width, height = self.sensor
        return (
            f"EventStream({len(self):,} events, {width}x{height}, {self.duration_us / 1e6:.3f} s)"
        )


def check_order(t: NDArray[np.int64], offset: int = 0) -> None:
    """Raise at the first event that is earlier than the one before it."""
    back = np.flatnonzero(t[1:] < t[:-1])
    if len(back):
        i = int(back[0]) + 1
        raise InputFileError(
            f"events are not in time order: event {offset + i} at {t[i]} us follows "
            f"{t[i - 1]} us; sort them first (--sort accepts up to 10 ms)"
        )


def check_inside(
    x: NDArray[np.integer[Any]],
    y: NDArray[np.integer[Any]],
    sensor: tuple[int, int],
    offset: int = 0,
) -> None:
    """Raise at the first event outside the sensor."""
    width, height = sensor
    outside = np.flatnonzero((x < 0) | (x >= width) | (y < 0) | (y >= height))
    if len(outside):
        i = int(outside[0])
        raise InputFileError(
            f"event {offset + i} at x={x[i]}, y={y[i]} is outside the {width}x{height} sensor; "
            "give the true size (--sensor WxH)"
        )


def _own(values: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable:
        if array is values or array.base is not None:
            array = array.copy()
        array.setflags(write=False)
    return array


def _times(values: NDArray[Any]) -> NDArray[np.int64]:
    bad = np.flatnonzero(~(np.abs(values.astype(np.float64)) < 2.0**63))
    if len(bad):
        i = int(bad[0])
        raise InputFileError(f"event {i} has t={values[i]}, not a time in microseconds")
    if np.issubdtype(values.dtype, np.floating):
        values = np.rint(values)
    return values.astype(np.int64)


def _coordinates(values: NDArray[Any], name: str) -> NDArray[np.uint16]:
    bad = np.flatnonzero(~((values >= 0) & (values <= 65535) & (values % 1 == 0)))
    if len(bad):
        i = int(bad[0])
        raise InputFileError(f"event {i} has {name}={values[i]}, not a whole number of 0..65535")
    return values.astype(np.uint16)
