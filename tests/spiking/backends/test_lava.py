"""Lava against the reference: every population, every tick, no lag removed."""

from __future__ import annotations

import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError, MissingComponentError, UsageError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.backends.lava.runner import LavaBackend
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.encoding import encode
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace, probe
from neurovlm.spiking.train import SpikeTrain

UNIT = 4096
N_INPUTS = 150


def _neurons(size, loss_u, loss_v, threshold):
    """Neurons whose Euler gains are 1, so that weights and thresholds are what Lava gets."""
    full = np.ones(size)
    return nir.CubaLIF(
        tau_syn=full * 1e-3 * UNIT / loss_u,
        tau_mem=full * 1e-3 * UNIT / loss_v,
        r=full * UNIT / loss_v,
        w_in=full * UNIT / loss_u,
        v_leak=full * 0.0,
        v_threshold=full * float(threshold),
        v_reset=full * 0.0,
    )


def _weights(rng, targets, sources, low, high, density):
    values = rng.integers(low, high + 1, (targets, sources)).astype(float)
    return nir.Linear(values * (rng.random((targets, sources)) < density))


def _busy_graph(rng, precision):
    """Several sources and signs into one population, self-loops, a loop through a relay.

    ``quick`` forgets u and almost all of v within a tick, so that its v is often exactly its
    threshold; ``out`` keeps u for 20 ticks; ``all`` gets more weight in a burst than 16 bits hold,
    and its u wraps. Two connections lead from ``quick`` to ``out``; their sum has more than 8 bits.
    """
    n, a, b, c = N_INPUTS, 23, 17, 5
    nodes = {
        "input": nir.Input({"input": np.array([n])}),
        "quick": _neurons(a, UNIT, UNIT - 1, 60),
        "out": _neurons(b, 205, 137, 900),
        "all": _neurons(c, 300, UNIT - 1, 100_000),
        "output": nir.Output({"output": np.array([b])}),
        "input_quick": _weights(rng, a, n, 20, 20, 0.1),
        "input_out": _weights(rng, b, n, 1, 255, 0.03),
        "input_all": nir.Linear(np.full((c, n), 255.0)),
        "quick_out": _weights(rng, b, a, 1, 60, 0.2),
        "quick_out_again": _weights(rng, b, a, 250, 255, 0.1),
        "quick_all": nir.Linear(np.full((c, a), 255.0)),
        "out_all": nir.Linear(np.full((c, b), 255.0)),
        "all_all": nir.Linear(np.full((c, c), 255.0)),
        "quick_quick": nir.Linear(-np.diag(rng.integers(1, 41, a).astype(float))),
        "out_quick": _weights(rng, a, b, -255, -1, 0.1),
        "out_out": _weights(rng, b, b, -255, -1, 0.3),
        "all_out": _weights(rng, b, c, -31, -1, 0.5),
        "zero": nir.Linear(np.zeros((b, a))),
    }
    edges = [("out", "output"), ("quick", "zero"), ("zero", "out")]
    edges += [("quick", "quick_out_again"), ("quick_out_again", "out")]
    for via in nodes:
        ends = via.split("_")
        if len(ends) == 2:
            edges += [(ends[0], via), (via, ends[1])]
    dynamics = Dynamics(precision=precision, allow_wrap=True)
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics)


def _bursts(rng, n_ticks, size):
    """Random spikes, a full-field burst, silence, and single spikes on the first and last tick."""
    raster = rng.random((n_ticks, size)) < 0.1
    raster[20:24] = True
    raster[60:90] = False
    raster[[0, -1], 3] = True
    return SpikeTrain.from_dense(raster, dt_s=1e-3)


def _assert_same_spikes(one: Trace, other: Trace) -> None:
    assert list(one.spikes) == list(other.spikes)
    differing = {name: one.spikes[name].differing(other.spikes[name]) for name in one.spikes}
    assert differing == dict.fromkeys(differing, 0)
    assert one.connections == other.connections


def _assert_every_population_is_busy(trace: Trace) -> None:
    """A comparison of silent populations would prove nothing."""
    for population in trace.populations:
        assert 0 < population.spikes < population.neurons * trace.n_ticks, population.name


def test_loihi_precision_equals_the_reference_in_every_population():
    rng = np.random.default_rng(1)
    graph = _busy_graph(rng, Precision.LOIHI)
    spikes = _bursts(rng, 200, N_INPUTS)
    trace = LavaBackend().run(graph, spikes)
    expected = get_backend("reference").run(graph, spikes)
    _assert_every_population_is_busy(expected)
    _assert_same_spikes(trace, expected)
    assert trace.state is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
@pytest.mark.parametrize("precision", [Precision.LOIHI, Precision.FLOAT64])
def test_random_graphs(seed, precision):
    rng = np.random.default_rng(seed)
    graph = _busy_graph(rng, precision)
    spikes = _bursts(rng, 300, N_INPUTS)
    trace = LavaBackend().run(graph, spikes)
    expected = get_backend("reference").run(graph, spikes)
    _assert_every_population_is_busy(expected)
    _assert_same_spikes(trace, expected)


@pytest.mark.slow
@pytest.mark.parametrize("models", ["stock", "own"])
def test_loihi1_configuration_gives_the_same_spikes(models):
    rng = np.random.default_rng(5)
    graph = _busy_graph(rng, Precision.LOIHI)
    spikes = _bursts(rng, 100, N_INPUTS)
    trace = LavaBackend(models=models, simulate="loihi1").run(graph, spikes)
    _assert_same_spikes(trace, get_backend("reference").run(graph, spikes))


@pytest.mark.slow
def test_full_128_pixel_input():
    """Lava's own Conv fails silently from 128 pixels on; Sparse, used here, does not."""
    pixels = (1, 128, 128)
    nodes = {
        "input": nir.Input({"input": np.array((2, 128, 128))}),
        "filter": nir.Conv2d((128, 128), np.full((1, 2, 3, 3), 30.0), 1, 1, 1, 1, np.zeros(1)),
        "pixel": _neurons(pixels, 1024, 1024, 100),
        "output": nir.Output({"output": np.array(pixels)}),
    }
    edges = [("input", "filter"), ("filter", "pixel"), ("pixel", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges), Dynamics())
    raster = np.random.default_rng(6).random((50, 2 * 128 * 128)) < 0.02
    spikes = SpikeTrain.from_dense(raster, dt_s=1e-3)
    trace = LavaBackend().run(graph, spikes)
    expected = get_backend("reference").run(graph, spikes)
    _assert_every_population_is_busy(expected)
    _assert_same_spikes(trace, expected)


def _gesture(folder: Path, name: str, graph: SpikingGraph, n_ticks: int) -> SpikeTrain:
    path = folder / "events_gesture" / "dvs128_gesture" / f"{name}.bs2"
    raw = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t_us = ((raw[:, 2] & 127) << 16) | (raw[:, 3] << 8) | raw[:, 4]
    events = EventStream(t_us, raw[:, 0], raw[:, 1], raw[:, 2] >> 7, (128, 128))
    return encode(graph, events, t0_us=int(events.t[0]), n_ticks=n_ticks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1", "2", "3", "4", "6", "8", "9"])
def test_change_detector_on_real_gestures(data_dir, name):
    graph = change_detector()
    spikes = _gesture(data_dir, name, graph, 2000)
    expected = get_backend("reference").run(graph, spikes)
    assert len(expected.out) > 100
    _assert_same_spikes(LavaBackend().run(graph, spikes), expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", [Precision.LOIHI, Precision.FLOAT64])
def test_patch_lif_on_a_real_gesture(data_dir, precision):
    graph = patch_lif(precision=precision)
    spikes = _gesture(data_dir, "4", graph, 2000)
    expected = get_backend("reference").run(graph, spikes)
    assert len(expected.out) > 100
    _assert_same_spikes(LavaBackend().run(graph, spikes), expected)


@pytest.mark.slow
def test_change_detector_in_float64_on_a_real_gesture(data_dir):
    graph = change_detector(precision="float64")
    spikes = _gesture(data_dir, "1", graph, 2000)
    expected = get_backend("reference").run(graph, spikes)
    _assert_same_spikes(LavaBackend().run(graph, spikes), expected)


def _one_population(node, *, bias=None):
    size = node.v_threshold.size
    weight = np.full((size, 2), 10.0)
    linear = nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "synapses": linear,
        "cells": node,
        "output": nir.Output({"output": np.array([size])}),
    }
    edges = [("input", "synapses"), ("synapses", "cells"), ("cells", "output")]
    return SpikingGraph(nir.NIRGraph(nodes, edges), Dynamics())


def _silence(n_ticks: int) -> SpikeTrain:
    return SpikeTrain(np.empty(0), np.empty(0), n_ticks, (2,), 1e-3)


def test_no_ticks_give_empty_trains():
    trace = LavaBackend().run(_one_population(_neurons(3, 1024, 1024, 100)), _silence(0))
    assert (len(trace.out), trace.out.n_ticks, trace.out.n_neurons) == (0, 0, 3)


def test_no_ticks_give_empty_probes():
    graph = _one_population(_neurons(3, 1024, 1024, 100))
    probes = [probe("cells", ["v", "s"])]
    got = LavaBackend().run(graph, _silence(0), probes=probes).probed["cells"]
    assert {name: (values.shape, values.dtype.type) for name, values in got.items()} == {
        "v": ((0, 3), np.int64),
        "s": ((0, 3), np.bool_),
    }


def test_stock_models_refuse_decays_that_differ_between_neurons():
    graph = _one_population(_neurons(3, np.array([1024, 1024, 512]), 1024, 100))
    with pytest.raises(GraphError, match=r"'lava \(stock models\)': node 'cells': decays 512 to"):
        LavaBackend(models="stock").run(graph, _silence(10))


def test_stock_models_refuse_a_bias_and_name_who_can():
    graph = _one_population(_neurons(3, 1024, 1024, 100), bias=np.array([0.0, 7.0, 0.0]))
    with pytest.raises(GraphError, match=r"node 'cells': bias 7: .*; use .*lava"):
        LavaBackend(models="stock").run(graph, _silence(10))


def test_stock_models_refuse_probes_of_state():
    graph = _one_population(_neurons(3, 1024, 1024, 100))
    with pytest.raises(UsageError, match=r"probe of 'cells': .* no port for u; use models='auto'"):
        LavaBackend(models="stock").run(graph, _silence(10), probes=[probe("cells", ["s", "u"])])


def test_float32_is_refused():
    graph = _one_population(_neurons(3, 1024, 1024, 100)).with_precision("float32")
    with pytest.raises(GraphError, match=r"'lava': precision float32 is not exact there"):
        LavaBackend().run(graph, _silence(10))


def test_starting_from_a_state_is_refused():
    graph = _one_population(_neurons(3, 1024, 1024, 100))
    state = get_backend("reference").run(graph, _silence(10)).state
    with pytest.raises(GraphError, match=r"'lava': cannot start from a state"):
        LavaBackend().run(graph, _silence(10), state)


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("lava.magma.core.run_conditions", r"pip install .*lava-nc==0\.10\.0"),
        ("networkx", "pip install networkx"),
    ],
)
def test_without_lava_the_message_holds_the_command(monkeypatch, module, command):
    monkeypatch.setitem(sys.modules, module, None)
    graph = _one_population(_neurons(3, 1024, 1024, 100))
    with pytest.raises(MissingComponentError, match=command):
        LavaBackend().run(graph, _silence(10))


def test_hardware_without_intels_extension_says_so():
    graph = _one_population(_neurons(3, 1024, 1024, 100))
    with pytest.raises(MissingComponentError, match=r"needs Intel's Lava extension for Loihi"):
        LavaBackend(hardware=True).run(graph, _silence(10))


def test_unknown_generation_is_refused():
    with pytest.raises(UsageError, match="simulate must be loihi1 or loihi2, got 'loihi3'"):
        LavaBackend(simulate="loihi3")


def test_unknown_models_are_refused():
    with pytest.raises(UsageError, match="models must be auto or stock or own, got 'mine'"):
        LavaBackend(models="mine")
