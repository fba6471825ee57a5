"""Spiking layers of a workload against brute force over the spikes."""

from __future__ import annotations

import numpy as np
import pytest

from hw_models import OpKind, Workload
from neurovlm.core.grid import PatchGrid
from neurovlm.counting.spiking_ops import spiking_layers, spiking_totals
from neurovlm.frontend.detector import DetectorConfig, change_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain

GRID = PatchGrid(side=4, patch=3)
N_TICKS = 60


def noise(n_ticks: int = N_TICKS, seed: int = 0) -> SpikeTrain:
    """Bursts of input spikes, so that every population fires."""
    rng = np.random.default_rng(seed)
    raster = rng.random((n_ticks, 2 * GRID.pixels**2)) < 0.4 * (
        np.arange(n_ticks)[:, None] % 20 > 9
    )
    return SpikeTrain.from_dense(raster, dt_s=1e-3, shape=(2, GRID.pixels, GRID.pixels))


def run(graph: SpikingGraph, spikes: SpikeTrain) -> Trace:
    return get_backend("fast").run(graph, spikes)


def brute_force_synops(trace: Trace, target: str) -> int:
    """Walk over ticks, connections and spikes; the first tick delivers what was carried over."""
    total = 0
    for c in trace.network.connections:
        if c.target != target:
            continue
        weights = c.matrix.toarray()
        raster = (
            trace.input if c.source == trace.network.input_name else trace.spikes[c.source]
        ).dense()
        before = np.zeros(raster.shape[1], bool)
        before[trace.carried[c.source][0].neuron] = True
        for tick in range(trace.n_ticks):
            for neuron in np.flatnonzero(before):
                total += np.count_nonzero(weights[:, neuron])
            before = raster[tick]
    return total


@pytest.fixture(scope="module")
def trace() -> Trace:
    return run(change_detector(DetectorConfig(adapt_threshold=40), grid=GRID), noise())


def test_counts_equal_brute_force(trace):
    layers = {layer.layer: layer for layer in spiking_layers(trace)}
    del layers["input"]
    assert set(layers) == {"F", "D", "R", "A", "H", "C"}
    assert all(layers[name].executed.spikes for name in "FDRAH")  # C needs a larger grid
    for name, layer in layers.items():
        raster = trace.spikes[name].dense()
        onto = [c.matrix for c in trace.network.connections if c.target == name]
        assert layer.executed.spikes == raster.sum()
        assert layer.executed.neuron_updates == raster.size
        assert layer.executed.synops == brute_force_synops(trace, name)
        assert layer.neurons == raster.shape[1]
        assert layer.synapses == sum(np.count_nonzero(m.toarray()) for m in onto)


def test_the_second_half_counts_what_the_first_left_to_deliver():
    graph, spikes = change_detector(grid=GRID), noise()
    backend = get_backend("fast")
    first = backend.run(graph, spikes.between(0, 37))
    second = backend.run(graph, spikes.between(37, N_TICKS), first.state)
    whole = spiking_totals(run(graph, spikes))
    halves = [spiking_totals(part) for part in (first, second)]
    for name in ("spikes", "synops", "neuron_updates"):
        assert getattr(whole, name) == sum(getattr(half, name) for half in halves)
    for name in ("F", "D"):
        layers = {layer.layer: layer for layer in spiking_layers(second)}
        assert layers[name].executed.synops == brute_force_synops(second, name)


def test_totals_are_the_sums_of_the_layers(trace):
    totals = spiking_totals(trace)
    populations = [layer for layer in spiking_layers(trace) if not layer.is_input]
    assert totals.neurons == sum(layer.neurons for layer in populations) == 144 + 4 * 16 + 1
    assert totals.spikes == sum(layer.executed.spikes for layer in populations)
    assert totals.synops == sum(layer.executed.synops for layer in populations)
    assert totals.neuron_updates == totals.neurons * N_TICKS


def test_layers_stand_in_signal_order_with_the_readout_last(trace):
    names = [layer.layer for layer in spiking_layers(trace)]
    assert names[:3] == ["input", "F", "D"]
    assert names[-1] == "H"
    assert set(names[3:-1]) == {"A", "C", "R"}


def test_stages_are_frontend_and_change(trace):
    stages = {layer.layer: layer.stage for layer in spiking_layers(trace)}
    assert {name for name, stage in stages.items() if stage == "frontend"} == {"input", "F"}
    assert set(stages.values()) == {"frontend", "change"}


def test_input_injects_its_spikes_and_has_no_neurons(trace):
    first = spiking_layers(trace)[0]
    assert first.is_input
    assert first.executed.spikes == len(trace.input)
    assert (first.neurons, first.synapses) == (0, 0)


def test_spikes_never_become_macs_and_the_twin_keeps_the_front_end(trace):
    for layer in spiking_layers(trace):
        assert layer.kind is OpKind.SPIKING
        assert layer.executed.macs == layer.dense.macs == 0
        assert layer.executed == layer.padded == layer.dense
    workload = Workload("spikes", 1, 60.0, spiking_layers(trace), ticks=N_TICKS)
    assert workload.total("dense").macs == 0
    assert workload.total().synops == spiking_totals(trace).synops > 0


def test_silence_still_updates_every_neuron():
    silent = SpikeTrain(np.empty(0), np.empty(0), 10, (2, GRID.pixels, GRID.pixels), 1e-3)
    totals = spiking_totals(run(change_detector(grid=GRID), silent))
    assert (totals.spikes, totals.synops) == (0, 0)
    assert totals.neuron_updates == 10 * totals.neurons


def test_a_graph_without_the_filter_is_all_change_detection():
    counts = np.random.default_rng(1).integers(0, 9, (N_TICKS, 16))
    spikes = SpikeTrain.from_dense(counts, dt_s=1e-3, shape=(1, 4, 4), graded=True)
    trace = get_backend("reference").run(patch_lif(side=4), spikes)
    layers = spiking_layers(trace)
    assert [(layer.stage, layer.layer) for layer in layers] == [
        ("frontend", "input"),
        ("change", "P"),
    ]
    assert layers[1].executed.synops == brute_force_synops(trace, "P") == (counts[:-1] > 0).sum()
