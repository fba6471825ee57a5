"""What Loihi's integers cannot hold is refused, and what is accepted cannot wrap."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import layered, neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.fixed_point import LIMIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

LOIHI, FLOAT = Dynamics(), Dynamics(precision="float64")


def single(weights, dynamics=LOIHI, *, du=4095, dv=100, vth=50):
    weights = np.atleast_2d(np.asarray(weights, float))
    cells = neurons(len(weights), du=du, dv=dv, vth=vth)
    return layered({"w": ("input", "n", weights)}, {"n": cells}, "n", dynamics)


@pytest.mark.parametrize(
    ("weights", "fields", "message"),
    [
        ([[3, -2]], {}, "node 'w': a mixed-sign matrix loses its lowest bit"),
        ([[1.5]], {}, "node 'w': Loihi precision needs integer weights, got 1.5"),
        (
            [[-301]],
            {},
            r"node 'w': Loihi weights lie in -255\.\.255 times one power of two up to 128",
        ),
        ([[1]], {"vth": 10.25}, r"node 'n': Loihi precision needs integer thresholds, got 10\.25"),
        ([[1]], {"vth": 131072}, r"node 'n': Loihi thresholds lie in 0\.\.131071, got 131072"),
        ([[1]], {"vth": -1}, r"node 'n': Loihi thresholds lie in 0\.\.131071, got -1"),
        ([[1]], {"dv": 4096}, r"node 'n': tau_mem gives a Loihi decay of 4096\.\.4096"),
        ([[1]], {"du": -0.8}, r"node 'n': tau_syn gives a Loihi decay of -1\.\.-1"),
    ],
)
def test_what_loihi_cannot_hold_is_refused_there_and_runs_in_floats(weights, fields, message):
    with pytest.raises(GraphError, match=message):
        single(weights, **fields)
    assert single(weights, FLOAT, **fields).network.n_inputs == len(weights[0])


def test_a_fractional_bias_is_refused():
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "w": nir.Affine(np.ones((1, 1)), np.array([0.5])),
        "n": neurons(1, du=4095, dv=100, vth=5),
        "output": nir.Output({"output": np.array([1])}),
    }
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    with pytest.raises(
        GraphError, match=r"node 'n': Loihi precision needs integer biases, got 0\.5"
    ):
        SpikingGraph(nir.NIRGraph(nodes, edges), LOIHI)


def highest_sum(du):
    """Largest sum of weights whose fixed point of u stays below 2**23."""
    return -(-LIMIT * (du + 1) // (64 * 4096)) - 1


def weights_that_sum_to(total):
    whole, rest = divmod(total, 255)
    return [255] * whole + [rest]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_wrap_bound_is_where_u_can_wrap(sign):
    du = 99
    top = highest_sum(du)
    safe = single(sign * np.array([weights_that_sum_to(top)]), du=du, vth=131071)
    assert safe.network.n_inputs == top // 255 + 1
    with pytest.raises(GraphError, match=r"node 'n': u could reach \d+ and wrap at 8388608"):
        single(sign * np.array([weights_that_sum_to(top + 1)]), du=du)


@settings(max_examples=25)
@given(st.integers(20, 4095), st.sampled_from([1, -1]))
def test_an_accepted_graph_never_wraps(du, sign):
    weights = sign * np.array([weights_that_sum_to(highest_sum(du))])
    graph = single(weights, du=du, dv=4095, vth=131071)
    n_ticks = 30 * 4096 // (du + 1) + 30  # to the fixed point, where |u| is largest
    state = _constant_input(graph, n_ticks)
    assert 0.95 * LIMIT < sign * state.cells["n"]["u"][0] < LIMIT


def test_a_graph_above_the_bound_does_wrap_when_allowed():
    weights = [weights_that_sum_to(int(1.1 * highest_sum(99)))]
    graph = single(weights, Dynamics(allow_wrap=True), du=99, dv=4095, vth=131071)
    lowest = min(_constant_input(graph, n).cells["n"]["u"][0] for n in range(50, 120))
    assert lowest < 0


def _constant_input(graph, n_ticks):
    """State after every input fired in every tick."""
    raster = np.ones((n_ticks, graph.network.n_inputs))
    spikes = SpikeTrain.from_dense(raster, dt_s=graph.dynamics.dt_s)
    return get_backend("fast").run(graph, spikes).state


def test_excitation_and_inhibition_are_bounded_apart():
    """Their sum could cancel, but nothing says that both arrive in the same tick."""
    total = highest_sum(99)
    half = np.array([weights_that_sum_to(total * 6 // 10)])
    matrices = {"exc": ("input", "n", half), "inh": ("input", "n", -half)}
    cells = {"n": neurons(1, du=99, dv=100, vth=50)}
    assert len(layered(matrices, cells, "n").network.connections) == 2
    matrices["more"] = ("input", "n", half)
    with pytest.raises(GraphError, match="could reach"):
        layered(matrices, cells, "n")


def test_fan_out_counts_synapses_per_source():
    (connection,) = single([[1, 0, 2], [3, 0, 0]]).network.connections
    assert connection.fan_out.tolist() == [2, 0, 1]
    assert connection.synapses == 3
