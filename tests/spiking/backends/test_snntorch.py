"""snnTorch: the reset that agrees, what it refuses, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import GraphError, MissingComponentError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import (
    assert_same_spikes,
    case_named,
    layered,
    neurons,
    one_layer,
    random_input,
)
from neurovlm.spiking.dynamics import Dynamics

FLOAT = Dynamics(precision="float64")


def test_a_run_begun_on_another_backend_can_be_continued():
    graph, spikes = case_named("recurrent").build()
    graph = graph.with_precision("float64")
    half = spikes.n_ticks // 2
    first = get_backend("fast").run(graph, spikes.between(0, half))
    second = get_backend("snntorch").run(graph, spikes.between(half, spikes.n_ticks), first.state)
    whole = get_backend("reference").run(graph, spikes)
    for name, train in whole.spikes.items():
        assert train.between(half, spikes.n_ticks).differing(second.spikes[name]) == 0


def test_without_snntorch_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snntorch", None)
    graph, spikes = case_named("recurrent").build()
    with pytest.raises(MissingComponentError, match=r"snntorch backend .* pip install"):
        get_backend("snntorch").run(graph.with_precision("float64"), spikes)


def test_negative_thresholds_are_refused():
    """Synaptic takes a v of 0 for a spike not yet reset."""
    graph = one_layer(neurons(2, du=900, dv=300, vth=[5, -5]), {"w": np.eye(2)}, FLOAT)
    spikes = random_input(2, 0.5, 0, 20)
    message = r"backend 'snntorch': node 'a': v_threshold must be at least 0 there, got -5"
    with pytest.raises(GraphError, match=message):
        get_backend("snntorch").run(graph, spikes)
    with pytest.raises(GraphError, match=message):
        get_backend("snntorch").run_batch(graph, [spikes])


def test_a_run_leaves_nothing_in_snntorchs_list_of_layers():
    """Every other user's ``utils.reset`` goes through that list."""
    from snntorch import Synaptic

    before = len(Synaptic.instances)
    graph, spikes = case_named("two-layers").build()
    get_backend("snntorch").run(graph.with_precision("float32"), spikes.between(0, 3))
    assert len(Synaptic.instances) == before


def test_a_population_that_nothing_reaches_gets_its_bias():
    """Its only input is the bias of a connection without weights."""
    weights = {"w": ("input", "a", np.eye(3)), "zero": ("a", "b", np.zeros((2, 3)))}
    cells = {"a": neurons(3, du=4095, dv=100, vth=0), "b": neurons(2, du=4095, dv=0.5, vth=9)}
    weights["b_a"] = ("b", "a", np.ones((3, 2)))
    graph = layered(weights, cells, "a", FLOAT, biases={"zero": np.array([2, 3])})
    batch = [random_input(3, 0.2, seed, 30) for seed in (1, 2)]
    for got, spikes in zip(get_backend("snntorch").run_batch(graph, batch), batch, strict=True):
        expected = get_backend("reference").run(graph, spikes)
        assert len(expected.spikes["b"]) > 5
        assert_same_spikes(got, expected)
