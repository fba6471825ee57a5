"""One recording on disk, read in blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.io import passes
from neurovlm.events.io.detect import open_source
from neurovlm.events.io.frames import Frame
from neurovlm.events.io.sensors import smallest_sensor
from neurovlm.events.io.source import Columns, Sensor, Source
from neurovlm.events.stream import EventStream


@dataclass(frozen=True)
class Recording:
    """A recording that has been recognised and opened, not yet read.

    Attributes
    ----------
    path
        The file.
    format
        What it is, for example ``"AEDAT 2.0"``.
    sensor
        ``(width, height)`` in pixels.
    notes
        What was assumed, left out, or found odd; one sentence each.
    has_frames
        Whether ``frames`` yields intensity images.
    t_first_us
        Time of the first event in the file; ``start_s`` and ``stop_s`` count from it.
    """

    path: Path
    format: str
    sensor: Sensor
    notes: tuple[str, ...]
    has_frames: bool
    t_first_us: int
    _source: Source = field(repr=False)
    _sort: bool = field(repr=False)
    _start_us: int | None = field(repr=False)
    _stop_us: int | None = field(repr=False)
    _chunk_events: int = field(repr=False)

    def chunks(self) -> Iterator[EventStream]:
        """Events in time order, ``chunk_events`` at a time; each call starts a new pass.

        Times are those of the file (AEDAT4: Unix microseconds), with counters unwrapped.

        Raises
        ------
        InputFileError
            At the first event out of order, outside the sensor, or more than an hour after the
            one before it, and where the file is corrupt. Events are counted from 0.
        UsageError
            When no event lies between start and stop.
        """
        parts = _ordered(self._source.columns(), self._sort, self.path)
        parts = passes.inside(parts, self.sensor, self.path)
        parts = passes.between(parts, self._start_us, self._stop_us)
        parts = passes.without_gaps(parts, self.path, self.t_first_us)
        n = 0
        for part in passes.blocks(parts, self._chunk_events):
            n += len(part.t)
            x, y = (axis.astype(np.uint16, copy=False) for axis in (part.x, part.y))
            for column in (part.t, x, y, part.p):
                column.setflags(write=False)  # nobody else holds them: no copy is needed
            yield EventStream(part.t, x, y, part.p, self.sensor)
        if n == 0:
            raise UsageError(
                f"{self.path}: no event between --start and --stop; they count seconds from the "
                "first event"
            )

    def frames(self) -> Iterator[Frame]:
        """Intensity frames between start and stop; the first may precede the first event.

        Raises
        ------
        UsageError
            When the recording has none.
        """
        if self._source.frames is None:
            raise UsageError(f"{self.path}: {self.format} recording without frames")
        start = -math.inf if self._start_us is None else self._start_us
        stop = math.inf if self._stop_us is None else self._stop_us
        return (frame for frame in self._source.frames() if start <= frame.t_us < stop)


def open_recording(
    path: str | Path,
    *,
    sensor: Sensor | None = None,
    sort: bool = False,
    start_s: float | None = None,
    stop_s: float | None = None,
    chunk_events: int = 1_000_000,
    seed: int = 0,
) -> Recording:
    """Recognise a recording by its content and get ready to read it in bounded memory.

    Parameters
    ----------
    path
        AEDAT 2.0, AEDAT4, ES, DAT, EVT2, EVT3, ``.bs2``, CSV, npy or npz; or a video (MP4, AVI,
        Matroska, WebM), whose events are simulated: `neurovlm.events.io.video`.
    sensor
        ``(width, height)``; overrides what the file says. Where neither is known, the smallest
        common sensor that holds every event is taken, after a pass over the file.
    sort
        Accept events up to 10 ms late and put them in order.
    start_s, stop_s
        Keep events from ``start_s`` (inclusive) to ``stop_s`` (exclusive), in seconds after the
        first event of the file.
    chunk_events
        Events per chunk.
    seed
        Decides thresholds and noise of the camera that is simulated for a video.

    Raises
    ------
    InputFileError
        When the file is missing, unreadable, empty, cut, corrupt, of unknown format, or holds no
        event.
    UsageError
        When an argument makes no sense.
    """
    _check_arguments(sensor, start_s, stop_s, chunk_events)
    path = Path(path)
    source, notes = open_source(path, seed)
    notes += source.notes
    t_first_us = _first_time(_ordered(source.columns(), sort, path), path)
    sensor = sensor or source.sensor
    if sensor is None:
        sensor, note = smallest_sensor(source.columns())
        notes += (note,)
    return Recording(
        path=path,
        format=source.format,
        sensor=sensor,
        notes=notes,
        has_frames=source.frames is not None,
        t_first_us=t_first_us,
        _source=source,
        _sort=sort,
        _start_us=None if start_s is None else t_first_us + round(start_s * 1e6),
        _stop_us=None if stop_s is None else t_first_us + round(stop_s * 1e6),
        _chunk_events=chunk_events,
    )


def read(
    path: str | Path,
    *,
    sensor: Sensor | None = None,
    sort: bool = False,
    start_s: float | None = None,
    stop_s: float | None = None,
    chunk_events: int = 1_000_000,
    seed: int = 0,
) -> EventStream:
    """Read a whole recording into memory; arguments and errors as in ``open_recording``."""
    recording = open_recording(
        path,
        sensor=sensor,
        sort=sort,
        start_s=start_s,
        stop_s=stop_s,
        chunk_events=chunk_events,
        seed=seed,
    )
    return EventStream.join(list(recording.chunks()))


def _ordered(parts: Iterable[Columns], sort: bool, path: Path) -> Iterator[Columns]:
    return passes.sort_late(parts, path) if sort else passes.in_order(parts, path)


def _first_time(parts: Iterable[Columns], path: Path) -> int:
    for part in parts:
        if len(part.t):
            return int(part.t[0])
    raise InputFileError(f"{path}: holds no events; record it again")


def _check_arguments(
    sensor: Sensor | None, start_s: float | None, stop_s: float | None, chunk_events: int
) -> None:
    if sensor is not None and not all(1 <= side <= 65536 for side in sensor):
        raise UsageError(f"sensor must be 1 to 65536 pixels wide and high, got {sensor}")
    for name, value in (("start", start_s), ("stop", stop_s)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be a number of seconds, at least 0, got {value}")
    if start_s is not None and stop_s is not None and start_s >= stop_s:
        raise UsageError(f"start must be before stop, got {start_s} s and {stop_s} s")
    if chunk_events < 1:
        raise UsageError(f"chunk_events must be at least 1, got {chunk_events}")
