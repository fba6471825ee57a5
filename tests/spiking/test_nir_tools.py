"""The tools installed here, run through their own imports beside the reference."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

from neurovlm.core.errors import BackendError, GraphError, MissingComponentError, UsageError
from neurovlm.spiking import nir_io
from neurovlm.spiking.contract import CASES, layered, neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.nir_bridge.agree import compare, sample_spikes
from neurovlm.spiking.nir_bridge.check import check
from neurovlm.spiking.nir_bridge.convert import convert
from neurovlm.spiking.nir_bridge.runners import run_import
from neurovlm.spiking.nir_bridge.writing import to_tool

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nir"
TOOLS = ("snntorch", "norse")
FLOAT = Dynamics(precision="float32")
ONE_STEP = [
    "ties-at-threshold",
    "consecutive-firing",
    "negative-state",
    "parallel-connections",
    "integrate-and-fire",
    "bias",
]


@pytest.mark.parametrize(
    ("stem", "tool", "confirmed"),
    [
        ("snntorch_leaky", "snntorch", {"reset": "zero"}),
        ("snntorch_synaptic", "snntorch", {"reset": "zero"}),
        ("snntorch_conv", "snntorch", {"reset": "zero"}),
        ("norse_lifbox", "norse", {}),
        ("norse_lif", "norse", {}),
        ("norse_iaf", "norse", {}),
    ],
)
def test_files_of_an_installed_tool_agree_with_it(stem, tool, confirmed):
    got = check(FIXTURES / f"{stem}.nir", tool, ticks=120, seed=5, **confirmed)
    got.require()
    assert got.theirs > 100
    assert got.ticks == 120


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", ONE_STEP)
def test_our_graphs_agree_once_written_for_a_tool(name, tool):
    graph, _ = next(case for case in CASES if case.name == name).build()
    got = check(graph, tool, ticks=48)
    got.require()
    assert "compared in float32" in got.notes[0]
    assert got.theirs > 500


def image_graph(groups=2):
    """Scale, (grouped) convolution, both pools, flatten, per-neuron decays."""
    rng = np.random.default_rng(4)
    kernel = rng.integers(-8, 40, (4, 2 // groups, 3, 3)) * 1.0
    two = np.array([2, 2])
    loss = np.linspace(600, 3000, 144).reshape(4, 6, 6)
    zero, threshold = np.zeros((4, 6, 6)), np.full((4, 6, 6), 70.0)
    flat = np.full(5, 3e-3)
    nodes = {
        "input": nir.Input({"input": np.array([2, 6, 6])}),
        "conv": nir.Conv2d((6, 6), kernel, 1, 1, 1, groups, np.array([1.0, 0, 0, 2])),
        "if": nir.LIF(1e-3 * 4096 / loss, 4096 / loss, zero, threshold, zero),
        "sum": nir.SumPool2d(two, two, 0 * two),
        "mean": nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), 0 * two),
        "flat": nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        "scale": nir.Scale(np.array([30.0, 40.0, 50.0, 60.0])),
        "w": nir.Linear(rng.integers(-1, 4, (5, 4)) * 1.0),
        "n": nir.CubaLIF(flat, 2 * flat, flat * 0 + 2, flat * 0, flat * 0 + 9.0, flat * 0),
        "output": nir.Output({"output": np.array([5])}),
    }
    whole = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
    return SpikingGraph(whole, FLOAT)


@pytest.mark.parametrize("tool", TOOLS)
def test_convolutions_pools_and_scales_agree(tool):
    got = check(image_graph(), tool, ticks=120)
    got.require()
    assert 50 < got.theirs < got.ticks * got.neurons - 50


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_for_a_tool_is_its_own_and_valid(tool, tmp_path):
    path = tmp_path / "theirs.nir"
    graph = image_graph(groups=1)
    nir_io.save(graph, path)
    assert len(list(tmp_path.iterdir())) == 2
    nir_io.save(graph, path, dialect=tool)
    assert list(tmp_path.iterdir()) == [path], "the sidecar of the old file would be wrong"
    spikes = sample_spikes(72, ticks=60)
    out = run_import(nir.read(str(path)), spikes.reshape(60, 2, 6, 6), tool)
    compare(graph, spikes, out, tool).require()


def test_the_path_of_a_file_of_ours_is_checked_as_its_graph(tmp_path):
    path = tmp_path / "ours.nir"
    nir_io.save(image_graph(groups=1), path)
    of_path, of_graph = (check(g, "snntorch", ticks=60) for g in (path, image_graph(groups=1)))
    assert of_path == of_graph
    of_path.require()


def test_a_loop_is_kept_within_its_population():
    """Norse's and snnTorch's imports both fail on it, so the tool's own layer is run."""
    import snntorch

    rng = np.random.default_rng(7)
    weights = {"w": rng.integers(0, 60, (8, 6)), "rec": rng.integers(-40, 30, (8, 8))}
    graph = layered(
        {"w": ("input", "a", weights["w"]), "rec": ("a", "a", weights["rec"])},
        {"a": neurons(8, du=4095, dv=512, vth=100)},
        "a",
        FLOAT,
    )
    cell = snntorch.RLeaky(
        beta=1 - 512 / 4096,
        threshold=100.0,
        linear_features=8,
        reset_mechanism="zero",
        reset_delay=False,
        init_hidden=True,
    )
    cell.recurrent.weight.data = torch.tensor(weights["rec"], dtype=torch.float32)
    cell.recurrent.bias.data.zero_()
    linear = torch.nn.Linear(6, 8, bias=False)
    linear.weight.data = torch.tensor(weights["w"], dtype=torch.float32)
    got = check(graph, "snntorch", module=torch.nn.Sequential(linear, cell))
    got.require()
    assert got.lag == 1


def two_ways(precision="float32"):
    return layered(
        {
            "in_a": ("input", "a", np.full((3, 4), 40)),
            "a_b": ("a", "b", np.full((2, 3), 40)),
            "in_b": ("input", "b", np.full((2, 4), 20)),
        },
        {"a": neurons(3, du=4095, dv=99, vth=90), "b": neurons(2, du=4095, dv=99, vth=90)},
        "b",
        Dynamics(precision=precision),
    )


def two_thresholds():
    node = neurons(3, du=4095, dv=99, vth=90)
    node.v_threshold[0] += 10
    return layered({"w": ("input", "a", np.full((3, 4), 40))}, {"a": node}, "a", FLOAT)


def by_name(name):
    return next(case for case in CASES if case.name == name).build()[0]


@pytest.mark.parametrize(
    ("graph", "tool", "message"),
    [
        (two_ways(), "snntorch", "node 'a_b': reaches 'b' 1 ticks too late for a tool that passes"),
        (two_thresholds(), "snntorch", "node 'a': snnTorch's import takes one threshold"),
        (by_name("refractory"), "norse", "norse cannot represent a refractory period"),
        (by_name("delays-per-neuron"), "norse", "delays that differ between neurons"),
        (by_name("leaky-integrator"), "snntorch", "cannot represent neurons that never fire"),
    ],
)
def test_what_a_tool_cannot_represent_is_refused(graph, tool, message):
    with pytest.raises(GraphError, match=message):
        to_tool(graph, tool)


def recurrent():
    return layered(
        {"w": ("input", "a", np.full((3, 4), 40)), "r": ("a", "a", np.full((3, 3), -9))},
        {"a": neurons(3, du=4095, dv=99, vth=90)},
        "a",
        FLOAT,
    )


def test_loops_are_refused_where_the_import_is_wrong():
    with pytest.raises(
        GraphError, match=r"node 'r': snnTorch 1.0.0 cannot import recurrent graphs"
    ):
        to_tool(recurrent(), "snntorch")
    with pytest.raises(GraphError, match=r"node 'a': Norse 1.1.0 runs a node with several inputs"):
        to_tool(recurrent(), "norse")
    with pytest.raises(UsageError, match="written for snntorch, norse, got 'sinabs'"):
        to_tool(recurrent(), "sinabs")


def test_snntorch_cannot_take_its_own_recurrent_file_back(tmp_path):
    """When this fails, the refusal of loops above can go."""
    path = FIXTURES / "snntorch_rleaky.nir"
    with pytest.raises(BackendError, match=r"snntorch .* cannot import this graph"):
        check(path, "snntorch", reset="zero")
    done = convert(path, tmp_path / "o.nir", from_tool="snntorch", reset="zero")
    assert done["tests"][0]["run"] is False
    assert "cannot import this graph" in done["tests"][0]["why"]


def test_norse_misreads_its_own_files():
    """When this fails, ``reads_itself`` of its dialect can become true."""
    file = FIXTURES / "norse_lifbox.nir"
    with np.load(FIXTURES / "norse_lifbox.npz") as made:
        out = run_import(nir_io.read(file), made["input"], "norse")
        assert ((out != 0) != (made["output"] != 0)).sum() > 500


def test_norse_runs_a_node_before_some_of_its_inputs():
    """When this fails, nodes with several inputs can be written for Norse."""
    one, rng = np.ones(3), np.random.default_rng(8)
    exc, inh = rng.random((3, 4)), -rng.random((3, 4)) / 2
    nodes = {"input": nir.Input({"input": np.array([4])}), "both": nir.Affine(exc + inh, 0 * one)}
    nodes |= {"n": nir.IF(one, 3 * one), "output": nir.Output({"output": np.array([3])})}
    whole = nir.NIRGraph(nodes, list(pairwise(nodes)))
    parts = {"exc": nir.Affine(exc, 0 * one), "inh": nir.Affine(inh, 0 * one)}
    edges = [("input", "exc"), ("input", "inh"), ("exc", "n"), ("inh", "n")]
    halves = nir.NIRGraph(nodes | parts, [*edges, ("n", "output")], type_check=False)
    del halves.nodes["both"]
    spikes = sample_spikes(4, ticks=60)
    assert not np.array_equal(*(run_import(g, spikes, "norse") for g in (whole, halves)))


def test_a_tool_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "norse", None)
    with pytest.raises(MissingComponentError, match="self-test with norse needs the package"):
        check(FIXTURES / "norse_lif.nir", "norse")
    with pytest.raises(UsageError, match="'sinabs' does not install beside this package"):
        check(FIXTURES / "sinabs_lif.nir", "sinabs", reset="zero", norm_input=True)


def test_differing_spikes_stop_a_conversion(tmp_path, monkeypatch):
    """A reference that is one weight off: nothing is written, and the first slot is named."""
    path = FIXTURES / "norse_lif.nir"
    wrong = to_tool(nir_io.load(path, dialect="norse"), "norse").graph
    wrong.nodes["2"] = nir.Affine(wrong.nodes["2"].weight + 0.1, wrong.nodes["2"].bias)
    monkeypatch.setattr(
        "neurovlm.spiking.nir_bridge.check.to_tool",
        lambda graph, tool: type("E", (), {"graph": wrong}),
    )
    with pytest.raises(GraphError, match=r"self-test failed, nothing was written: .*first at tick"):
        convert(path, tmp_path / "o.nir", from_tool="norse")
    assert not list(tmp_path.iterdir())
    done = convert(path, tmp_path / "o.nir", from_tool="norse", test=False)
    assert done["tests"] == []


def test_two_silent_networks_prove_nothing():
    graph = layered(
        {"w": ("input", "a", np.ones((2, 3)))}, {"a": neurons(2, du=4095, dv=4095, vth=90)}, "a"
    )
    got = check(graph, "snntorch", ticks=12)
    assert got.differing == 0
    assert not got.equal
    with pytest.raises(GraphError, match="both are silent, which proves nothing"):
        got.require()


def test_spikes_of_another_size_are_refused():
    with pytest.raises(UsageError, match=r"the tool gave \(9, 7\)"):
        compare(two_ways_balanced(), np.zeros((9, 4)), np.zeros((9, 7)), "x")


def two_ways_balanced():
    return layered(
        {"in_a": ("input", "a", np.full((3, 4), 40))},
        {"a": neurons(3, du=4095, dv=99, vth=90)},
        "a",
        FLOAT,
    )
