"""Both graphs on every engine of the project: time per tick from input spikes and from events.

Engines built on other people's simulators prepare weights or start processes in every run. That is
left out of their time per tick: it is the difference between a long and a short run, of medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import spiking_ours as ours
from benchmarks.common import seconds_of, take_turns
from benchmarks.spiking_agreement import precisions
from neurovlm.core.errors import GraphError, MissingComponentError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.named import graph_by_name
from neurovlm.spiking.backends.base import BACKENDS, get_backend
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.encoding import encode
from neurovlm.spiking.train import SpikeTrain


@dataclass(frozen=True)
class Amount:
    """How much is timed.

    Attributes
    ----------
    fast, reference
        Ticks of our own engines.
    others
        Ticks of a short and of a long run, by engine.
    rounds
        Turns.
    """

    fast: int
    reference: int
    others: Mapping[str, tuple[int, int]]
    rounds: int


def engine_rows(
    name: str, graph_name: str, stream: EventStream, amount: Amount
) -> list[dict[str, Any]]:
    """One row per engine: time per tick, and how many times faster ``fast`` is by that clock."""
    graph = graph_by_name(graph_name)
    dt_s, dt_us = graph.dynamics.dt_s, graph.dynamics.dt_us
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + amount.fast * dt_us)
    spikes = encode(graph, events, t0_us=t0_us, n_ticks=amount.fast)
    work = _our_work(graph_name, events, spikes, amount)
    missing: dict[str, str] = {}
    for engine, lengths in amount.others.items():
        if engine not in BACKENDS:
            missing[engine] = "no such backend"
            continue
        runs = {n: _run(engine, graph_name, repeated(spikes, n)) for n in lengths}
        if (reason := _why_not(runs[lengths[0]])) is not None:
            missing[engine] = reason
            continue
        clock = ours.CLOCKS[_clock(engine)]
        work |= {(engine, n): partial(seconds_of, run, 1, clock) for n, run in runs.items()}
    medians = {key: statistics.median(v) for key, v in take_turns(work, amount.rounds).items()}
    head = {
        "graph": graph_name,
        "stream": name,
        "events/s": len(events) / (amount.fast * dt_s),
        "input/tick": len(spikes) / spikes.n_ticks,
    }
    rows = []
    for engine in ("fast", "fast, from events", "reference", *amount.others):
        clock_name = _clock(engine)
        seconds = None
        if engine in amount.others and engine not in missing:
            short, long = amount.others[engine]
            extra_s = medians[engine, long] - medians[engine, short]
            seconds = extra_s / (long - short) if extra_s > 0 else None
            if seconds is None:
                missing[engine] = "its start takes longer than its ticks; time more of them"
        elif engine not in amount.others:
            seconds = medians[engine, clock_name]
        rows.append(
            head
            | {
                "engine": engine,
                "precision": "" if engine in missing else str(_precision(engine)),
                "clock": clock_name,
                "us/tick": seconds and seconds * 1e6,
                "x real time": seconds and dt_s / seconds,
                "fast us/tick": medians["fast", clock_name] * 1e6,
                "fast is": seconds and seconds / medians["fast", clock_name],
                "note": missing.get(engine, ""),
            }
        )
    return rows


def _our_work(
    graph_name: str, events: EventStream, spikes: SpikeTrain, amount: Amount
) -> dict[Any, Callable[[], float]]:
    """Our own engines, each run once so that it is compiled."""
    fast = _run("fast", graph_name, spikes)
    from_events = ours.events_run(graph_by_name(graph_name), events)
    reference = _run("reference", graph_name, repeated(spikes, amount.reference))
    work: dict[Any, Callable[[], float]] = {
        ("fast", clock): partial(ours.per_tick, fast, amount.fast, clock) for clock in ours.CLOCKS
    }
    work["fast, from events", "wall"] = partial(ours.per_tick, from_events, amount.fast, "wall")
    work["reference", "wall"] = partial(ours.per_tick, reference, amount.reference, "wall", times=1)
    for call in work.values():
        call()
    return work


def _clock(engine: str) -> str:
    """Processor time does not grow when the machine is shared, but Lava runs on all cores."""
    return "processor" if engine in ("snntorch", "norse", "brian2") else "wall"


def _precision(engine: str) -> Precision:
    return precisions(engine.partition(",")[0])[0]


def _run(engine: str, graph_name: str, spikes: SpikeTrain) -> Callable[[], Any]:
    graph = graph_by_name(graph_name, _precision(engine))
    return lambda: get_backend(engine).run(graph, spikes)


def _why_not(run: Callable[[], Any]) -> str | None:
    """Run once; the reason if it does not."""
    try:
        run()
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
