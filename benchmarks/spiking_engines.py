"""Both graphs on every engine of the project: time per tick from input spikes and from events."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import spiking_ours as ours
from benchmarks.common import ratio, seconds_of, take_turns
from benchmarks.spiking_streams import encode_from
from neurovlm.core.errors import GraphError, MissingComponentError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.named import graph_by_name
from neurovlm.spiking.backends.base import BACKENDS, get_backend
from neurovlm.spiking.train import SpikeTrain

PRECISIONS = {"snntorch": "float32", "norse": "float32", "brian2": "float64"}  # else loihi


@dataclass(frozen=True)
class Amount:
    """Ticks per engine and turn; Lava's are of a short and a long run."""

    fast: int
    reference: int
    torch: int
    brian2: int
    lava: tuple[int, int]
    rounds: int


def engine_rows(
    name: str, graph_name: str, stream: EventStream, amount: Amount
) -> list[dict[str, Any]]:
    """One row per engine: time per tick, and how many times faster ``fast`` is.

    Lava's start is left out of its time per tick: that is the difference between a long and a
    short run.
    """
    loihi = graph_by_name(graph_name)
    dt_s, dt_us = loihi.dynamics.dt_s, loihi.dynamics.dt_us
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + amount.fast * dt_us)
    spikes = encode_from(loihi, events, t0_us, amount.fast)
    work: dict[str, Callable[[], float]] = {
        "fast": partial(ours.per_tick, _run("fast", graph_name, spikes), amount.fast, "wall"),
        "fast, from events": partial(
            ours.per_tick, ours.events_run(loihi, events), amount.fast, "wall"
        ),
    }
    ticks = {
        "reference": amount.reference,
        "snntorch": amount.torch,
        "norse": amount.torch,
        "brian2": amount.brian2,
    }
    missing: dict[str, str] = {}
    for engine, n_ticks in ticks.items():
        if engine not in BACKENDS:
            missing[engine] = "no such backend"
            continue
        run = _run(engine, graph_name, repeated(spikes, n_ticks))
        work[engine] = partial(_seconds, run, n_ticks)
    short, long = amount.lava
    lava = [_run("lava", graph_name, repeated(spikes, n)) for n in amount.lava]
    work["lava"] = lambda: (seconds_of(lava[1]) - seconds_of(lava[0])) / (long - short)
    for engine in list(work):
        if (reason := _warm_up(work[engine])) is not None:
            missing[engine] = reason
            del work[engine]
    times = take_turns(work, amount.rounds)
    head = {"graph": graph_name, "stream": name}
    about = {
        "events/s": len(events) / (amount.fast * dt_s),
        "input/tick": len(spikes) / spikes.n_ticks,
    }
    rows = [
        {
            **head,
            "engine": engine,
            "precision": PRECISIONS.get(engine, "loihi"),
            **about,
            "us/tick": statistics.median(each) * 1e6,
            "x real time": dt_s / statistics.median(each),
            "fast is": ratio(each, times["fast"]),
            "note": "",
        }
        for engine, each in times.items()
    ]
    for engine, reason in missing.items():
        empty = dict.fromkeys(("us/tick", "x real time", "fast is"))
        rows.append({**head, "engine": engine, "precision": "", **about, **empty, "note": reason})
    return rows


def _run(engine: str, graph_name: str, spikes: SpikeTrain) -> Callable[[], Any]:
    graph = graph_by_name(graph_name, PRECISIONS.get(engine))
    return lambda: get_backend(engine).run(graph, spikes)


def _seconds(run: Callable[[], Any], n_ticks: int) -> float:
    return seconds_of(run) / n_ticks


def _warm_up(call: Callable[[], float]) -> str | None:
    """Compile; why it does not run, if it does not."""
    try:
        call()
    except (GraphError, MissingComponentError) as error:
        return str(error)
    return None


def repeated(spikes: SpikeTrain, n_ticks: int) -> SpikeTrain:
    """Exactly ``n_ticks`` ticks of ``spikes``, again from its start where it is shorter."""
    parts, left = [], n_ticks
    while left > 0:
        parts.append(spikes.between(0, min(left, spikes.n_ticks)))
        left -= parts[-1].n_ticks
    return SpikeTrain.join(parts)
