"""Events per second on one core: both graphs from events, and binning beside Tonic."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import spiking_ours as ours
from benchmarks.common import ratio, seconds_of, take_turns
from benchmarks.peers.tonic_binning import FORM, TonicBinning
from benchmarks.spiking_streams import GRAPHS
from neurovlm.core.grid import PatchGrid
from neurovlm.events.stream import EventStream
from neurovlm.frontend.named import graph_by_name


def sustained_rows(name: str, stream: EventStream, rounds: int) -> list[dict[str, Any]]:
    """Both graphs over a whole stream."""
    runs = {graph: ours.events_run(graph_by_name(graph), stream) for graph in GRAPHS}
    work = {graph: partial(seconds_of, run) for graph, run in runs.items()}
    for call in work.values():
        call()  # compile
    times = take_turns(work, rounds)
    return [
        {
            "graph": graph,
            "stream": name,
            "events": len(stream),
            "M events/s": len(stream) / statistics.median(each) / 1e6,
            "x real time": stream.duration_us * 1e-6 / statistics.median(each),
        }
        for graph, each in times.items()
    ]


def binning_rows(name: str, stream: EventStream, dt_us: int, rounds: int) -> list[dict[str, Any]]:
    """Events to counts per patch and tick, Tonic's frames and ours.

    Raises
    ------
    AssertionError
        When the two do not count alike.
    """
    grid = PatchGrid()
    events = on_grid(stream, grid)
    run = ours.binning_run(events, dt_us)
    row: dict[str, Any] = {"stream": name, "events": len(events)}
    try:
        tonic = TonicBinning(events, grid, dt_us)
    except ImportError as error:
        empty = {"tonic M events/s": None, "ours M events/s": None, "ratio": None}
        return [row | empty | {"note": f"not installed: {error}"}]
    mine, theirs = run().reshape(-1, grid.n_patches), tonic.counts()
    assert (mine[: len(theirs)] == theirs).all(), f"{name}: patch counts differ from Tonic's"
    assert not mine[len(theirs) :].any(), f"{name}: counts behind Tonic's last frame"
    work: dict[str, Callable[[], float]] = {
        "ours": partial(seconds_of, run, ours.REPEATS),
        "tonic": tonic.seconds,
    }
    times = take_turns(work, rounds)
    speed = {who: len(events) / statistics.median(each) / 1e6 for who, each in times.items()}
    return [
        row
        | {
            "tonic M events/s": speed["tonic"],
            "ours M events/s": speed["ours"],
            "ratio": ratio(times["tonic"], times["ours"]),
            "note": FORM,
        }
    ]


def on_grid(stream: EventStream, grid: PatchGrid) -> EventStream:
    """The centred events of a slightly larger sensor, in grid coordinates."""
    width, height = stream.sensor
    left, top = (width - grid.pixels) // 2, (height - grid.pixels) // 2
    inside = (stream.x >= left) & (stream.x < left + grid.pixels)
    inside &= (stream.y >= top) & (stream.y < top + grid.pixels)
    x, y = stream.x[inside] - left, stream.y[inside] - top
    return EventStream(stream.t[inside], x, y, stream.p[inside], (grid.pixels, grid.pixels))
