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
    """One row per engine: time per tick, and how many times faster ``fast`` is."""
    graph = graph_by_name(graph_name)
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + amount.fast * graph.dynamics.dt_us)
    spikes = encode(graph, events, t0_us=t0_us, n_ticks=amount.fast)
    first = repeated(spikes, amount.reference)
    work: dict[Any, Callable[[], float]] = {
        "fast": partial(ours.per_tick, _run("fast", graph_name, spikes), amount.fast, "wall"),
        "fast, from events": partial(
            ours.per_tick, ours.events_run(graph, events), amount.fast, "wall"
        ),
        "reference": partial(
            ours.per_tick, _run("reference", graph_name, first), first.n_ticks, "wall", 1
        ),
    }
    for call in work.values():
        call()  # compile
    missing: dict[str, str] = {}
    for engine, lengths in amount.others.items():
        if engine not in BACKENDS:
            missing[engine] = "no such backend"
            continue
        runs = [_run(engine, graph_name, repeated(spikes, n)) for n in lengths]
        if (reason := _why_not(runs[0])) is not None:
            missing[engine] = reason
        else:
            work |= {
                (engine, n): partial(seconds_of, run) for n, run in zip(lengths, runs, strict=True)
            }
    medians: dict[Any, float] = {
        key: statistics.median(each) for key, each in take_turns(work, amount.rounds).items()
    }
    per_tick = {key: value for key, value in medians.items() if isinstance(key, str)}
    for engine, (short, long) in amount.others.items():
        if engine not in missing:
            extra_s = medians[engine, long] - medians[engine, short]
            if extra_s > 0:
                per_tick[engine] = extra_s / (long - short)
            else:
                missing[engine] = "its start takes longer than the ticks; time more of them"
    head = {
        "graph": graph_name,
        "stream": name,
        "events/s": len(events) / (amount.fast * graph.dynamics.dt_s),
        "input/tick": len(spikes) / spikes.n_ticks,
    }
    timed = [
        head
        | {
            "engine": engine,
            "precision": str(precisions(engine.partition(",")[0])[0]),
            "us/tick": seconds * 1e6,
            "x real time": graph.dynamics.dt_s / seconds,
            "fast is": seconds / per_tick["fast"],
            "note": "",
        }
        for engine, seconds in per_tick.items()
    ]
    empty = dict.fromkeys(("us/tick", "x real time", "fast is"))
    return timed + [
        head | {"engine": engine, "precision": "", **empty, "note": reason}
        for engine, reason in missing.items()
    ]


def _run(engine: str, graph_name: str, spikes: SpikeTrain) -> Callable[[], Any]:
    graph = graph_by_name(graph_name, precisions(engine)[0])
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
