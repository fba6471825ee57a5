"""What only the compiled engine can get wrong: buffers, padding, 32-bit sums, its cache."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends import fast, loops
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
    assert np.array_equal(trace.state.cells["a"]["u"], state.cells["a"]["u"])
    assert trace.state.recent["a"][0].neuron.tolist() == state.recent["a"][0].neuron.tolist()


def test_the_state_passed_in_is_left_alone():
    graph, spikes = RECURRENT.build()
    state = initial_state(graph)
    first, again = (get_backend("fast").run(graph, spikes, state) for _ in range(2))
    assert not any(x.any() for cells in state.cells.values() for x in cells.values())
    assert_same_spikes(again, first)


def test_the_same_graph_in_three_precisions_is_compiled_three_times():
    graph, spikes = RECURRENT.build()
    for precision in ("loihi", "float64", "float32", "loihi"):
        got, expected = both(graph.with_precision(precision), spikes)
        assert_same_spikes(got, expected)


def leaky(*, weight=40, du=99, dv=512, vth=85, n=20):
    """Neurons alike, each fed by all of four inputs."""
    matrix = {"w": ("input", "n", np.full((n, 4), weight))}
    return layered(matrix, {"n": neurons(n, du=du, dv=dv, vth=vth)}, "n")


def reach_of(graph):
    return fast._compile(graph).cells.reach.tolist()


def test_reach_is_the_fixed_point_of_both_states():
    # u: 64 * 4 * 40 * 4096 / 100 = 419,430.4; v: at most that in a neuron that forgets
    assert reach_of(leaky(dv=4095)) == [[419431, 419533]]
    assert reach_of(leaky(weight=1, vth=8000)) == [[10486, 512000]]  # the threshold counts too


@pytest.mark.parametrize(
    "graph",
    [leaky(dv=512), leaky(weight=60, dv=4095), leaky(weight=1, vth=8200)],
    ids=["v too far", "u too far", "threshold too far"],
)
def test_states_that_may_pass_19_bits_get_the_general_update(graph):
    assert reach_of(graph) == [[-1, -1]]
    got, expected = both(graph, random_input(4, 0.7, 1))
    assert_same_spikes(got, expected)


def test_neurons_that_differ_get_the_general_update():
    cells = neurons(4, du=4095, dv=900, vth=20)
    cells.v_threshold = cells.v_threshold * np.array([1, 2, 1, 1])
    graph = layered({"w": ("input", "n", 30 * np.eye(4))}, {"n": cells}, "n")
    assert reach_of(graph) == [[-1, -1]]
    got, expected = both(graph, random_input(4, 0.4, 2))
    assert_same_spikes(got, expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("field", ["u", "v"])
def test_a_state_from_beyond_the_reach_is_stepped_exactly(field, sign):
    """No run from silence leads there; the short update would overflow on it."""
    graph, spikes = leaky(dv=4000), random_input(4, 0.5, 3)
    ((_, reach_v),) = reach_of(graph)
    state = initial_state(graph)
    state.cells["n"][field][3:6] = sign * np.array([reach_v + 1, 2**22, 2**23 - 1])
    got, expected = (get_backend(name).run(graph, spikes, state) for name in ("fast", "reference"))
    assert_same_spikes(got, expected)
    early = (get_backend(n).run(graph, spikes.between(0, 3), state) for n in ("fast", "reference"))
    got, expected = (trace.state for trace in early)
    assert np.array_equal(got.cells["n"]["u"], expected.cells["n"]["u"])
    assert np.array_equal(got.cells["n"]["v"], expected.cells["n"]["v"])


def test_states_at_the_reach_stay_within():
    graph = leaky(dv=4095)
    ((reach_u, reach_v),) = reach_of(graph)
    state = initial_state(graph)
    state.cells["n"]["u"][:10], state.cells["n"]["v"][:10] = reach_u, reach_v
    state.cells["n"]["u"][10:], state.cells["n"]["v"][10:] = -reach_u, -reach_v
    always = SpikeTrain.from_dense(np.ones((200, 4)), dt_s=1e-3)
    for n_ticks in (1, 2, 200):
        ends = [
            get_backend(name).run(graph, always.between(0, n_ticks), state).state
            for name in ("fast", "reference")
        ]
        assert np.array_equal(ends[0].cells["n"]["u"], ends[1].cells["n"]["u"])
        assert np.array_equal(ends[0].cells["n"]["v"], ends[1].cells["n"]["v"])
        assert np.abs(ends[1].cells["n"]["u"]).max() <= reach_u


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
    assert got.state.cells["n"]["u"].tolist() == [64 * 255 * MOST - 2**24] == [-256]
    assert expected.state.cells["n"]["u"].tolist() == [-256]


@pytest.mark.parametrize("sign", [1, -1])
def test_u_of_two_to_the_23_stays_and_its_negative_wraps_onto_it(sign):
    whole, rest = divmod(2**23 // 64, 255)
    weights = sign * np.array([[*[255] * whole, rest]])
    graph = layered(
        {"w": ("input", "n", weights)},
        {"n": neurons(1, du=4095, dv=9, vth=131071)},
        "n",
        Dynamics(allow_wrap=True),
    )
    once = np.outer([1, 0], np.ones(weights.size))
    got, expected = both(graph, SpikeTrain.from_dense(once, dt_s=1e-3))
    assert got.state.cells["n"]["u"].tolist() == expected.state.cells["n"]["u"].tolist() == [2**23]


kept = st.integers(0, 4096)


@settings(max_examples=300)
@given(st.integers(-(2**23), 2**23), kept)
def test_decay_in_32_bits_is_exact(x, keep):
    assert loops._keep(np.int32(x), np.int32(keep)) == math.trunc(x * keep / 4096)


@settings(max_examples=300)
@given(st.integers(1 - 2**19, 2**19 - 1), kept)
def test_short_decay_is_exact_below_19_bits(x, keep):
    assert loops._keep_short(np.int32(x), np.int32(keep)) == math.trunc(x * keep / 4096)


def test_short_decay_just_below_zero():
    """x * keep = -1 .. -4095 all give 0, -4096 gives -1."""
    for product in (1, 2, 4094, 4095):
        assert loops._keep_short(np.int32(-product), np.int32(1)) == 0
    assert loops._keep_short(np.int32(-4096), np.int32(1)) == -1
    assert loops._keep_short(np.int32(-4097), np.int32(1)) == -1


def test_largest_sums_again_and_again():
    got, expected = both(*wide(MOST, np.random.default_rng(0).random(300) < 0.5))
    assert_same_spikes(got, expected)
    assert np.array_equal(got.state.cells["n"]["u"], expected.state.cells["n"]["u"])
    assert np.array_equal(got.state.cells["n"]["v"], expected.state.cells["n"]["v"])


def test_sums_beyond_are_refused():
    message = r"weights sum to 262395, more than .* use backend reference"
    with pytest.raises(GraphError, match=message):
        get_backend("fast").run(*wide(MOST + 1, [1, 0]))


@pytest.mark.slow  # two fresh interpreters
def test_the_compiled_loops_are_found_on_disk_by_the_next_process():
    """Compiling takes seconds, which every start of the command line would pay."""
    code = (
        "from neurovlm.spiking.contract import CASES\n"
        "from neurovlm.spiking.backends import fast, loops\n"
        "graph, spikes = CASES[0].build()\n"
        "for precision in ('loihi', 'float32'):\n"
        "    fast.FastBackend().run(graph.with_precision(precision), spikes)\n"
        "for loop in (loops.run_loihi, loops.run_float):\n"
        "    print(sum(loop.stats.cache_hits.values()))\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
        )
    assert done.stdout.split() == ["1", "1"]
