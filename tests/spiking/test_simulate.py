"""A recording through a graph in windows equals the same at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from neurovlm.core.errors import BackendError, UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends.base import EVERY_FEATURE, Capabilities, get_backend
from neurovlm.spiking.contract import assert_same_spikes
from neurovlm.spiking.simulate import RUN_WINDOWS, encode_whole, simulate, window_traces

GRAPH = change_detector(grid=PatchGrid(side=3, patch=4))
COUNTING = patch_lif(side=3, threshold=8)
START_US = 5_000_123


@pytest.fixture(scope="module")
def stream():
    """120 ms of events with a silence of three windows in the middle."""
    rng = np.random.default_rng(0)
    n = 4000
    t = np.sort(rng.integers(0, 60_000, n))
    t = START_US + np.where(t < 30_000, t, t + 60_000)
    t[0] = START_US
    return EventStream(
        t, rng.integers(0, 20, n), rng.integers(0, 16, n), rng.random(n) < 0.5, (20, 16)
    )


class AtOnce:
    """The fast engine, but without states."""

    name = "at-once"
    capabilities = Capabilities(
        get_backend("fast").capabilities.precisions, EVERY_FEATURE, resumes=False
    )

    def run(self, graph, spikes, state=None):
        assert state is None
        return get_backend("fast").run(graph, spikes)


def chunks(stream, n):
    cuts = np.linspace(0, len(stream), n + 1).astype(int)
    return [stream[a:b] for a, b in pairwise(cuts)]


@pytest.mark.parametrize("window_ticks", [1, 7, 25, 200])
@pytest.mark.parametrize("n_chunks", [1, 5])
def test_windows_equal_the_run_at_once(stream, window_ticks, n_chunks):
    backend = get_backend("fast")
    got = simulate(GRAPH, backend, chunks(stream, n_chunks), window_ticks=window_ticks)
    whole = encode_whole(GRAPH, [stream], window_ticks=window_ticks)
    expected = backend.run(GRAPH, whole)
    assert len(expected.out)
    assert_same_spikes(got, expected)
    assert got.input.differing(whole) == 0
    assert got.connections == expected.connections


def test_a_backend_without_states_gets_everything_at_once(stream):
    assert_same_spikes(
        simulate(GRAPH, AtOnce(), [stream]), simulate(GRAPH, get_backend("fast"), [stream])
    )


def test_length_is_whole_windows_plus_the_depth(stream):
    n_windows = -(-stream.duration_us // 25_000)
    assert encode_whole(GRAPH, [stream]).n_ticks == 25 * n_windows + GRAPH.network.depth


def test_windows_run_on_for_the_depth_of_a_deeper_graph(stream):
    assert (COUNTING.network.depth, GRAPH.network.depth) == (1, 3)
    trace = simulate(GRAPH, get_backend("fast"), [stream])
    assert trace.n_ticks == encode_whole(GRAPH, [stream]).n_ticks
    assert trace.n_ticks % 25 == 3


def test_the_first_event_starts_the_first_tick(stream):
    train = encode_whole(GRAPH, [stream])
    expected = np.unique((stream.t - START_US) // 1000)
    assert np.array_equal(np.unique(train.tick), expected)


def test_windows_carry_their_end_and_the_last_is_the_trailing_one(stream):
    ends, traces = zip(*window_traces(GRAPH, get_backend("fast"), [stream]), strict=True)
    n = len(ends) - 1
    assert ends == (*(START_US + 25_000 * (k + 1) for k in range(n)), None)
    assert [trace.n_ticks for trace in traces] == [25] * n + [GRAPH.network.depth]


def test_the_last_events_reach_the_output():
    """A burst in the very last tick comes out in the trailing tick."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(12)))
    late = np.full(len(x), 24_500)
    t, x, y = np.append(0, late), np.append(0, x), np.append(0, y)
    events = EventStream(t, x, y, np.ones(len(t), bool), (12, 12))
    trace = simulate(COUNTING, get_backend("reference"), [events])
    assert trace.n_ticks == 26
    assert set(trace.out.tick.tolist()) == {25}


def test_progress_counts_the_windows(stream):
    done = []
    simulate(GRAPH, get_backend("fast"), [stream], window_ticks=2, progress=done.append)
    n_windows = -(-stream.duration_us // 2000)
    assert done == [*range(RUN_WINDOWS, n_windows, RUN_WINDOWS), n_windows]


def test_a_run_of_several_windows_ends_with_the_window_of_the_last_event(stream):
    runs = window_traces(GRAPH, get_backend("fast"), [stream], window_ticks=7, run_windows=8)
    ends, traces = zip(*runs, strict=True)
    n_windows = -(-stream.duration_us // 7000)
    assert n_windows % 8
    assert [trace.n_ticks for trace in traces] == [56, 56, 7 * (n_windows % 8), 3]
    assert ends == (*(START_US + 56_000 * k for k in (1, 2)), START_US + 7000 * n_windows, None)


class Forgetful:
    """A backend that says it resumes but gives no state back."""

    name = "forgetful"
    capabilities = get_backend("fast").capabilities

    def run(self, graph, spikes, state=None):
        return replace(get_backend("fast").run(graph, spikes, state), state=None)


def test_a_backend_without_a_state_is_named(stream):
    with pytest.raises(BackendError, match=r"backend 'forgetful': it gives no state back"):
        list(window_traces(GRAPH, Forgetful(), [stream]))


def test_no_events_are_refused():
    empty = EventStream.empty((12, 12))
    for backend in (get_backend("fast"), AtOnce()):
        with pytest.raises(UsageError, match="holds no events"):
            simulate(GRAPH, backend, [empty])
