"""Any graph over any recording, in windows, with memory that does not grow with the events read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import BackendError, UsageError
from neurovlm.core.grid import Fit
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window, iter_windows
from neurovlm.spiking.backends import fast_events
from neurovlm.spiking.backends.base import Backend, get_backend, initial_state
from neurovlm.spiking.encoding import encode, grid_for
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain

WINDOW_TICKS = 25
_NO_EVENTS = "the stream holds no events; give a recording with events"
RUN_WINDOWS = 8  # windows of one run in `simulate`: enough to make its set-up cheap


def run_events(
    graph: SpikingGraph,
    events: EventStream,
    *,
    fit: Fit = "crop",
    state: NetworkState | None = None,
    t0_us: int | None = None,
    n_ticks: int | None = None,
) -> Trace:
    """Run events on the fast backend.

    Graphs whose graded input drives one neuron each, as patch-lif, take counts of events straight
    into their neurons; the trace then holds the counts of the input, not its spikes. For others the
    events are encoded first. The result is the same.

    Parameters
    ----------
    state
        Where an earlier run stopped; silence by default.
    t0_us
        Start of the first tick; the first event by default.
    n_ticks
        By default as many as hold every event, plus the graph's depth.

    Raises
    ------
    UsageError
        For a stream without events where ``t0_us`` or ``n_ticks`` is not given, and where more
        events meet than a graded input can count.
    """
    if not len(events) and (t0_us is None or n_ticks is None):
        raise UsageError(_NO_EVENTS)
    if t0_us is None:
        t0_us = int(events.t[0])
    if n_ticks is None:
        n_ticks = max((int(events.t[-1]) - t0_us) // graph.dynamics.dt_us + 1, 0)
        n_ticks += graph.network.depth
    return _run(graph, get_backend("fast"), events, t0_us, n_ticks, fit, state, False)


def run_counts(
    graph: SpikingGraph, counts: NDArray[np.int32], *, state: NetworkState | None = None
) -> Trace:
    """Run counts as graded input on the fast backend: ``(n_ticks, *input shape)``, 0 for no spike.

    Graphs as patch-lif take them straight into their neurons, see `run_events`.

    Raises
    ------
    UsageError
        For counts of another shape, below 0, or above what the graph's graded input can carry.
    """
    network = graph.network
    if not network.input_bits or counts.shape[1:] != network.input_shape or counts.ndim < 2:
        raise UsageError(
            f"run_counts: graph {graph.name!r} takes graded input of shape {network.input_shape} "
            f"with {network.input_bits} bits, got counts of shape {counts.shape}"
        )
    rows = np.ascontiguousarray(counts, np.int32).reshape(len(counts), network.n_inputs)
    if fast_events.serves(graph):
        return fast_events.run_counts(graph, rows, state)
    dt_s = graph.dynamics.dt_s
    spikes = SpikeTrain.from_dense(rows, dt_s=dt_s, shape=network.input_shape, graded=True)
    return get_backend("fast").run(graph, spikes, state).without_input()


def window_traces(
    graph: SpikingGraph,
    backend: Backend,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    run_windows: int = 1,
    keep_input: bool = True,
    fit: Fit = "crop",
) -> Iterator[tuple[int | None, Trace]]:
    """Run window by window, each from the state the one before it left.

    The first window starts at the first event, the last is padded to full length. Then the graph
    runs on for its depth in ticks so that the last events reach the output.

    Parameters
    ----------
    run_windows
        Windows that are run at once.
    keep_input
        False where counts of the input are enough: some graphs then run faster, see `run_events`.

    Yields
    ------
    End of the last window of a run in microseconds (None for the trailing ticks) and the run's
    trace.

    Raises
    ------
    UsageError
        When there are no events.
    BackendError
        When the backend cannot resume.
    """
    state = initial_state(graph)
    window_us = window_ticks * graph.dynamics.dt_us
    for window, n_windows in _whole_windows(chunks, window_us, run_windows):
        n_ticks, end_us = n_windows * window_ticks, window.t0_us + n_windows * window_us
        trace = _run(graph, backend, window.events, window.t0_us, n_ticks, fit, state, keep_input)
        state = end_state(backend, trace)
        yield end_us, trace
    silence, n_ticks = EventStream.empty(window.events.sensor), graph.network.depth
    yield None, _run(graph, backend, silence, end_us, n_ticks, fit, state, keep_input)


def _run(
    graph: SpikingGraph,
    backend: Backend,
    events: EventStream,
    t0_us: int,
    n_ticks: int,
    fit: Fit,
    state: NetworkState | None,
    keep_input: bool,
) -> Trace:
    if not keep_input and backend.name == "fast" and fast_events.serves(graph):
        grid = grid_for(graph.network.input_shape, events.sensor, fit)
        return fast_events.run_events(
            graph, events, grid, state=state, t0_us=t0_us, n_ticks=n_ticks
        )
    spikes = encode(graph, events, t0_us=t0_us, n_ticks=n_ticks, fit=fit)
    return backend.run(graph, spikes, state)


def end_state(backend: Backend, trace: Trace) -> NetworkState:
    """State after a run that is to be continued.

    Raises
    ------
    BackendError
        When the backend gives none back.
    """
    if trace.state is None:
        raise BackendError(
            f"backend {backend.name!r}: it gives no state back, so a run cannot go on window by "
            "window; run the whole recording at once"
        )
    return trace.state


def run_traces(
    graph: SpikingGraph,
    backend: Backend,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
    progress: Callable[[int], None] | None = None,
) -> Iterator[Trace]:
    """Traces of runs that follow each other, without their states, which would outgrow the spikes.

    Of the input they may hold counts only, see `run_events`. ``progress`` is told the number of
    windows done. Backends that cannot resume get all input at once.
    """
    if not backend.capabilities.resumes:
        yield backend.run(graph, encode_whole(graph, chunks, window_ticks=window_ticks, fit=fit))
        return
    done = 0
    for end_us, trace in window_traces(
        graph,
        backend,
        chunks,
        window_ticks=window_ticks,
        run_windows=RUN_WINDOWS,
        keep_input=False,
        fit=fit,
    ):
        yield replace(trace, state=None)
        if progress is not None and end_us is not None:
            done += trace.n_ticks // window_ticks
            progress(done)


def simulate(
    graph: SpikingGraph,
    backend: Backend,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Run a whole recording into one trace; arguments as in `run_traces`."""
    runs = run_traces(graph, backend, chunks, window_ticks=window_ticks, fit=fit, progress=progress)
    return Trace.join(list(runs))


def encode_whole(
    graph: SpikingGraph,
    chunks: Iterable[EventStream],
    *,
    window_ticks: int = WINDOW_TICKS,
    fit: Fit = "crop",
) -> SpikeTrain:
    """Input spikes of a whole recording, padded to whole windows plus the graph's depth."""
    window_us = window_ticks * graph.dynamics.dt_us
    trains = [
        encode_window(graph, window, n_windows * window_ticks, fit)
        for window, n_windows in _whole_windows(chunks, window_us, RUN_WINDOWS)
    ]
    whole = SpikeTrain.join(trains)
    return replace(whole, n_ticks=whole.n_ticks + graph.network.depth)


def encode_window(
    graph: SpikingGraph, window: Window, n_ticks: int, fit: Fit = "crop"
) -> SpikeTrain:
    """Input spikes of one window of ``n_ticks`` ticks."""
    return encode(graph, window.events, t0_us=window.t0_us, n_ticks=n_ticks, fit=fit)


def _whole_windows(
    chunks: Iterable[EventStream], window_us: int, n_windows: int
) -> Iterator[tuple[Window, int]]:
    """``n_windows`` windows as one, and how many they are: the last one ends sooner."""
    latest: Window | None = None
    for following in iter_windows(chunks, n_windows * window_us):
        if latest is not None:
            yield latest, n_windows
        latest = following
    if latest is None:
        raise UsageError(_NO_EVENTS)
    yield latest, (int(latest.events.t[-1]) - latest.t0_us) // window_us + 1
