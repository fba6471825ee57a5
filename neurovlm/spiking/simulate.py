"""Any graph over any recording, in windows, with memory that does not grow with the events read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import Fit
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window, iter_windows
from neurovlm.spiking.backends.base import Backend, initial_state
from neurovlm.spiking.encoding import encode_events, grid_for
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain

WINDOW_TICKS = 25


def window_traces(
    graph: SpikingGraph,
    backend: Backend,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
) -> Iterator[tuple[int | None, Trace]]:
    """Run window by window, each from the state the one before it left.

    The first window starts at the first event, the last is padded to full length. Then the graph
    runs on for its depth in ticks so that the last events reach the output.

    Yields
    ------
    End of the window in microseconds (None for the trailing ticks) and the window's trace.
    """
    state = initial_state(graph)
    train: SpikeTrain | None = None
    for window in iter_windows(chunks, window_ticks * graph.dynamics.dt_us):
        train = encode_window(graph, window, window_ticks, fit)
        trace = backend.run(graph, train, state)
        assert trace.state is not None, "window_traces needs a backend that resumes"
        state = trace.state
        yield window.t1_us, trace
    if train is None:
        raise UsageError("the stream holds no events; give a recording with events")
    depth = graph.network.depth
    silence = replace(train, tick=train.tick[:0], neuron=train.neuron[:0], n_ticks=depth)
    yield None, backend.run(graph, silence, state)


def simulate(
    graph: SpikingGraph,
    backend: Backend,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Run a whole recording; ``progress`` is told the number of windows done.

    Backends that cannot resume get all input at once.
    """
    if backend.capabilities.resumes:
        parts = []
        runs = window_traces(graph, backend, chunks, window_ticks=window_ticks, fit=fit)
        for done, (end_us, trace) in enumerate(runs, start=1):
            parts.append(replace(trace, state=None))  # states would outgrow the spikes
            if progress is not None and end_us is not None:
                progress(done)
        return Trace.join(parts)
    return backend.run(graph, encode_whole(graph, chunks, window_ticks=window_ticks, fit=fit))


def encode_whole(
    graph: SpikingGraph,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
) -> SpikeTrain:
    """Input spikes of a whole recording, padded to whole windows plus the graph's depth."""
    trains = [
        encode_window(graph, window, window_ticks, fit)
        for window in iter_windows(chunks, window_ticks * graph.dynamics.dt_us)
    ]
    if not trains:
        raise UsageError("the stream holds no events; give a recording with events")
    whole = SpikeTrain.join(trains)
    return replace(whole, n_ticks=whole.n_ticks + graph.network.depth)


def encode_window(
    graph: SpikingGraph, window: Window, n_ticks: int, fit: Fit = "crop"
) -> SpikeTrain:
    """Input spikes of one window of ``n_ticks`` ticks."""
    shape = graph.network.input_shape
    return encode_events(
        window.events,
        grid_for(shape, window.events.sensor, fit),
        channels=shape[0],
        t0_us=window.t0_us,
        n_ticks=n_ticks,
        dt_us=graph.dynamics.dt_us,
    )
