"""NIR graphs as workloads: by hand, against brute force and traces, and refusals."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from hw_models import LayerOps, OpKind, Workload, estimate
from neurovlm.core.errors import GraphError, InputFileError, UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.counting import count_nir
from neurovlm.counting.spiking_ops import spiking_layers
from neurovlm.frontend.detector import DetectorConfig, change_detector
from neurovlm.spiking import nir_io
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain

GRID = PatchGrid(side=4, patch=3)


def lif(*shape: int) -> nir.LIF:
    """Neurons that no backend of ours runs: they reset below zero, faster than a tick."""
    one = np.ones(shape)
    return nir.LIF(tau=1e-4 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=-one)


def readout(n: int) -> nir.LI:
    return nir.LI(tau=np.full(n, 1e-2), r=np.ones(n), v_leak=np.zeros(n))


def conv_net() -> nir.NIRGraph:
    """2 x 5 x 5 -> convolution, padded -> 3 x 5 x 5 -> pool by 2 -> linear -> 4 read-outs."""
    kernel = np.ones((3, 2, 3, 3))
    kernel[0, 0, 0, 0] = 0  # no synapse
    return nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([2, 5, 5])}),
            "conv": nir.Conv2d((5, 5), kernel, 1, 1, 1, 1, np.zeros(3)),
            "hidden": lif(3, 5, 5),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flat": nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1),
            "linear": nir.Linear(np.ones((4, 12))),
            "out": readout(4),
            "output": nir.Output({"output": np.array([4])}),
        },
        [
            ("input", "conv"),
            ("conv", "hidden"),
            ("hidden", "pool"),
            ("pool", "flat"),
            ("flat", "linear"),
            ("linear", "out"),
            ("out", "output"),
        ],
    )


def by_name(workload: Workload) -> dict[str, LayerOps]:
    return {layer.layer: layer for layer in workload.layers}


def conv_synapses() -> int:
    """Brute force over every output place and kernel entry."""
    kernel = conv_net().nodes["conv"].weight
    total = 0
    for y in range(5):
        for x in range(5):
            for _, _, ky, kx in np.argwhere(kernel != 0):
                total += 0 <= y + ky - 1 < 5 and 0 <= x + kx - 1 < 5
    return total


def test_rates_by_hand() -> None:
    workload = count_nir(conv_net(), {"input": 10, "hidden": 5})
    layers = by_name(workload)
    per_s = {
        name: (layer.executed.spikes, layer.executed.synops, layer.executed.neuron_updates)
        for name, layer in layers.items()
    }
    n = workload.inferences
    synapses = conv_synapses()
    assert per_s == {
        "input": (n * 50 * 10, 0, 0),
        "hidden": (n * 75 * 5, n * synapses * 10, n * 75 * 1000),
        # two by two pooling of five by five leaves a row and a column out
        "out": (0, n * 3 * 16 * 4 * 5, n * 4 * 1000),
    }
    assert (workload.window_ms, workload.ticks) == (1000, n * 1000)
    assert layers["input"].is_input
    assert [layer.neurons for layer in workload.layers] == [0, 75, 4]
    assert [layer.synapses for layer in workload.layers] == [0, synapses, 3 * 16 * 4]
    assert {(layer.stage, layer.kind) for layer in workload.layers} == {
        ("frontend", OpKind.SPIKING)
    }


def test_shared_weights_are_those_of_the_kernel() -> None:
    layers = by_name(count_nir(conv_net(), 1.0))
    assert layers["hidden"].weights == 3 * 2 * 9 - 1
    assert layers["out"].weights == 0  # a matrix shares none


def test_a_pool_behind_a_convolution_composes_its_kernel() -> None:
    """Of 3 x 3 taps and 2 x 2 pooling, 4 x 4 weights remain."""
    graph = conv_net()
    nodes, edges = dict(graph.nodes), set(graph.edges)
    nodes["conv"] = nir.Conv2d((8, 8), np.ones((1, 2, 3, 3)), 1, 1, 1, 1, np.zeros(1))
    nodes["input"] = nir.Input({"input": np.array([2, 8, 8])})
    nodes["hidden"] = lif(1, 4, 4)
    nodes["linear"] = nir.Linear(np.ones((4, 16)))
    edges -= {("conv", "hidden"), ("hidden", "pool"), ("pool", "flat")}
    edges |= {("conv", "pool"), ("pool", "hidden"), ("hidden", "flat")}
    layers = by_name(count_nir(nir.NIRGraph(nodes, list(edges), type_check=False), 1.0))
    assert layers["hidden"].weights == 2 * 16


def test_rates_of_single_neurons_weigh_their_own_fan_out() -> None:
    """A corner neuron reaches four places of three channels, the middle nine."""
    kernel_full = np.ones((3, 1, 3, 3))
    graph = conv_net()
    nodes = dict(graph.nodes)
    nodes["conv"] = nir.Conv2d((5, 5), kernel_full, 1, 1, 1, 1, np.zeros(3))
    nodes["input"] = nir.Input({"input": np.array([1, 5, 5])})
    rates = np.zeros((1, 5, 5))
    rates[0, 0, 0], rates[0, 2, 2] = 7, 11
    plain = nir.NIRGraph(nodes, graph.edges, type_check=False)
    workload = count_nir(plain, {"input": rates, "hidden": 0})
    per_s = by_name(workload)["hidden"].executed.synops / workload.inferences
    assert per_s == 7 * 4 * 3 + 11 * 9 * 3


def test_one_number_is_the_rate_of_all() -> None:
    assert count_nir(conv_net(), 8.0) == count_nir(conv_net(), {"input": 8, "hidden": 8})


def test_shorter_ticks_and_windows_scale_what_they_should() -> None:
    base = count_nir(conv_net(), 8.0)
    finer = count_nir(conv_net(), 8.0, dt_s=5e-4, window_ms=250)
    assert finer.total().spikes * 4 == base.total().spikes
    assert finer.total().synops * 4 == base.total().synops
    assert finer.total().neuron_updates * 2 == base.total().neuron_updates
    assert finer.window_ms == 250


def test_rare_spikes_do_not_round_to_nothing() -> None:
    workload = count_nir(conv_net(), 0.01, window_ms=1)
    assert workload.total().spikes == pytest.approx(125 * 1e-5 * workload.inferences)


def test_files_and_graphs_count_the_same(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(str(path), conv_net())
    from_file = count_nir(path, 20.0)
    assert from_file.layers == count_nir(conv_net(), 20.0).layers
    assert from_file.name == "net"
    assert count_nir(str(path), 20.0, name="mine").name == "mine"


def test_a_file_of_ours_brings_its_tick(tmp_path: Path) -> None:
    graph = change_detector(grid=GRID)
    nir_io.save(graph, tmp_path / "ours.nir")
    counted = count_nir(tmp_path / "ours.nir", 3.0)
    assert counted.layers == count_nir(graph, 3.0).layers
    ticks_per_s = counted.ticks / counted.inferences
    assert ticks_per_s == pytest.approx(1 / graph.dynamics.dt_s)


def test_a_nested_graph_is_flattened() -> None:
    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([3])}),
            "lif": lif(3),
            "w": nir.Linear(np.ones((3, 3))),
            "output": nir.Output({"output": np.array([3])}),
        },
        [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")],
        type_check=False,
    )
    outer = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([2])}),
            "fc": nir.Linear(np.ones((3, 2))),
            "rnn": inner,
            "output": nir.Output({"output": np.array([3])}),
        },
        [("input", "fc"), ("fc", "rnn"), ("rnn", "output")],
        type_check=False,
    )
    workload = count_nir(outer, {"input": 1, "rnn.lif": 2})
    layer = by_name(workload)["rnn.lif"]
    assert layer.executed.synops == workload.inferences * (2 * 3 * 1 + 3 * 3 * 2)
    assert layer.synapses == 6 + 9


@pytest.fixture(scope="module")
def graph() -> SpikingGraph:
    return change_detector(DetectorConfig(adapt_threshold=40), grid=GRID)


@pytest.fixture(scope="module")
def trace(graph: SpikingGraph) -> Trace:
    raster = np.random.default_rng(0).random((60, 2 * GRID.pixels**2)) < 0.3
    spikes = SpikeTrain.from_dense(raster, dt_s=1e-3, shape=(2, GRID.pixels, GRID.pixels))
    return get_backend("fast").run(graph, spikes)


def test_a_trace_counts_as_the_run_did(graph: SpikingGraph, trace: Trace) -> None:
    counted = count_nir(graph, spikes=trace)
    ran = {layer.layer: layer for layer in spiking_layers(trace)}
    assert counted.total().synops > 0
    for layer in counted.layers:
        assert layer.executed == ran[layer.layer].executed
        assert (layer.neurons, layer.synapses) == (
            ran[layer.layer].neurons,
            ran[layer.layer].synapses,
        )
    assert (counted.ticks, counted.inferences, counted.window_ms) == (60, 1, 60)


def test_trains_of_all_nodes_count_as_the_trace(graph: SpikingGraph, trace: Trace) -> None:
    trains = {**trace.spikes, "input": trace.input}
    counted = count_nir(graph, spikes=trains, window_ms=20)
    assert counted.layers == count_nir(graph, spikes=trace).layers
    assert counted.inferences == 3


def test_mean_rates_of_a_run_come_close_to_it(graph: SpikingGraph, trace: Trace) -> None:
    """Equal but for the last tick, whose spikes arrive after the run."""
    trains = {**trace.spikes, "input": trace.input}
    rates = {
        name: np.bincount(train.neuron, minlength=train.n_neurons) / (train.n_ticks * train.dt_s)
        for name, train in trains.items()
    }
    from_rates = count_nir(graph, rates, window_ms=60)
    ran = count_nir(graph, spikes=trace).total()
    n = from_rates.inferences
    assert from_rates.total().spikes == ran.spikes * n
    assert from_rates.total().synops / n >= ran.synops
    assert from_rates.total().synops / n == pytest.approx(ran.synops, rel=0.03)


def test_a_graph_can_be_costed_in_one_call() -> None:
    report = estimate(count_nir(conv_net(), {"input": 10, "hidden": 5}), "loihi2")
    quiet = estimate(count_nir(conv_net(), 0.0), "loihi2")
    assert report.energy_active_j.value > quiet.energy_active_j.value > 0


REFUSED = {
    "a missing rate": ({"rates_hz": {"input": 1}}, "node 'hidden' has no rate; give one in Hz"),
    "more than a spike per tick": ({"rates_hz": 1001}, "0 to 1000 Hz, .* got 1001"),
    "a negative rate": ({"rates_hz": -1}, "'input' must fire at 0 to 1000 Hz.* got -1"),
    "no number": ({"rates_hz": float("nan")}, "got nan"),
    "an unknown node": (
        {"rates_hz": {"hiden": 1}},
        "'hiden' is no input or neuron node; those are input, hidden, out",
    ),
    "too few rates": (
        {"rates_hz": {"input": 1, "hidden": [1, 2]}},
        "node 'hidden' has 75 neurons, got 2 rates",
    ),
    "a firing read-out": (
        {"rates_hz": {"input": 1, "hidden": 1, "out": 3}},
        "node 'out' never fires, got 3 Hz; leave it out",
    ),
    "nothing": ({}, "give either rates_hz or spikes"),
    "a window of no whole ticks": (
        {"rates_hz": 1, "window_ms": 2.5},
        "whole number of ticks of 1 ms, got 2.5",
    ),
    "a missing train": ({"spikes": {}}, "no spike train; give trains of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    arguments, message = REFUSED[name]
    with pytest.raises(UsageError, match=message):
        count_nir(conv_net(), **arguments)


def test_refusals_of_trains(graph: SpikingGraph, trace: Trace) -> None:
    trains = {**trace.spikes, "input": trace.input}
    with pytest.raises(UsageError, match="node 'X' is no input or neuron node"):
        count_nir(graph, spikes={**trains, "X": trace.input})
    with pytest.raises(UsageError, match="node 'F' needs a train of 144 neurons and 60 ticks"):
        count_nir(graph, spikes={**trains, "F": trace.spikes["F"].between(0, 30)})
    with pytest.raises(UsageError, match="60 ticks are no whole number of windows of 25"):
        count_nir(graph, spikes=trains, window_ms=25)


def test_bad_graphs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such NIR file"):
        count_nir(tmp_path / "none.nir", 1.0)
    graph = conv_net()
    nodes = {**graph.nodes, "hidden": nir.Threshold(np.ones((3, 5, 5)))}
    with pytest.raises(GraphError, match=r"node 'hidden'.*Threshold"):
        count_nir(nir.NIRGraph(nodes, graph.edges, type_check=False), 1.0)
