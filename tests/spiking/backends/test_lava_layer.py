"""What of the Lava backend needs no simulator: our layer's steps, and where each layer runs."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import get_backend, initial_state
from neurovlm.spiking.backends.lava.layer import LayerStepper, senders
from neurovlm.spiking.backends.lava.plan import own_populations, stock_problem
from neurovlm.spiking.backends.lava.runner import LavaBackend
from neurovlm.spiking.contract import CASES, case_named, layered, neurons
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.fixed_point import step_float, step_loihi

STEPS = {Precision.LOIHI: step_loihi, Precision.FLOAT64: step_float}


def _step_together(graph, spikes):
    """Payloads ``(n_ticks, n)`` per population, every layer sending before it receives."""
    network, cells = graph.network, initial_state(graph).cells
    into = {
        p.name: [c for c in network.connections if c.target == p.name] for p in network.populations
    }
    steppers = {
        p.name: LayerStepper(p, into[p.name], cells[p.name], STEPS[graph.dynamics.precision])
        for p in network.populations
    }
    values, sent = spikes.dense_values(), {name: [] for name in steppers}
    for tick in range(spikes.n_ticks):
        now = {name: stepper.step() for name, stepper in steppers.items()}
        for name, payload in now.items():
            sent[name].append(payload)
        now[network.input_name] = values[tick]
        for name, stepper in steppers.items():
            stepper.receive(np.concatenate([now[source] for source in senders(into[name])]))
    return {name: np.array(rows) for name, rows in sent.items()}


@pytest.mark.parametrize("precision", STEPS)
@pytest.mark.parametrize(
    "name",
    [
        "recurrent",
        "parallel-connections",
        "delays-per-neuron",
        "per-neuron-parameters",
        "bias",
        "leaky-integrator",
        "refractory-and-adaptive",
        "sigma-delta",
    ],
)
def test_layers_in_step_give_the_references_spikes(name, precision):
    graph, spikes = case_named(name).build()
    graph = graph.with_precision(precision)
    expected = get_backend("reference").run(graph, spikes)
    for population, payload in _step_together(graph, spikes).items():
        assert np.array_equal(payload, expected.spikes[population].dense_values()), population


PLAIN = {
    "two-layers",
    "ties-at-threshold",
    "consecutive-firing",
    "bursts",
    "mixed-signs",
    "exponents",
    "parallel-connections",
    "recurrent",
    "negative-state",
    "saturation",
    "wrap",
    "convolution",
    "integrate-and-fire",
    "graded-input",
}
STOCK = PLAIN | {"uniform-delays", "delays-per-neuron"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plain_cases_run_on_lavas_own_processes(case):
    graph, spikes = case.build()
    network = graph.network
    assert own_populations(network, "own", {}) == {p.name for p in network.populations}
    assert (not own_populations(network, "auto", {})) == (case.name in PLAIN)
    if case.name in STOCK:
        assert own_populations(network, "stock", {}) == frozenset()
    else:
        with pytest.raises(GraphError, match=r"'lava \(stock models\)': node '\w+'"):
            LavaBackend(models="stock").run(graph, spikes)


def test_only_the_populations_that_need_it_leave_lavas_own_processes():
    network = case_named("leaky-integrator").build()[0].network
    assert own_populations(network, "auto", {}) == {"read"}
    assert own_populations(network, "auto", {"a": ("s",)}) == {"read"}
    assert own_populations(network, "auto", {"a": ("s", "v")}) == {"a", "read"}


def _one_neuron(weights, *, du=4095, delay=0, bits=0):
    return layered(
        {"w": ("input", "cells", np.array([weights]))},
        {"cells": neurons(1, du=du, dv=100, vth=500)},
        "cells",
        Dynamics(allow_wrap=True),
        delays={"w": delay},
        extensions={"input": Extension(message_bits=bits)},
    )


@pytest.mark.parametrize(
    ("du", "bits", "weights", "peak"),
    [
        # u is at most 2**23 + 64 a before its wrap where it forgets at once ...
        (4095, 8, [255] * 514 + [1], ""),
        (4095, 8, [255] * 514 + [2], "2147483648"),
        # ... and gathers (64 a - 2**24) 4096 / (du + 1) + 2**24 where it does not
        (255, 0, [255] * 9187 + [226], ""),
        (255, 0, [255] * 9187 + [227], "2147483648"),
    ],
)
def test_lavas_own_processes_get_no_more_than_32_bits_hold(du, bits, weights, peak):
    network = _one_neuron(weights, du=du, bits=bits).network
    problem = stock_problem(network, network.population("cells"))
    assert problem.startswith(f"one tick could bring u to {peak}" if peak else "")
    assert bool(problem) == bool(peak)
    assert own_populations(network, "auto", {}) == ({"cells"} if peak else frozenset())
    if peak:
        with pytest.raises(GraphError, match=r"node 'cells': .* 32-bit .*; use models='auto'"):
            own_populations(network, "stock", {})


def test_delays_beyond_lavas_own_are_run_on_our_model_or_refused():
    for delay, problem in ((63, ""), (64, "a delay of 64 ticks")):
        network = _one_neuron([100, 50], delay=delay).network
        assert problem in stock_problem(network, network.population("cells"))
        assert own_populations(network, "auto", {}) == {"cells"}
    with pytest.raises(GraphError, match=r"'lava': node 'cells': a delay of 64 .* models='auto'"):
        own_populations(network, "stock", {})
