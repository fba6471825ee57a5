"""What only the compiled engine can get wrong: buffers, padding, 32-bit sums, its cache."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends import fast
from neurovlm.spiking.backends.base import get_backend, initial_state
from neurovlm.spiking.contract import CASES, assert_same_spikes, layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.train import SpikeTrain

RECURRENT = next(case for case in CASES if case.name == "recurrent")


def both(graph, spikes):
    return (get_backend(name).run(graph, spikes) for name in ("fast", "reference"))


def test_more_spikes_than_one_buffer_holds(monkeypatch):
    """The engine stops for a new buffer every few ticks; nothing is lost in between."""
    monkeypatch.setattr(fast, "_BUFFER", 1)
    graph, spikes = RECURRENT.build()
    got, expected = both(graph, spikes)
    assert len(expected.spikes["a"]) > 10 * 30 * 2, "the buffer would hold it all"
    assert_same_spikes(got, expected)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 17])
def test_any_number_of_neurons(size):
    """Populations are padded to multiples of eight; the padding never fires or leaks."""
    rng = np.random.default_rng(size)
    graph = layered(
        {
            "in_a": ("input", "a", rng.integers(0, 90, (size, 5))),
            "a_b": ("a", "b", rng.integers(0, 90, (3, size))),
        },
        {"a": neurons(size, du=900, dv=300, vth=0), "b": neurons(3, du=4095, dv=9, vth=60)},
        "b",
    )
    got, expected = both(graph, random_input(5, 0.3, 1))
    assert_same_spikes(got, expected)
    assert len(expected.out)


def test_no_ticks_give_empty_trains_and_the_state_back():
    graph, spikes = RECURRENT.build()
    state = get_backend("fast").run(graph, spikes).state
    trace = get_backend("fast").run(graph, spikes.between(5, 5), state)
    assert all(len(train) == 0 for train in trace.spikes.values())
    assert np.array_equal(trace.state.u["a"], state.u["a"])
    assert np.array_equal(trace.state.pending["a"], state.pending["a"])


def test_the_state_passed_in_is_left_alone():
    graph, spikes = RECURRENT.build()
    state = initial_state(graph)
    first, again = (get_backend("fast").run(graph, spikes, state) for _ in range(2))
    assert not any(values.any() for values in (*state.u.values(), *state.v.values()))
    assert_same_spikes(again, first)


def test_the_same_graph_in_three_precisions_is_compiled_three_times():
    graph, spikes = RECURRENT.build()
    for precision in ("loihi", "float64", "float32", "loihi"):
        got, expected = both(graph.with_precision(precision), spikes)
        assert_same_spikes(got, expected)


MOST = 2**18 // 255  # inputs of weight 255 whose sum 32 bits and one wrap can hold


def wide(n, raster):
    """One neuron with ``n`` inputs of weight 255, all of which fire where ``raster`` says."""
    graph = layered(
        {"w": ("input", "n", np.full((1, n), 255))},
        {"n": neurons(1, du=40, dv=900, vth=1000)},
        "n",
        Dynamics(allow_wrap=True),
    )
    return graph, SpikeTrain.from_dense(np.outer(raster, np.ones(n)), dt_s=1e-3)


def test_the_largest_sum_wraps_once_and_exactly():
    got, expected = both(*wide(MOST, [1, 0]))
    assert got.state.u["n"].tolist() == [64 * 255 * MOST - 2**24] == [-256]
    assert expected.state.u["n"].tolist() == [-256]


def test_largest_sums_again_and_again():
    got, expected = both(*wide(MOST, np.random.default_rng(0).random(300) < 0.5))
    assert_same_spikes(got, expected)
    assert np.array_equal(got.state.u["n"], expected.state.u["n"])
    assert np.array_equal(got.state.v["n"], expected.state.v["n"])


def test_sums_beyond_are_refused():
    message = r"weights sum to 262395, more than .* use backend reference"
    with pytest.raises(GraphError, match=message):
        get_backend("fast").run(*wide(MOST + 1, [1, 0]))


@pytest.mark.slow  # two fresh interpreters
def test_the_compiled_loops_are_found_on_disk_by_the_next_process():
    """Compiling takes seconds, which every start of the command line would pay."""
    code = (
        "from neurovlm.spiking.contract import CASES\n"
        "from neurovlm.spiking.backends import fast\n"
        "graph, spikes = CASES[0].build()\n"
        "for precision in ('loihi', 'float32'):\n"
        "    fast.FastBackend().run(graph.with_precision(precision), spikes)\n"
        "for loop in (fast._run_loihi, fast._run_float):\n"
        "    print(sum(loop.stats.cache_hits.values()))\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
        )
    assert done.stdout.split() == ["1", "1"]
