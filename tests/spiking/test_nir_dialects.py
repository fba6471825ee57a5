"""Files of other tools give the spikes those tools made (tests/fixtures/nir)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking import nir_io
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.nir_bridge import dialects
from neurovlm.spiking.nir_bridge.agree import compare
from neurovlm.spiking.nir_bridge.reading import from_tool

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nir"
EQUAL = {
    "snntorch": "leaky synaptic rleaky conv",
    "norse": "lifbox lif iaf",
    "spikingjelly": "lif reset cuba ties conv1d",
    "sinabs": "lif plain iaf",
}
OTHERS = {"snntorch_soft", "norse_leak", "sinabs_multi"}
DT = 1e-4


def options(stem):
    confirmed = {"reset": "zero"} if stem.startswith(("snntorch", "sinabs")) else {}
    if stem.startswith("sinabs"):
        confirmed["norm_input"] = stem != "sinabs_plain"
    return {"dialect": stem.partition("_")[0]} | confirmed


def compared(stem):
    graph = nir_io.load(FIXTURES / f"{stem}.nir", **options(stem))
    with np.load(FIXTURES / f"{stem}.npz") as made:
        return compare(graph, made["input"], made["output"], stem)


def equal_stems():
    return [f"{tool}_{name}" for tool, names in EQUAL.items() for name in names.split()]


def test_every_fixture_is_used():
    assert {path.stem for path in FIXTURES.glob("*.nir")} == {*equal_stems(), *OTHERS}


@pytest.mark.parametrize("stem", equal_stems())
def test_the_spikes_are_the_tools(stem):
    got = compared(stem)
    got.require()
    assert (got.ticks, got.neurons, got.lag) == (240, 8, 2)
    assert 300 < got.theirs < got.ticks * got.neurons - 300


def test_a_soft_reset_cannot_be_told_from_the_file_and_gives_other_spikes():
    with pytest.raises(UsageError, match=r"snntorch_soft.nir: .*confirm with reset='zero'"):
        nir_io.load(FIXTURES / "snntorch_soft.nir", dialect="snntorch")
    got = compared("snntorch_soft")
    assert got.differing > 100
    with pytest.raises(GraphError, match=rf"{got.differing} of 1920 slots differ from snntorch"):
        got.require()


def test_several_spikes_in_a_step_are_reported():
    got = compared("sinabs_multi")
    assert got.differing > 100
    with pytest.raises(GraphError, match="sinabs_multi sent 5 spikes in one step"):
        got.require()


def test_a_potential_that_starts_elsewhere_is_refused():
    with pytest.raises(GraphError, match=r"norse_leak.nir: node '1': v_leak must be 0"):
        compared("norse_leak")


def test_ties_need_the_moved_threshold(monkeypatch):
    """In this network potentials meet the threshold exactly, where SpikingJelly fires."""
    monkeypatch.setattr(dialects, "just_below", lambda threshold: np.asarray(threshold, float))
    assert compared("spikingjelly_ties").differing > 50


def test_a_threshold_just_below_turns_strict_into_not_strict():
    threshold = np.array([1.0, 0.3, 100.0, 1e-3], np.float32)
    moved = dialects.just_below(threshold).astype(np.float32)
    below = np.nextafter(threshold, np.float32(0))
    assert (threshold > moved).all()
    assert not (below > moved).any()


def test_snntorchs_decays_come_back_bit_for_bit():
    beta = torch.rand(4000, generator=torch.Generator().manual_seed(1)) / 2 + 0.5
    tau = (1e-4 / (1 - beta.numpy())).astype(np.float32)  # as its export computes it
    one = np.ones_like(tau)
    graph = chain(nir.LIF(tau, (tau / 1e-4).astype(np.float32), 0 * one, one, 0 * one))
    network = from_tool(graph, "snntorch", reset="zero").graph.network
    keep = ((UNIT - network.populations[0].loss_v) / UNIT).astype(np.float32)
    assert np.array_equal(keep, beta.numpy())


def lif(n, beta=0.8, th=1.0):
    tau = np.full(n, DT / (1 - beta))
    return nir.LIF(tau, tau / DT, np.zeros(n), np.full(n, th), np.zeros(n))


def chain(*between, n_in=None):
    """Input, the nodes in a row, output."""
    n_in = between[0].tau.size if n_in is None else n_in
    nodes = {"input": nir.Input({"input": np.array([n_in])})}
    nodes |= {f"n{i}": node for i, node in enumerate(between)}
    nodes["output"] = nir.Output({"output": np.array([1])})
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def converted(graph, tool="snntorch", **confirmed):
    return from_tool(graph, tool, **({"reset": "zero"} | confirmed))


def test_short_cuts_are_delayed_so_that_the_lag_is_one_number():
    rng = np.random.default_rng(0)
    weights = [nir.Linear(rng.random(shape)) for shape in ((5, 6), (4, 5), (4, 4), (4, 6))]
    graph = chain(weights[0], lif(5), weights[1], lif(4), weights[2], lif(4), n_in=6)
    graph.nodes["skip"] = weights[3]
    graph.edges += [("input", "skip"), ("skip", "n5")]
    got = converted(graph)
    assert got.lag == 3
    delays = {c.name: set(c.delay.tolist()) for c in got.graph.network.connections}
    assert delays == {"n0": {0}, "n2": {0}, "n4": {0}, "skip+skip-n5-lag": {2}}


def test_nested_graphs_are_flattened():
    inner = chain(lif(3), n_in=3)
    inner.nodes["rec"] = nir.Linear(-np.eye(3))
    inner.edges += [("n0", "rec"), ("rec", "n0")]
    got = converted(chain(nir.Linear(np.eye(3)), inner, nir.Linear(np.eye(3)), lif(3), n_in=3))
    found = {(c.source, c.target): c.name for c in got.graph.network.connections}
    assert found == {
        ("input", "n1.n0"): "n0",
        ("n1.n0", "n1.n0"): "n1.rec",
        ("n1.n0", "n3"): "n2",
    }
    assert got.lag == 2


def loop_of_two():
    graph = chain(nir.Linear(np.eye(3)), lif(3), nir.Linear(np.eye(3)), lif(3), n_in=3)
    graph.nodes["back"] = nir.Linear(np.eye(3))
    graph.edges += [("n3", "back"), ("back", "n1")]
    return graph


def loop_entered_behind():
    graph = chain(nir.Linear(np.eye(3)), lif(3), n_in=3)
    graph.nodes["rec"] = nir.Linear(np.eye(3))
    graph.edges += [("n1", "rec"), ("rec", "n1"), ("n0", "rec")]
    return graph


def recurrent_synaptic():
    one = np.full(3, 2.0)
    graph = chain(nir.CubaLIF(one * DT, one * DT, one, 0 * one, one, 0 * one, one), n_in=3)
    graph.nodes["rec"] = nir.Linear(np.eye(3))
    graph.edges += [("n0", "rec"), ("rec", "n0")]
    return graph


def two_doors():
    inner = chain(lif(3), n_in=3)
    inner.nodes["second"] = nir.Input({"input": np.array([3])})
    return chain(nir.Linear(np.eye(3)), inner, n_in=3)


def unreached():
    graph = chain(lif(3))
    graph.nodes["alone"] = lif(2)
    return graph


ONE, NONE = np.ones(3), np.zeros(3)


@pytest.mark.parametrize(
    ("graph", "tool", "message"),
    [
        (loop_of_two(), "snntorch", "nodes 'n1', 'n3': a loop over 2 populations"),
        (loop_entered_behind(), "snntorch", "edge 'n0' -> 'rec': enters a recurrent loop behind"),
        (recurrent_synaptic(), "snntorch", r"node 'n0': .*RSynaptic.* use RLeaky"),
        (two_doors(), "norse", "node 'n1': a nested graph needs exactly one Input"),
        (unreached(), "norse", "node 'alone': the input does not reach it"),
        (chain(nir.IF(ONE, ONE), n_in=3), "snntorch", "node 'n0': snnTorch does not write a IF"),
        (chain(nir.I(ONE), n_in=3), "spikingjelly", "SpikingJelly does not write a I"),
        (chain(nir.Threshold(ONE), n_in=3), "norse", "node 'n0': no backend runs a Threshold"),
        (chain(lif(2), n_in=3), "norse", "node 'n0': tau has 2 values, 3 inputs"),
        (chain(nir.LIF(-ONE, ONE, NONE, ONE)), "norse", "node 'n0': tau must be positive, got -1"),
        (chain(nir.LIF(ONE * np.nan, ONE, NONE, ONE)), "sinabs", "tau must be positive, got nan"),
        (chain(nir.LIF(ONE, 2 * ONE, NONE, ONE)), "norse", "node 'n0': r must be 1 in this dial"),
        (chain(nir.LIF(ONE, ONE, ONE, ONE)), "snntorch", "node 'n0': v_leak must be 0"),
        (chain(nir.LIF(ONE, ONE, ONE, ONE)), "spikingjelly", "leaks to v_reset, got v_leak=1"),
        (chain(nir.LIF(ONE * 1e-7, ONE, NONE, ONE)), "norse", "tau must be at least dt"),
    ],
)
def test_what_no_graph_here_gives_is_refused(graph, tool, message):
    confirmed = {"norse": {}, "spikingjelly": {}, "sinabs": {"norm_input": True}}.get(tool, {})
    with pytest.raises(GraphError, match=message) as caught:
        converted(graph, tool, **confirmed)
    assert "\n" not in str(caught.value)


def test_neurons_with_one_value_get_the_shape_that_arrives():
    got = converted(chain(nir.Linear(np.eye(3)), lif(1), n_in=3))
    assert got.graph.network.population("n1").size == 3


def test_a_conv1d_is_a_matrix():
    weight = np.arange(1.0, 13).reshape(2, 2, 3)
    conv = nir.Conv1d(7, weight, 2, 1, 1, 1, np.array([0.5, -0.5]))
    graph = chain(conv, lif(1), n_in=14)
    graph.nodes["input"] = nir.Input({"input": np.array([2, 7])})
    got = converted(graph).graph.network
    signal = torch.tensor(np.random.default_rng(0).random((1, 2, 7)))
    bias = torch.tensor(conv.bias)
    expected = torch.nn.functional.conv1d(signal, torch.tensor(weight), bias, 2, 1)
    ours = got.connections[0].matrix @ signal.numpy().ravel() + got.populations[0].bias
    np.testing.assert_allclose(ours, expected.numpy().ravel(), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tool": "nengo"}, "Nengo has no NIR writer, and its LIF integrates the rest of the step"),
        ({"tool": "lava"}, "must be one of snntorch, norse, spikingjelly, sinabs, got 'lava'"),
        ({"tool": "norse", "reset": "subtract"}, "reset must be 'zero'"),
        ({"tool": "sinabs"}, "confirm with reset='zero'"),
        ({"tool": "sinabs", "reset": "zero"}, "does not say norm_input"),
        ({"tool": "norse", "norm_input": True}, "norm_input is for dialect 'sinabs'"),
    ],
)
def test_what_the_file_cannot_say_is_asked_for(arguments, message):
    with pytest.raises(UsageError, match=message):
        from_tool(chain(lif(3)), **arguments)


def test_dt_is_the_tick_and_for_norse_also_what_tau_was_written_with():
    file = FIXTURES / "norse_lifbox.nir"
    plain, fast = (nir_io.load(file, dialect="norse", dt_ms=dt) for dt in (None, 0.5))
    assert (plain.dynamics.dt_s, fast.dynamics.dt_s) == (1e-3, 5e-4)
    losses = [g.network.population("1").loss_v for g in (plain, fast)]
    np.testing.assert_allclose(losses[1], losses[0] / 4, rtol=1e-9)
    file = FIXTURES / "snntorch_leaky.nir"
    other = nir_io.load(file, dialect="snntorch", dt_ms=5.0, reset="zero")
    usual = nir_io.load(file, dialect="snntorch", reset="zero")
    np.testing.assert_allclose(
        other.network.population("1").loss_v, usual.network.population("1").loss_v, rtol=1e-12
    )


def test_a_file_of_ours_has_no_dialect(tmp_path):
    path = tmp_path / "ours.nir"
    nir_io.save(nir_io.load(FIXTURES / "norse_lif.nir", dialect="norse"), path)
    with pytest.raises(UsageError, match="was written by neurovlm; leave the dialect 'norse' out"):
        nir_io.load(path, dialect="norse")
    with pytest.raises(UsageError, match="give their dialect"):
        nir_io.load(path, reset="zero")


@pytest.mark.parametrize("stem", equal_stems())
def test_converted_graphs_round_trip_as_valid_nir(stem, tmp_path):
    graph = nir_io.load(FIXTURES / f"{stem}.nir", **options(stem))
    path = tmp_path / "ours.nir"
    nir_io.save(graph, path)
    assert nir_io.load(path).hash == graph.hash
    nir.read(str(path))
