"""The registry, and what every backend refuses before it runs."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.backends.base import (
    BACKENDS,
    Capabilities,
    check_run,
    get_backend,
    initial_state,
)
from neurovlm.spiking.contract import layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph

SPIKES = random_input(3, 0.5, 0, n_ticks=10)


class Limited:
    """A backend that can do next to nothing."""

    name = "limited"
    capabilities = Capabilities(frozenset({Precision.LOIHI}), frozenset(), resumes=False)


def graph_of(cells=None, **options):
    cells = neurons(3, du=4095, dv=100, vth=5) if cells is None else cells
    return layered({"w": ("input", "n", np.eye(3))}, {"n": cells}, "n", **options)


def refused(graph, spikes=SPIKES, state=None):
    with pytest.raises(GraphError) as caught:
        check_run(Limited(), graph, spikes, state)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_registered_backend_answers_to_its_name():
    assert [get_backend(name).name for name in BACKENDS] == list(BACKENDS)
    assert {"fast", "reference", "lava", "norse", "snntorch"} <= set(BACKENDS)


def test_an_unknown_backend_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="unknown backend 'nest'; known are fast, reference"):
        get_backend("nest")


def test_a_run_within_the_capabilities_passes():
    graph = graph_of()
    assert check_run(Limited(), graph, SPIKES, None) is graph.network


def test_precision_not_claimed_names_who_has_it():
    message = refused(graph_of(dynamics=Dynamics(precision="float32")))
    assert "backend 'limited': precision float32 is not exact there, it has loihi" in message
    assert "backends with float32: fast, reference" in message


def test_input_of_another_size_or_time_step():
    assert "node 'input': takes (3,), the spikes are (4,)" in refused(
        graph_of(), random_input(4, 0.5, 0, n_ticks=10)
    )
    assert "dt is 0.001 s, the spikes have 0.002 s" in refused(
        graph_of(), replace(SPIKES, dt_s=2e-3)
    )


def test_state_bias_and_mixed_neurons_need_the_capability():
    graph = graph_of()
    assert "cannot start from a state" in refused(graph, state=initial_state(graph))
    cells = neurons(3, du=4095, dv=100, vth=5)
    cells.v_threshold = np.array([5.0, 5.0, 6.0])
    assert "node 'n': thresholds 5 to 6: it cannot honour parameters that differ" in refused(
        graph_of(cells)
    )
    nodes = {**graph.nir.nodes, "w": nir.Affine(np.eye(3), np.array([0.0, 2.0, 0.0]))}
    biased = SpikingGraph(nir.NIRGraph(nodes, graph.nir.edges))
    assert "node 'n': bias 2: it cannot honour a constant input; use fast" in refused(biased)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("loihi", "int64"), ("float64", "float64"), ("float32", "float32")]
)
def test_initial_state_is_silence_in_the_precisions_dtype(precision, dtype):
    state = initial_state(graph_of(dynamics=Dynamics(precision=precision)))
    for values in (state.cells["n"]["u"], state.cells["n"]["v"]):
        assert values.dtype == dtype
        assert not values.any()
    assert all(len(sent) == 1 and not len(sent[0].neuron) for sent in state.recent.values())
    assert set(state.recent) == {"input", "n"}
