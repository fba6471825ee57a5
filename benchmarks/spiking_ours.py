"""The one place where the benchmark calls what it measures, through public functions only."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from numpy.typing import NDArray

from benchmarks.common import seconds_of
from benchmarks.peers.task import Task
from neurovlm.events.binning import count_patches
from neurovlm.events.stream import EventStream
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.simulate import run_counts, run_events
from neurovlm.spiking.trace import Trace

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "processor": time.process_time,
}
REPEATS = 25  # calls per turn: one takes a few milliseconds, a peer's run about a second


def counts_run(task: Task) -> Callable[[], Trace]:
    """Patch counts to spikes."""
    graph = patch_lif()
    return partial(run_counts, graph, task.counts.reshape(-1, *graph.network.input_shape))


def events_run(
    graph: SpikingGraph, events: EventStream, n_ticks: int | None = None
) -> Callable[[], Trace]:
    """Events to spikes of every population; by default until the last events reach the output."""
    return partial(run_events, graph, events, n_ticks=n_ticks)


def binning_run(events: EventStream, dt_us: int) -> Callable[[], NDArray[Any]]:
    """Events to counts per patch and tick."""
    return partial(count_patches, events, dt_us)


def per_tick(run: Callable[[], Any], n_ticks: int, clock: str, times: int = REPEATS) -> float:
    """Mean seconds per tick of ``times`` runs."""
    return seconds_of(run, times, CLOCKS[clock]) / n_ticks
