"""What only the compiled engine can get wrong: buffers, padding, 32-bit sums, its cache."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial

import nir
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import BackendError
from neurovlm.spiking.backends import fast, fast_program, fast_state, loops
from neurovlm.spiking.backends.base import get_backend, initial_state
from neurovlm.spiking.contract import CASES, assert_same_spikes, layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import probe
from neurovlm.spiking.train import SpikeTrain

RECURRENT = next(case for case in CASES if case.name == "recurrent")


def assert_same_run(got, expected):
    assert_same_spikes(got, expected)
    assert got.connections == expected.connections
    for mine, theirs in ((got.state.cells, expected.state.cells), (got.probed, expected.probed)):
        assert mine.keys() == theirs.keys()
        for name, variables in theirs.items():
            for variable, values in variables.items():
                assert np.array_equal(mine[name][variable], values), (name, variable)


def both(graph, spikes):
    return (get_backend(name).run(graph, spikes) for name in ("fast", "reference"))


def test_more_spikes_than_there_is_room_for_at_first(monkeypatch):
    """The engine makes more room again and again; nothing is lost in between."""
    monkeypatch.setattr(fast_state, "_TICKS", 1)
    monkeypatch.setattr(fast_state, "_SPIKES", 1)
    graph, spikes = RECURRENT.build()
    got, expected = both(graph, spikes)
    assert len(expected.spikes["a"]) > 10 * 30 * 2, "the room would hold it all"
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
    plan = fast_program.compiled(graph).plan
    return np.stack([plan.reach_u, plan.reach_v], axis=1).tolist()


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


DT = Dynamics().dt_s
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


def test_larger_sums_are_stepped_in_64_bits():
    """u wraps once, as the specification says, and stays beyond 24 bits."""
    for n in (MOST + 1, 3 * MOST):
        graph, spikes = wide(n, np.random.default_rng(1).random(60) < 0.5)
        assert fast_program.compiled(graph).plan.n_narrow == 0
        got, expected = both(graph, spikes)
        assert_same_run(got, expected)
    assert np.abs(expected.state.cells["n"]["u"]).max() > 2**23


@pytest.mark.slow  # two fresh interpreters
def test_the_compiled_loops_are_found_on_disk_by_the_next_process():
    """Compiling takes seconds, which every start of the command line would pay."""
    code = (
        "from neurovlm.spiking.contract import CASES\n"
        "from neurovlm.spiking.backends import fast, loops\n"
        "graph, spikes = CASES[0].build()\n"
        "for precision in ('loihi', 'float32'):\n"
        "    fast.FastBackend().run(graph.with_precision(precision), spikes)\n"
        "print(sum(loops.run.stats.cache_hits.values()))\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
        )
    assert done.stdout.split() == ["2"]


def test_compiling_is_told_once_and_running_again_is_not(caplog):
    """What compiles may take seconds; the log says so, and only then."""

    @numba.njit
    def twice(x):
        return 2 * x

    assert [fast.telling(partial(twice, x)) for x in (1, 2)] == [2, 4]
    assert [r.getMessage() for r in caplog.records if r.name == "neurovlm"] == [
        "compiling the spiking engine, once per machine: about 12 s"
    ]


@pytest.mark.parametrize("seen", ["u", "v", "s"])
def test_neurons_that_forget_u_show_it_to_probes_and_states(seen):
    """Their spikes are added to v at once, so u has to be worked out."""
    graph = leaky(dv=600, du=4095, weight=20, vth=130)
    assert fast_program.compiled(graph).plan.kind.tolist() == [loops.PROMPT]
    spikes = random_input(4, 0.4, 5)
    probes = [probe("n", [seen])]
    got, expected = (
        get_backend(name).run(graph, spikes, probes=probes) for name in ("fast", "reference")
    )
    assert len(expected.out) > 100
    assert_same_run(got, expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_forgetting_neurons_start_from_any_state(sign):
    graph, spikes = leaky(dv=600, du=4095, weight=20, vth=130), random_input(4, 0.4, 5)
    state = initial_state(graph)
    state.cells["n"]["u"][:4] = state.cells["n"]["v"][:4] = sign * np.array(
        [7, 300, 2**22, 2**23 - 1]
    )
    for n_ticks in (0, 1, 2, 40):
        part = spikes.between(0, n_ticks)
        got, expected = (get_backend(n).run(graph, part, state) for n in ("fast", "reference"))
        assert_same_run(got, expected)


def encoders(kind, weight, bits=20):
    """Input -> encoder -> encoder, one to one."""
    unit = nir.IF(np.full(2, 1 / DT), np.full(2, 1.0))
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "w": nir.Linear(weight * np.eye(2)),
        "n": unit,
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    extensions = {"n": Extension(encoding=kind), "input": Extension(message_bits=bits)}
    dynamics = Dynamics(allow_wrap=True)
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "g", extensions)


@pytest.mark.parametrize("kind", ["delta", "sigma-delta", "sigma-delta-relu"])
def test_activations_of_24_bits_and_the_first_beyond(kind):
    """2**23 - 1 is the last that fits; the message is the reference's."""
    graph = encoders(kind, 1, bits=23)
    fits = np.array([[2**23 - 1, 1]])
    got, expected = both(
        graph, SpikeTrain.from_dense(np.vstack([fits, 0 * fits]), dt_s=DT, graded=True)
    )
    assert_same_run(got, expected)
    graph = encoders(kind, 2, bits=23)
    beyond = SpikeTrain.from_dense(np.array([[1, 2**22], [0, 0]]), dt_s=DT, graded=True)
    messages = []
    for name in ("fast", "reference"):
        with pytest.raises(BackendError, match="node 'n': an activation reached 8388608") as error:
            get_backend(name).run(graph, beyond)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_rectified_sum_may_fall_below_32_bits():
    """Its activation stays 0, and the sum is remembered in full."""
    graph = encoders("sigma-delta-relu", -255, bits=23)
    full = np.full((40, 2), 2**23 - 1)
    got, expected = both(graph, SpikeTrain.from_dense(full, dt_s=DT, graded=True))
    assert_same_run(got, expected)
    assert expected.state.cells["n"]["sigma"].max() < -(2**32)


def test_a_batch_on_all_cores_equals_one_by_one_and_may_be_empty():
    graph, spikes = RECURRENT.build()
    trains = [spikes.between(k, k + 100) for k in range(0, 300, 50)]
    backend = get_backend("fast")
    for got, train in zip(backend.run_batch(graph, trains), trains, strict=True):
        assert_same_run(got, backend.run(graph, train))
    assert backend.run_batch(graph, []) == []
