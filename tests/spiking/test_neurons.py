"""Every neuron kind and axonal delays, against one neuron at a time in plain Python."""

from __future__ import annotations

import math

import nir
import numpy as np
import pytest

from neurovlm.core.errors import BackendError, GraphError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import probe
from neurovlm.spiking.train import SpikeTrain

DT = 1e-3
T = 300


def graph_of(node, weights, *, extension=None, delay=None, bits=0, precision="loihi"):
    """Input -> (delay) -> weights -> node -> output."""
    n_in = weights.shape[1]
    nodes = {
        "input": nir.Input({"input": np.array([n_in])}),
        "w": nir.Linear(weights.astype(float)),
        "n": node,
        "output": nir.Output({"output": np.array([len(weights)])}),
    }
    edges = [("w", "n"), ("n", "output")]
    if delay is None:
        edges.append(("input", "w"))
    else:
        nodes["d"] = nir.Delay(np.asarray(delay) * DT)
        edges += [("input", "d"), ("d", "w")]
    extensions = {"n": extension or Extension(), "input": Extension(message_bits=bits)}
    dynamics = Dynamics(precision=precision, allow_wrap=True)
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "g", extensions)


def spikes_of(n, rate=0.3, seed=0, bits=0):
    rng = np.random.default_rng(seed)
    raster = rng.random((T, n)) < rate
    if not bits:
        return SpikeTrain.from_dense(raster, dt_s=DT)
    payload = raster * rng.integers(1, 1 << bits, (T, n))
    return SpikeTrain.from_dense(payload, dt_s=DT, graded=True)


def run(graph, spikes, variables=()):
    return get_backend("reference").run(graph, spikes, probes=[probe("n", variables)])


def test_refractory_and_adaptive_neurons_follow_the_equations():
    rng = np.random.default_rng(5)
    weights, du, dv, vth = rng.integers(0, 90, (7, 5)), 800, 300, 120
    tau, step, wait = 20e-3, 40, 3
    extension = Extension(refractory_s=wait * DT, adapt_tau_s=tau, adapt_step=step)
    graph = graph_of(neurons(7, du=du, dv=dv, vth=vth), weights, extension=extension)
    spikes = spikes_of(5)
    got = run(graph, spikes, ("u", "v", "w", "wait", "s"))
    dw, fired = round(4096 * DT / tau), 0
    for i in range(7):
        u = v = w = left = 0
        for tick in range(T):
            before = spikes.neuron[spikes.tick == tick - 1]
            u = math.trunc(u * (4095 - du) / 4096) + 64 * int(weights[i, before].sum())
            v = math.trunc(v * (4096 - dv) / 4096) + u
            w = math.trunc(w * (4096 - dw) / 4096)
            held = left > 0
            v = 0 if held else v
            s = not held and v > 64 * vth + w
            v, w = (0, w + 64 * step) if s else (v, w)
            left = wait if s else max(left - 1, 0)
            fired += s
            row = [got.probed["n"][name][tick, i] for name in ("u", "v", "w", "wait", "s")]
            assert row == [u, v, w, left, s]
    assert fired > 50
    assert got.out.dense().sum() == fired


@pytest.mark.parametrize("encoding", ["delta", "sigma-delta", "sigma-delta-relu"])
@pytest.mark.parametrize("precision", ["loihi", "float64", "float32"])
def test_encoders_follow_the_equations(encoding, precision):
    rng = np.random.default_rng(6)
    weights, vth = rng.integers(-6, 7, (4, 5)) * 2, 26
    node = nir.IF(np.full(4, 1 / DT), np.full(4, float(vth)))
    extension = Extension(encoding=encoding)
    graph = graph_of(node, weights, extension=extension, bits=4, precision=precision)
    spikes = spikes_of(5, bits=4, seed=1)
    got = run(graph, spikes, ("s",)).probed["n"]["s"]
    values = spikes.dense_values()
    sigma, act, residue = np.zeros((3, 4), int)
    for tick in range(T):
        a = weights @ values[tick - 1] if tick else np.zeros(4, int)
        sigma = a if encoding == "delta" else sigma + a
        new = np.maximum(sigma, 0) if encoding.endswith("relu") else sigma
        delta = new - act + residue
        sent = np.where(np.abs(delta) >= vth, delta, 0)
        act, residue = new, delta - sent
        assert np.array_equal(got[tick], sent)
    assert (got != 0).sum() > 50
    assert (np.abs(got) == vth).any() or encoding != "delta"


def test_what_is_sent_adds_up_to_the_activation():
    """Messages plus residue are the activation: nothing is lost."""
    node = nir.IF(np.full(3, 1 / DT), np.full(3, 40.0))
    weights = np.array([[3, 5], [0, 7], [2, 2]])
    graph = graph_of(node, weights, extension=Extension(encoding="sigma-delta"), bits=3)
    got = run(graph, spikes_of(2, bits=3), ("s", "act", "residue")).probed["n"]
    assert np.array_equal(got["s"].cumsum(axis=0) + got["residue"], got["act"])


def test_an_activation_that_leaves_24_bits_is_an_error():
    node = nir.IF(np.full(1, 1 / DT), np.full(1, 1.0))
    graph = graph_of(node, np.array([[255]]), extension=Extension(encoding="sigma-delta"), bits=23)
    full = np.full((4, 1), 2**23 - 1)
    with pytest.raises(BackendError, match=r"node 'n': an activation reached .* left 24 bits"):
        run(graph, SpikeTrain.from_dense(full, dt_s=DT, graded=True))


def test_an_integrator_never_fires_and_keeps_the_sum():
    """nir.I has no leak: v is 64 times the weights of all spikes delivered so far."""
    weights = np.array([[3, -2]]) * 2
    graph = graph_of(nir.I(np.array([1 / DT])), weights)
    spikes = spikes_of(2)
    trace = run(graph, spikes, ("v",))
    delivered = np.vstack([np.zeros((1, 2), int), spikes.dense()[:-1]]).cumsum(axis=0)
    assert np.array_equal(trace.probed["n"]["v"][:, 0], 64 * (delivered @ weights[0]))
    assert len(trace.out) == 0


def test_delays_shift_each_source_by_its_own_ticks():
    """Without leak in u, v or threshold crossings the arrival times are all that matters."""
    node = neurons(3, du=4095, dv=4095, vth=5)
    graph = graph_of(node, 10 * np.eye(3), delay=[0, 2, 5])
    once = np.zeros((12, 3))
    once[1] = 1
    trace = run(graph, SpikeTrain.from_dense(once, dt_s=DT))
    assert sorted(zip(trace.out.neuron.tolist(), trace.out.tick.tolist(), strict=True)) == [
        (0, 2), (1, 4), (2, 7),
    ]  # fmt: skip
    assert trace.connections[0].synops == 3


def test_delayed_spikes_survive_a_cut_and_are_counted_once():
    graph = graph_of(neurons(3, du=900, dv=200, vth=60), 30 * np.ones((3, 4)), delay=[0, 1, 4, 9])
    spikes = spikes_of(4)
    backend = get_backend("reference")
    whole = backend.run(graph, spikes)
    for cut in (1, 3, 150, T - 1):
        first = backend.run(graph, spikes.between(0, cut))
        second = backend.run(graph, spikes.between(cut, T), first.state)
        both = type(whole).join([first, second])
        assert both.out.differing(whole.out) == 0
        assert both.connections == whole.connections


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: graph_of(IF1, ONE, delay=[0.5]), r"node 'd': a delay must be a whole number"),
        (lambda: graph_of(IF1, ONE, delay=[-1]), r"node 'd': a delay must be a whole number"),
        (lambda: graph_of(IF1, ONE, delay=[np.nan]), r"node 'd': a delay must be a whole number"),
        (lambda: graph_of(IF1, ONE, extension=Extension(refractory_s=1.5e-3)), "refractory_s"),
        (lambda: graph_of(IF1, ONE, extension=Extension(message_bits=2)), "message_bits does not"),
        (lambda: graph_of(LI1, ONE, extension=Extension(refractory_s=DT)), "does not fit a LI"),
        (lambda: graph_of(LIF1, ONE, extension=Extension(encoding="delta")), "encoding does not"),
        (lambda: graph_of(IF1, 0.5 * ONE, extension=Extension(encoding="delta")), "weight of 0.5"),
        (lambda: Extension(adapt_step=3), "adapt_tau_s and adapt_step go together"),
        (lambda: Extension(refractory_s=-1), "refractory_s must be a number of at least 0"),
        (lambda: Extension(encoding="rate"), "encoding must be one of"),
        (lambda: Extension(message_bits=24), "message_bits must be 0 to 23"),
    ],
)  # fmt: skip
def test_bad_extensions_are_named(build, message):
    with pytest.raises(GraphError, match=message):
        build()


ONE = np.ones((1, 1))
IF1 = nir.IF(np.array([1 / DT]), np.array([5.0]))
LI1 = nir.LI(np.array([10 * DT]), np.array([1.0]), np.array([0.0]))
LIF1 = nir.LIF(np.array([10 * DT]), np.array([10.0]), np.array([0.0]), np.array([5.0]))


def test_an_integrator_feeds_no_other_node():
    nodes = {
        "input": nir.Input({"input": np.array([1])}),
        "li": LI1,
        "w": nir.Linear(ONE),
        "n": IF1,
        "output": nir.Output({"output": np.array([1])}),
    }
    edges = [("input", "li"), ("li", "w"), ("w", "n"), ("n", "output")]
    with pytest.raises(GraphError, match="node 'li': a LI never fires"):
        SpikingGraph(nir.NIRGraph(nodes, edges), Dynamics())
