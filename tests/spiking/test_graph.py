"""NIR graphs: equal to NIR's own Euler equations; chains, shared nodes, depth."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

FLOAT = Dynamics(precision="float64")
DT = FLOAT.dt_s
LOIHI = Dynamics()


def port(kind, *shape):
    name = kind.__name__.lower()
    return kind({name: np.array(shape)})


def graph_of(neuron, weight, dynamics=FLOAT, **more):
    """input -> w -> n -> output, with further nodes under their own names."""
    nodes = {
        "input": port(nir.Input, weight.shape[1]),
        "w": nir.Linear(weight),
        "n": neuron,
        "output": port(nir.Output, weight.shape[0]),
        **more,
    }
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics)


def constant(value):
    return np.full(3, float(value))


WEIGHT = np.random.default_rng(1).integers(-6, 12, (3, 8)).astype(float)
SPIKES = random_input(8, 0.3, 2, n_ticks=300)
ZERO = constant(0)


def cuba(**changes):
    fields = {
        "tau_syn": constant(4 * DT),
        "tau_mem": constant(8 * DT),
        "r": constant(1),
        "w_in": constant(1),
        "v_leak": ZERO,
        "v_threshold": constant(0.75),
        "v_reset": ZERO,
    }
    return nir.CubaLIF(**(fields | changes))


def euler(node, weight, raster):
    """NIR's differential equations, forward Euler, strict threshold, spikes one tick late."""
    size = weight.shape[0]
    i, v = np.zeros(size), np.zeros(size)
    fired = np.zeros((len(raster), size), bool)
    for tick in range(len(raster)):
        drive = weight @ raster[tick - 1] if tick else np.zeros(size)
        if isinstance(node, nir.CubaLIF):
            i = i + DT / node.tau_syn * (-i + node.w_in * drive)
        else:
            i = drive
        if isinstance(node, nir.IF):
            v = v + DT * node.r * i
        else:
            tau = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
            v = v + DT / tau * (-v + node.r * i)
        fired[tick] = v > node.v_threshold
        v = np.where(fired[tick], 0, v)
    return fired


NEURONS = {
    "cuba": cuba(),
    "cuba-r": cuba(r=constant(2.5)),
    "cuba-w_in": cuba(w_in=constant(0.3)),
    "cuba-per-neuron": cuba(
        tau_syn=DT * np.array([1, 3, 8]),
        tau_mem=DT * np.array([2, 5, 16]),
        r=np.array([1, 2, 0.5]),
        v_threshold=np.array([2.0, 0.75, 0.1]),
    ),
    "lif": nir.LIF(constant(8 * DT), constant(1), ZERO, constant(0.6), ZERO),
    "lif-r": nir.LIF(constant(16 * DT), constant(7), ZERO, constant(3), ZERO),
    "if": nir.IF(constant(1 / DT), constant(20), ZERO),
    "if-r": nir.IF(constant(300), constant(6), ZERO),
}


@pytest.mark.parametrize("name", NEURONS)
def test_same_spikes_as_nirs_euler_equations(name):
    node = NEURONS[name]
    trace = get_backend("reference").run(graph_of(node, WEIGHT), SPIKES)
    expected = euler(node, WEIGHT, SPIKES.dense())
    assert expected.any(axis=0).all(), "a silent neuron proves nothing"
    assert np.array_equal(trace.out.dense(), expected)


def test_an_integrate_and_fire_neuron_does_not_leak():
    """1/16 per tick exceeds 1 in the 17th tick, which has index 16 and every 17th after it."""
    one = np.ones(1)
    nodes = {
        "input": port(nir.Input, 1),
        "drive": nir.Affine(np.zeros((1, 1)), one / 16),
        "n": nir.IF(one / DT, one, 0 * one),
        "output": port(nir.Output, 1),
    }
    edges = [("input", "drive"), ("drive", "n"), ("n", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges), FLOAT)
    silence = SpikeTrain.from_dense(np.zeros((60, 1)), dt_s=DT)
    for backend in ("reference", "fast", "snntorch"):
        assert get_backend(backend).run(graph, silence).out.tick.tolist() == [16, 33, 50]


def test_loihi_integers_come_from_the_float_fields():
    graph = layered(
        {"w": ("input", "n", np.ones((2, 2)))}, {"n": neurons(2, du=409, dv=37, vth=55)}, "n"
    )
    population = graph.network.population("n")
    assert population.du.tolist() == [409, 409]
    assert population.dv.tolist() == [37, 37]
    assert population.vth.tolist() == [55, 55]


def test_infinite_membrane_time_constant_is_no_leak():
    node = nir.CubaLIF(
        tau_syn=np.array([DT]), tau_mem=np.array([np.inf]), r=np.array([1 / DT]),
        w_in=np.ones(1), v_leak=np.zeros(1), v_threshold=np.array([9.0]), v_reset=np.zeros(1),
    )  # fmt: skip
    population = graph_of(node, np.ones((1, 1)), LOIHI).network.population("n")
    assert (population.dv.tolist(), population.vth.tolist()) == ([0], [9])


def test_a_chain_of_linear_nodes_is_one_connection():
    """conv -> pool -> flatten -> affine equals the product, bias pushed through."""
    rng = np.random.default_rng(3)
    kernel, weight = rng.integers(1, 5, (2, 1, 3, 3)), rng.integers(1, 5, (3, 8))
    nodes = {
        "input": port(nir.Input, 1, 6, 6),
        "c": nir.Conv2d((6, 6), kernel.astype(float), 1, 0, 1, 1, np.array([1.0, 2.0])),
        "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "f": nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        "a": nir.Affine(weight.astype(float), np.array([7.0, 0.0, 1.0])),
        "n": cuba(),
        "output": port(nir.Output, 3),
    }
    chain = ["input", "c", "p", "f", "a", "n", "output"]
    edges = list(pairwise(chain))
    network = SpikingGraph(nir.NIRGraph(nodes, edges), FLOAT).network
    (connection,) = network.connections
    assert (connection.name, connection.source, connection.target) == ("c+p+f+a", "input", "n")
    pooled_bias = 4 * np.repeat([1.0, 2.0], 4)  # a pool of 2 x 2 sums four biases
    assert network.population("n").bias.tolist() == (weight @ pooled_bias + [7, 0, 1]).tolist()


def test_a_node_shared_by_two_sources_adds_its_bias_once():
    nodes = {
        "input": port(nir.Input, 3),
        "w": nir.Linear(np.eye(3)),
        "m": cuba(),
        "shared": nir.Affine(np.eye(3), np.array([5.0, 0.0, -1.0])),
        "n": cuba(),
        "output": port(nir.Output, 3),
    }
    edges = [("input", "w"), ("w", "m"), ("m", "shared"), ("input", "shared")]
    edges += [("shared", "n"), ("n", "output")]
    network = SpikingGraph(nir.NIRGraph(nodes, edges), FLOAT).network
    assert network.population("n").bias.tolist() == [5.0, 0.0, -1.0]
    assert [c.source for c in network.connections if c.target == "n"] == ["input", "m"]


def test_parallel_connections_add():
    nodes = {"x": nir.Linear(2 * np.eye(3)), "y": nir.Linear(3 * np.eye(3))}
    both = SpikingGraph(
        nir.NIRGraph(
            {
                "input": port(nir.Input, 3),
                "n": NEURONS["if"],
                "output": port(nir.Output, 3),
                **nodes,
            },
            [("input", "x"), ("input", "y"), ("x", "n"), ("y", "n"), ("n", "output")],
        ),
        FLOAT,
    )
    single = graph_of(NEURONS["if"], 5 * np.eye(3))
    spikes = random_input(3, 0.5, 4, n_ticks=100)
    run = get_backend("reference").run
    assert run(both, spikes).out.differing(run(single, spikes).out) == 0


def test_depth_counts_connections_on_the_shortest_way():
    matrices = {
        "i_a": ("input", "a", np.eye(2)),
        "a_b": ("a", "b", np.eye(2)),
        "b_a": ("b", "a", np.eye(2)),
    }
    populations = {n: neurons(2, du=4095, dv=100, vth=5) for n in "ab"}
    assert layered(matrices, populations, "b").network.depth == 2
    assert layered(matrices, populations, "a").network.depth == 1
