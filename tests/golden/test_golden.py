"""Engines against stored spikes that nothing of neurovlm made (see make_golden.py)."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import layered, neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.loihi import stored_weights
from neurovlm.spiking.train import Fired, SpikeTrain

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def golden():
    return json.loads((HERE / "golden.json").read_text())


@pytest.fixture(scope="module")
def maker():
    return runpy.run_path(str(HERE / "make_golden.py"))


def build(graph, only=None, output="b", precision="loihi"):
    """The stored graph, or the part of it made of the connections in ``only``."""
    weights = {
        name: (source, target, np.array(matrix))
        for name, (source, target, matrix) in graph["weights"].items()
        if only is None or name in only
    }
    cells = {
        target: neurons(len(matrix), **graph["cells"][target])
        for _, target, matrix in weights.values()
    }
    return layered(weights, cells, output, Dynamics(precision=precision))


def train_of(fired, n):
    ticks = [Fired(np.array(f, np.int32)) for f in fired]
    return SpikeTrain.from_ticks(ticks, dt_s=1e-3, shape=(n,))


@pytest.mark.parametrize(
    "backend", ["reference", "fast", pytest.param("lava", marks=pytest.mark.slow)]
)
def test_loihi_spikes_are_those_of_plain_python_integers(golden, backend):
    graph = build(golden["graph"])
    trace = get_backend(backend).run(graph, train_of(golden["graph"]["input"], 8))
    for name, fired in golden["loihi"].items():
        expected = train_of(fired, trace.spikes[name].n_neurons)
        assert len(expected) > 100, "a silent population proves nothing"
        assert trace.spikes[name].differing(expected) == 0


@pytest.mark.parametrize("backend", ["reference", "fast", "snntorch"])
def test_float_spikes_are_those_of_snntorchs_undelayed_zero_reset(golden, backend):
    graph = build(golden["graph"], only={"input_a"}, output="a", precision="float64")
    trace = get_backend(backend).run(graph, train_of(golden["graph"]["input"], 8))
    zero = train_of(golden["snntorch_zero"], 12)
    delayed = train_of(golden["snntorch_default_delay"], 12)
    assert trace.out.differing(zero) == 0
    assert trace.out.differing(delayed) > 100, "snnTorch's default reset is another model"


@pytest.mark.parametrize(
    ("name", "reset_delay"), [("snntorch_zero", False), ("snntorch_default_delay", True)]
)
def test_snntorch_still_does_what_was_stored(golden, maker, name, reset_delay):
    """When this fails, snnTorch has changed its resets and the backend must be looked at."""
    assert maker["run_snntorch"](golden["graph"], reset_delay=reset_delay) == golden[name]


@pytest.mark.parametrize("backend", ["reference", "norse"])
def test_float_spikes_are_those_of_norse(golden, backend):
    graph = build(golden["graph"], only={"input_a"}, output="a", precision="float64")
    trace = get_backend(backend).run(graph, train_of(golden["graph"]["input"], 8))
    expected = train_of(golden["norse"]["fired"], 12)
    assert len(expected) > 100
    assert trace.out.differing(expected) == 0


def test_norses_recurrences_are_these_to_the_bit(golden, maker):
    """V and i as plain Python rounds them, and as the installed Norse does."""
    assert maker["run_norse_by_hand"](golden["graph"]) == golden["norse"]
    assert maker["run_norse"](golden["graph"]) == golden["norse"]
    assert max(abs(v) for v in golden["norse"]["v"]) > 0.1


def lava_graph(golden, maker, weights_of):
    """The graph whose weights Lava truncated, with weights of our choice."""
    graph = maker["as_graph"](golden["lava_graph"], weights_of)
    return build(graph), train_of(graph["input"], 8)


def test_lavas_truncation_of_weights_is_ours(golden, maker):
    def ours(link):
        weights = np.array(link["weights"])
        return stored_weights(weights, bits=link["bits"], exponent=link["exponent"]).tolist()

    for link in golden["lava_graph"]["links"]:
        assert ours(link) == maker["truncated"](link)
    graph, spikes = lava_graph(golden, maker, ours)
    for backend in ("reference", "fast"):
        trace = get_backend(backend).run(graph, spikes)
        for name, fired in golden["lava"].items():
            expected = train_of(fired, trace.spikes[name].n_neurons)
            assert len(expected) > 100
            assert trace.spikes[name].differing(expected) == 0


def test_without_the_truncation_hundreds_of_spikes_differ(golden, maker):
    """Odd weights of both signs are refused in Loihi precision, so plain integers run them."""

    def whole(link):
        return (np.array(link["weights"]) << link["exponent"]).tolist()

    fired = maker["run_loihi"](maker["as_graph"](golden["lava_graph"], whole))
    assert train_of(fired["a"], 12).differing(train_of(golden["lava"]["a"], 12)) > 100


@pytest.mark.slow
def test_lava_still_does_what_was_stored(golden, maker):
    """Its own Sparse and LIF, without anything of ours."""
    assert maker["run_lava"](golden["lava_graph"]) == golden["lava"]


def test_the_script_still_makes_the_stored_spikes(golden, maker):
    assert maker["run_loihi"](golden["graph"]) == golden["loihi"]
