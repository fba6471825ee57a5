"""Norse: where its rounding agrees and where it cannot, and which neurons it has no words for."""

from __future__ import annotations

import sys

import nir
import numpy as np
import pytest
import torch

from neurovlm.core.errors import GraphError, MissingComponentError
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.backends.norse_neurons import NorseNeurons
from neurovlm.spiking.contract import (
    assert_same_spikes,
    case_named,
    layered,
    neurons,
    one_layer,
    random_input,
)
from neurovlm.spiking.contract.building import DT_S
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.trace import probe
from neurovlm.spiking.train import SpikeTrain

FLOAT = Dynamics(precision="float64")


def wide(rng, n):
    """Decays over the whole range, thresholds and weights that are integers."""
    cells = neurons(
        n, du=rng.integers(0, 4096, n), dv=rng.integers(1, 4096, n), vth=rng.integers(1, 400, n)
    )
    return one_layer(cells, {"w": rng.integers(-60, 100, (n, 24))}, FLOAT)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_million_neuron_ticks_of_any_decay_agree(seed):
    graph = wide(np.random.default_rng(seed), 2000)
    spikes = random_input(24, 0.1, seed, 500)
    got, expected = (get_backend(name).run(graph, spikes) for name in ("norse", "fast"))
    assert len(expected.out) > 50_000
    assert_same_spikes(got, expected)


def test_a_million_neuron_ticks_full_of_ties_agree():
    """Halving decays and small integers: v meets its threshold exactly again and again."""
    rng = np.random.default_rng(3)
    loss, threshold = 4096 >> rng.integers(0, 4, (2, 2000)), rng.integers(1, 9, 2000)
    cells = neurons(2000, du=loss[0] - 1, dv=loss[1], vth=threshold)
    graph = one_layer(cells, {"w": rng.integers(-3, 6, (2000, 6))}, FLOAT)
    spikes = random_input(6, 0.2, 4, 500)
    got = get_backend("norse").run(graph, spikes, probes=[probe("a", "v")])
    expected = get_backend("reference").run(graph, spikes, probes=[probe("a", "v")])
    assert (expected.probed["a"]["v"] == threshold).sum() > 5_000
    assert len(expected.out) > 50_000
    assert_same_spikes(got, expected)


def drive(dtype, ticks):
    """One neuron under constant input; v lands within rounding of its threshold in tick 297."""
    cells = neurons(1, du=4095, dv=39, vth=2276)
    graph = one_layer(cells, {"w": np.array([[0]])}, FLOAT, biases={"w": np.array([23])})
    (p,) = graph.network.populations
    layer = NorseNeurons(p, dtype)
    zero = torch.zeros(1, 1, dtype=dtype)
    state = layer.start({"u": zero, "v": zero})
    fired = []
    for _ in range(ticks):
        spike, state = layer.step(zero + 23, state)
        fired.append(bool(spike))
    silence = SpikeTrain(np.empty(0), np.empty(0), ticks, (1,), DT_S)
    precision = "float32" if dtype is torch.float32 else "float64"
    expected = get_backend("reference").run(graph.with_precision(precision), silence)
    return np.flatnonzero(fired)[:1], expected.out.tick[:1]


def test_float32_is_refused_because_rounding_decides_a_spike_there():
    got, expected = drive(torch.float32, 310)
    assert got != expected
    got, expected = drive(torch.float64, 310)
    assert got == expected
    graph, spikes = case_named("two-layers").build()
    with pytest.raises(GraphError, match="'norse': precision float32 is not exact there"):
        get_backend("norse").run(graph.with_precision("float32"), spikes)


def test_v_and_the_threshold_come_back_in_our_units():
    """A neuron that fires once: v is the sum of its weights, w the step of its threshold."""
    extension = {"a": Extension(adapt_tau_s=8 * DT_S, adapt_step=6)}
    cells = neurons(1, du=4095, dv=1024, vth=10)
    graph = one_layer(cells, {"w": np.array([[8]])}, FLOAT, extensions=extension)
    raster = np.array([[1], [0], [1], [0], [0]])
    trace = get_backend("norse").run(graph, SpikeTrain.from_dense(raster, dt_s=DT_S))
    cells = trace.state.cells["a"]
    # v: 0, 8, 6, 4.5 + 8 > 10 fires, 0; w: 6 in that tick, then 7/8 of it
    assert trace.out.tick.tolist() == [3]
    assert {name: x.tolist() for name, x in cells.items()} == {"u": [0], "v": [0], "w": [5.25]}


@pytest.mark.parametrize(
    ("cells", "extension"),
    [
        (neurons(2, du=900, dv=[300, 1e-300], vth=5), Extension()),
        (nir.IF(np.full(2, 1 / DT_S), np.full(2, 9.0)), Extension(adapt_tau_s=1, adapt_step=2)),
    ],
)
def test_neurons_without_leak_go_only_as_integrate_and_fire(cells, extension):
    if isinstance(cells, nir.CubaLIF):
        cells.tau_mem[1], cells.r[1] = np.inf, 1 / DT_S
    graph = one_layer(cells, {"w": np.eye(2)}, FLOAT, extensions={"a": extension})
    with pytest.raises(GraphError, match=r"backend 'norse': node 'a': tau_mem is infinite"):
        get_backend("norse").run(graph, random_input(2, 0.5, 0, 10))


def test_an_integrator_without_leak_keeps_the_sum():
    graph = layered(
        {"w": ("input", "i", np.array([[3, -2]]))}, {"i": nir.I(np.array([1 / DT_S]))}, "i", FLOAT
    )
    spikes = random_input(2, 0.3, 1, 50)
    trace = get_backend("norse").run(graph, spikes)
    delivered = spikes.dense()[:-1].sum(axis=0)
    assert trace.state.cells["i"]["v"].tolist() == [delivered @ [3, -2]]
    assert len(trace.out) == 0


def test_the_change_detector_agrees_in_every_population():
    graph = change_detector(precision="float64")
    rng = np.random.default_rng(5)
    size = graph.network.n_inputs
    raster = rng.random((60, size)) < 0.002
    raster[:, size // 3 : size // 3 + 900] |= rng.random((60, 900)) < 0.2
    spikes = SpikeTrain.from_dense(raster, dt_s=DT_S, shape=graph.network.input_shape)
    got, expected = (get_backend(name).run(graph, spikes) for name in ("norse", "fast"))
    assert len(expected.out) > 50
    assert_same_spikes(got, expected)


def test_without_norse_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "norse", None)
    graph, spikes = case_named("recurrent").build()
    with pytest.raises(MissingComponentError, match=r"norse backend .* --no-deps norse"):
        get_backend("norse").run(graph.with_precision("float64"), spikes)
