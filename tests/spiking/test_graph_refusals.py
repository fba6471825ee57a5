"""Graphs that nothing here runs: refused when built, in one line that names the node."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError
from neurovlm.spiking.contract import neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph

FLOAT = Dynamics(precision="float64")
DT = FLOAT.dt_s


def cuba(**changes):
    node = neurons(3, du=1023, dv=512, vth=50)
    for field, value in changes.items():
        setattr(node, field, np.full(3, float(value)))
    return node


def port(kind):
    return kind({kind.__name__.lower(): np.array([3])})


def refused(nodes, edges, dynamics=FLOAT):
    with pytest.raises(GraphError) as caught:
        SpikingGraph(nir.NIRGraph(nodes, edges, type_check=False), dynamics)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BASE = {
    "input": port(nir.Input),
    "w": nir.Linear(np.eye(3)),
    "n": cuba(),
    "output": port(nir.Output),
}
LINE = [("input", "w"), ("w", "n"), ("n", "output")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": cuba(v_threshold=np.nan)}, "node 'n': v_threshold is NaN"),
        ({"n": cuba(tau_mem=np.nan)}, "node 'n': tau_mem is NaN"),
        ({"n": cuba(tau_syn=DT / 2)}, "tau_syn must be at least dt = 0.001 s, got 0.0005 s"),
        ({"n": cuba(tau_mem=DT / 2)}, "node 'n': tau_mem must be at least dt"),
        ({"n": cuba(v_reset=-0.5)}, "node 'n': v_reset must be 0 on every backend here, got -0.5"),
        ({"n": cuba(v_leak=0.25)}, "node 'n': v_leak must be 0 on every backend here, got 0.25"),
        ({"n": cuba(r=0)}, "node 'n': r and w_in must be positive"),
        ({"n": cuba(w_in=-1)}, "node 'n': r and w_in must be positive"),
        ({"w": nir.Threshold(np.ones(3))}, "node 'w': no backend runs a Threshold"),
        ({"w": nir.Linear(np.ones((3, 5)))}, "node 'w': takes 5 inputs, its source has 3"),
        ({"w": nir.Linear(np.ones((4, 3)))}, "edge 'w' -> 'n': (4,) does not fit (3,)"),
        ({"extra": port(nir.Input)}, "exactly one Input node, got ['input', 'extra']"),
        ({"extra": port(nir.Output)}, "exactly one Output node, got ['output', 'extra']"),
        ({"loose": nir.Linear(np.eye(3))}, "node 'loose': leads from no population"),
    ],
)
def test_bad_nodes_are_named(change, message):
    assert message in refused(BASE | change, LINE)


def test_missing_ports_are_refused():
    assert "exactly one Input node, got none" in refused(
        {k: v for k, v in BASE.items() if k != "input"}, LINE[1:]
    )
    assert "exactly one Output node, got none" in refused(
        {k: v for k, v in BASE.items() if k != "output"}, LINE[:-1]
    )


def test_a_cycle_without_a_neuron_is_refused():
    nodes = BASE | {"x": nir.Linear(np.eye(3)), "y": nir.Scale(np.ones(3))}
    edges = [*LINE, ("n", "x"), ("x", "y"), ("y", "x"), ("y", "n")]
    message = refused(nodes, edges)
    assert "edge 'y' -> 'x': a cycle without a neuron" in message
    assert "put a neuron population into it" in message


def test_an_output_fed_by_weights_or_by_two_populations_is_refused():
    assert "exactly one neuron population must feed the output directly, got ['n', 'n']" in refused(
        BASE | {"x": nir.Linear(np.eye(3))}, [*LINE, ("n", "x"), ("x", "output")]
    )
    assert "got ['m', 'n']" in refused(BASE | {"m": cuba()}, [*LINE, ("w", "m"), ("m", "output")])
    assert "got none" in refused(BASE, LINE[:-1])


def test_an_output_that_the_input_cannot_reach_is_refused():
    nodes = BASE | {"m": cuba(), "x": nir.Linear(np.eye(3))}
    edges = [("input", "w"), ("w", "n"), ("m", "x"), ("x", "m"), ("m", "output")]
    assert "node 'm': the output cannot be reached from the input" in refused(nodes, edges)


def test_an_unknown_population_is_answered_with_the_known_ones():
    with pytest.raises(GraphError, match="no population 'q'; the graph has n"):
        SpikingGraph(nir.NIRGraph(BASE, LINE), FLOAT).network.population("q")
