"""Streams the spiking benchmark runs on, and their input spikes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurovlm.events.io import read
from neurovlm.events.scenes import TEST_SEEDS, render_clip, subject_from_seed
from neurovlm.events.stream import EventStream
from neurovlm.spiking.encoding import encode
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

SENSOR = (128, 128)
GRAPHS = ("change-detector", "patch-lif")  # in every table


def scene_at(rate_hz: float, duration_s: float) -> EventStream:
    """A procedural gesture played faster and again and again until its rate is ``rate_hz``."""
    s = render_clip(3, subject_from_seed(TEST_SEEDS[0]), seed=0, with_frames=False).stream
    period_us = len(s) / rate_hz * 1e6
    t_us = (s.t - s.t[0]) * (period_us / s.duration_us)
    repeats = max(1, round(duration_s * 1e6 / period_us))
    t = np.concatenate([t_us + k * period_us for k in range(repeats)]).astype(np.int64)
    x, y, p = np.tile(s.x, repeats), np.tile(s.y, repeats), np.tile(s.p, repeats)
    return EventStream(t, x, y, p, s.sensor)


def noise_at(rate_hz: float, duration_s: float) -> EventStream:
    """Events at random: no structure that a cache or a branch predictor could use."""
    rng = np.random.default_rng(0)
    n = round(rate_hz * duration_s)
    t = np.sort(rng.integers(0, round(duration_s * 1e6), n))
    x, y = rng.integers(0, 128, (2, n))
    return EventStream(t, x, y, rng.random(n) < 0.5, SENSOR)


def recordings(folder: Path | None) -> Iterator[tuple[str, EventStream]]:
    """Yield real recordings where there are some, and procedural streams everywhere."""
    if folder is not None:
        gestures = (folder / "events_gesture").glob("*/*.bs2")
        real = [p for p in (folder / "events_recordings").rglob("*") if p.is_file()]
        for path in (*sorted(real), *sorted(gestures)):
            yield f"{path.parent.name}/{path.name}", read(path)
    yield "procedural gesture", scene_at(50_000, 1.5)
    yield "random, 5 M events/s", noise_at(5_000_000, 0.1)


def busiest(graph: SpikingGraph, stream: EventStream, n_ticks: int | None = None) -> SpikeTrain:
    """Input of the ``n_ticks`` ticks with most events, or of the whole stream plus the depth."""
    dt_us = graph.dynamics.dt_us
    whole = -(-stream.duration_us // dt_us) + graph.network.depth
    n_ticks = whole if n_ticks is None else min(n_ticks, whole)
    n_events = np.searchsorted(stream.t, stream.t + n_ticks * dt_us) - np.arange(len(stream))
    return encode(graph, stream, t0_us=int(stream.t[n_events.argmax()]), n_ticks=n_ticks)
