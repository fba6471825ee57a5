"""Spiking engines: the same spikes first, then their speed on the change detector.

    python -m benchmarks.bench_spiking [--quick | --full] [--json FILE]

Correctness: on every recording under NEUROVLM_DATA (its busiest 2,000 ticks; ``--full``: all of it)
and on procedural streams, fast and Lava fixed point must give the reference's spikes in every
population; so must snnTorch in float64 and float32, on fewer ticks. One differing spike ends the
benchmark before anything is timed.

Speed: engines take turns within one run, medians, one thread (Lava is one process per population
and connection, and uses all cores). Per tick means per millisecond of recording. Lava's start is
left out of its time per tick: that is the difference between a long and a short run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.common import in_turn, machine, show
from neurovlm.events.io import read
from neurovlm.events.scenes import TEST_SEEDS, render_clip, subject_from_seed
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.encoding import encode_events, grid_for
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

RATES_HZ = (50_000, 500_000, 5_000_000)
TARGET_REAL_TIME, TARGET_LAVA = 20, 100  # at 500 k events/s
SPINNING = "events_recordings/spinning_object_320x240/dvs.es"
PACKAGES = ("numpy", "numba", "torch", "snntorch", "lava-nc")


@dataclass(frozen=True)
class Plan:
    """How much is run: ticks compared per recording, ticks timed per engine, rounds."""

    compared: int | None
    compared_snntorch: int
    fast: int
    reference: int
    snntorch: int
    lava: tuple[int, int]
    rounds: int


QUICK = Plan(200, 50, 1000, 100, 40, (50, 250), 3)
USUAL = Plan(2000, 200, 2000, 200, 100, (100, 500), 3)
FULL = Plan(None, 1000, 2000, 200, 100, (100, 1100), 5)


# --- streams ---------------------------------------------------------------------------------


def scene_at(rate_hz: float, duration_s: float) -> EventStream:
    """A procedural gesture played faster and again and again until its rate is ``rate_hz``."""
    s = render_clip(3, subject_from_seed(TEST_SEEDS[0]), seed=0, with_frames=False).stream
    period_us = len(s) / rate_hz * 1e6
    t_us = (s.t - s.t[0]) * (period_us / s.duration_us)
    repeats = max(1, round(duration_s * 1e6 / period_us))
    t = np.concatenate([t_us + k * period_us for k in range(repeats)]).astype(np.int64)
    x, y, p = (np.tile(values, repeats) for values in (s.x, s.y, s.p))
    return EventStream(t, x, y, p, s.sensor)


def noise_at(rate_hz: float, duration_s: float) -> EventStream:
    """Events at random: no structure that a cache or a branch predictor could use."""
    rng = np.random.default_rng(0)
    n = round(rate_hz * duration_s)
    t = np.sort(rng.integers(0, round(duration_s * 1e6), n))
    x, y = rng.integers(0, 126, (2, n))
    return EventStream(t, x, y, rng.random(n) < 0.5, (126, 126))


def encode(graph: SpikingGraph, stream: EventStream, n_ticks: int | None = None) -> SpikeTrain:
    """Input of the ``n_ticks`` ticks with most events, or of the whole stream plus the depth."""
    dt_us = graph.dynamics.dt_us
    whole = -(-stream.duration_us // dt_us) + graph.network.depth
    n_ticks = whole if n_ticks is None else min(n_ticks, whole)
    n_events = np.searchsorted(stream.t, stream.t + n_ticks * dt_us) - np.arange(len(stream))
    return encode_from(graph, stream, int(stream.t[n_events.argmax()]), n_ticks)


def encode_from(graph: SpikingGraph, stream: EventStream, t0_us: int, n_ticks: int) -> SpikeTrain:
    """Input of ``n_ticks`` ticks from ``t0_us``."""
    grid = grid_for(graph.network.input_shape, stream.sensor)
    dt_us = graph.dynamics.dt_us
    return encode_events(stream, grid, channels=2, t0_us=t0_us, n_ticks=n_ticks, dt_us=dt_us)


def recordings(folder: Path | None) -> Iterator[tuple[str, EventStream]]:
    """Yield real recordings where there are some, and procedural streams everywhere."""
    if folder is not None:
        gestures = (folder / "events_gesture").glob("*/*.bs2")
        real = [p for p in (folder / "events_recordings").rglob("*") if p.is_file()]
        for path in (*sorted(real), *sorted(gestures)):
            yield f"{path.parent.name}/{path.name}", read(path)
    yield "procedural gesture", scene_at(50_000, 1.5)
    yield "random, 5 M events/s", noise_at(5_000_000, 0.1)


# --- the same spikes -------------------------------------------------------------------------


def compare(folder: Path | None, plan: Plan, console: Console) -> list[dict[str, Any]]:
    """Differing spikes per recording, engine and population."""
    rows = []
    for name, stream in recordings(folder):
        console.log(name)
        rows += _differing(name, stream, "loihi", ("fast", "lava"), plan.compared)
        for precision in ("float64", "float32"):
            rows += _differing(name, stream, precision, ("snntorch",), plan.compared_snntorch)
    return rows


def _differing(
    name: str, stream: EventStream, precision: str, engines: tuple[str, ...], n_ticks: int | None
) -> list[dict[str, Any]]:
    graph = change_detector(precision=precision)
    spikes = encode(graph, stream, n_ticks)
    expected = get_backend("reference").run(graph, spikes).spikes
    rows = []
    for engine in engines:
        got = get_backend(engine).run(graph, spikes).spikes
        rows.append(
            {
                "recording": name,
                "engine": engine,
                "precision": precision,
                "ticks": spikes.n_ticks,
                "input": len(spikes),
                "spikes": sum(map(len, expected.values())),
                **{f"{p} differing": got[p].differing(expected[p]) for p in expected},
            }
        )
    return rows


def n_differing(rows: list[dict[str, Any]]) -> int:
    """Sum over recordings, engines and populations."""
    return sum(v for row in rows for key, v in row.items() if key.endswith(" differing"))


# --- speed -----------------------------------------------------------------------------------


def speed(folder: Path | None, plan: Plan, console: Console) -> list[dict[str, Any]]:
    """Time per tick of every engine on every stream."""
    duration_s = plan.fast * 1e-3
    streams = {f"scene, {rate / 1e3:,.0f} k/s": scene_at(rate, duration_s) for rate in RATES_HZ}
    streams["random, 500 k/s"] = noise_at(500_000, duration_s)
    if folder is not None:
        streams["spinning object"] = read(folder / SPINNING)
    rows = []
    for name, stream in streams.items():
        console.log(name)
        rows.append({"stream": name, **_timed(stream, plan)})
    return rows


def _timed(stream: EventStream, plan: Plan) -> dict[str, Any]:
    loihi, float32 = change_detector(), change_detector(precision="float32")
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + plan.fast * loihi.dynamics.dt_us)
    encoding = partial(encode_from, loihi, events, t0_us, plan.fast)
    spikes = encoding()
    runs = {  # graph, engine, ticks, times in a turn
        "fast": (loihi, "fast", spikes.n_ticks, 5),
        "reference": (loihi, "reference", plan.reference, 1),
        "snntorch": (float32, "snntorch", plan.snntorch, 1),
        "short": (loihi, "lava", plan.lava[0], 1),
        "long": (loihi, "lava", plan.lava[1], 1),
    }
    work: dict[str, Callable[[], Any]] = {"encode": encoding}
    for label, (graph, engine, n_ticks, times) in runs.items():
        work[label] = partial(_run, engine, graph, _repeated(spikes, n_ticks), times)
    work["fast"]()  # compile
    seconds = in_turn(work, plan.rounds)
    per_tick = {label: seconds[label] / (n * times) for label, (_, _, n, times) in runs.items()}
    per_tick["encode"] = seconds["encode"] / spikes.n_ticks
    per_tick["lava"] = (seconds["long"] - seconds["short"]) / (plan.lava[1] - plan.lava[0])
    tick_s = loihi.dynamics.dt_s
    trace = get_backend("fast").run(loihi, spikes)
    return {
        "events/s": len(events) / (events.duration_us * 1e-6),
        "input/tick": len(spikes) / spikes.n_ticks,
        "F/tick": len(trace.spikes["F"]) / spikes.n_ticks,
        "encode us/tick": per_tick["encode"] * 1e6,
        "fast us/tick": per_tick["fast"] * 1e6,
        "x real time": tick_s / per_tick["fast"],
        "reference us": per_tick["reference"] * 1e6,
        "snntorch us": per_tick["snntorch"] * 1e6,
        "lava us": per_tick["lava"] * 1e6,
        "x reference": per_tick["reference"] / per_tick["fast"],
        "x snntorch": per_tick["snntorch"] / per_tick["fast"],
        "x lava": per_tick["lava"] / per_tick["fast"],
        "lava start s": seconds["short"] - plan.lava[0] * per_tick["lava"],
    }


def _run(engine: str, graph: SpikingGraph, spikes: SpikeTrain, times: int) -> None:
    for _ in range(times):
        get_backend(engine).run(graph, spikes)


def _repeated(spikes: SpikeTrain, n_ticks: int) -> SpikeTrain:
    """Exactly ``n_ticks`` ticks of ``spikes``, again from its start where it is shorter."""
    parts, left = [], n_ticks
    while left > 0:
        parts.append(spikes.between(0, min(left, spikes.n_ticks)))
        left -= parts[-1].n_ticks
    return SpikeTrain.join(parts)


def targets(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must be reached at 500 k events/s, and what is."""
    (row,) = (row for row in rows if row["stream"] == "scene, 500 k/s")
    wanted = {"x real time": TARGET_REAL_TIME, "x lava": TARGET_LAVA}
    return [
        {"target": key, "wanted": limit, "reached": row[key], "met": str(row[key] >= limit)}
        for key, limit in wanted.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="about two minutes, rough figures")
    amount.add_argument("--full", action="store_true", help="compare whole files, five rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL if options.full else USUAL
    console = Console(width=190)
    data = os.environ.get("NEUROVLM_DATA")
    folder = Path(data) if data else None
    if folder is None:
        console.print("NEUROVLM_DATA is not set: procedural streams only")
    figures: dict[str, Any] = {"machine": machine(PACKAGES)}
    figures["agreement"] = compare(folder, plan, console)
    show("Differing spikes against the reference", figures["agreement"], console)
    bad = n_differing(figures["agreement"])
    console.print(f"{bad} differing spikes")
    if bad:
        sys.exit("engines disagree: nothing is timed")
    figures["speed"] = speed(folder, plan, console)
    show(
        "Microseconds per tick of 1 ms, and how many times faster fast is",
        figures["speed"],
        console,
    )
    figures["targets"] = targets(figures["speed"])
    show("At 500 k events/s", figures["targets"], console)
    show("Machine", [figures["machine"]], console)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
