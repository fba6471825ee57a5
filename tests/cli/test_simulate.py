"""``simulate``: the trace file, and a person's own NIR graph."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping

import nir
import numpy as np
import pytest

from neurovlm.events.stream import EventStream

SIDE = 34


def load(path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def assert_sorted_once(tick: np.ndarray, neuron: np.ndarray) -> None:
    """By tick, then neuron, each pair once."""
    assert tick.dtype == neuron.dtype == np.int64
    assert len(tick) == len(neuron)
    slots = tick * (neuron.max(initial=0) + 1) + neuron
    assert (np.diff(slots) > 0).all()


def test_the_trace_file_holds_every_population(call, recording, tmp_path):
    path = tmp_path / "trace.npz"
    called = call("simulate", recording, "--out", path)
    assert (called.code, called.err) == (0, "")
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]
    trace = load(path)
    assert set(trace) == {"tick", "neuron", "n_ticks", "n_neurons"} | {
        f"{name}_{part}" for name in "ACDFR" for part in ("tick", "neuron")
    }
    assert (int(trace["n_ticks"]), int(trace["n_neurons"])) == (6 * 25 + 3, 196)
    assert trace["n_ticks"].dtype == trace["n_neurons"].dtype == np.int64
    for prefix in ("", "A_", "C_", "D_", "F_", "R_"):
        assert_sorted_once(trace[f"{prefix}tick"], trace[f"{prefix}neuron"])
    assert 0 < len(trace["tick"]) < len(trace["F_tick"])
    assert trace["tick"].max() < 153 and trace["neuron"].max() < 196


def test_json_counts_what_the_file_holds(call, recording, tmp_path):
    called = call("simulate", recording, "--out", tmp_path / "t.npz", "--json")
    assert called.err == ""
    summary = json.loads(called.out)
    trace = load(tmp_path / "t.npz")
    counts = {name: p["spikes"] for name, p in summary["populations"].items()}
    assert counts["H"] == len(trace["tick"])
    assert all(counts[name] == len(trace[f"{name}_tick"]) for name in "ACDFR")
    assert summary["dynamics"]["precision"] == "loihi"
    assert summary["n_ticks"] == trace["n_ticks"]
    assert summary["notes"] == []


@pytest.mark.parametrize("graph", ["change-detector", "patch-lif"])
def test_backends_agree_from_the_command_line(graph, call, recording, tmp_path):
    traces = []
    for backend in ("fast", "reference", "snntorch"):
        path = tmp_path / f"{backend}.npz"
        options = ["--graph", graph, "--backend", backend, "--precision", "float64"]
        assert call("simulate", recording, "--out", path, "--stop", "0.06", *options).code == 0
        traces.append(load(path))
    assert len(traces[0]["tick"])
    for other in traces[1:]:
        assert traces[0].keys() == other.keys()
        assert all(np.array_equal(traces[0][name], other[name]) for name in other)


def test_a_trace_is_replaced_whole(call, recording, tmp_path):
    path = tmp_path / "deep" / "t.npz"
    assert call("simulate", recording, "--out", path).code == 0
    before = load(path)
    assert call("simulate", recording, "--out", path, "--stop", "0.05").code == 0
    assert load(path)["n_ticks"] < before["n_ticks"]
    assert [p.name for p in path.parent.iterdir()] == ["t.npz"]


# A person's own graph


@pytest.fixture
def saccade(tmp_path):
    """0.1 s on 34 x 34 pixels, at most one event per pixel, polarity and 0.1 ms."""
    rng = np.random.default_rng(3)
    t = np.sort(rng.integers(0, 100_000, 3000))
    x, y = rng.integers(0, SIDE, (2, 3000))
    stream = EventStream(t, x, y, rng.random(3000) < 0.5, (SIDE, SIDE))
    columns = {name: getattr(stream, name) for name in "txyp"}
    np.savez(tmp_path / "saccade.npz", sensor=stream.sensor, **columns)
    return stream, tmp_path / "saccade.npz"


def classifier(tau_s: float, *, recurrent: bool = False, **changes: nir.NIRNode) -> nir.NIRGraph:
    """Input -> Flatten -> Affine -> LIF -> Output, named by number as exporters do."""
    rng = np.random.default_rng(4)
    n, full = 10, np.ones(10)
    lif = nir.LIF(full * tau_s, full * 1.5, full * 0, full * 1.0, full * 0)
    nodes = {
        "input": nir.Input({"input": np.array([2, SIDE, SIDE])}),
        "0": nir.Flatten({"input": np.array([2, SIDE, SIDE])}, 0, -1),
        "1": nir.Affine(rng.normal(0, 1, (n, 2 * SIDE * SIDE)), rng.normal(0.1, 0.05, n)),
        "2.lif": lif,
        "output": nir.Output({"output": np.array([n])}),
    }
    edges = [("input", "0"), ("0", "1"), ("1", "2.lif"), ("2.lif", "output")]
    if recurrent:
        nodes["2.w_rec"] = nir.Linear(rng.normal(0, 0.5, (n, n)))
        edges += [("2.lif", "2.w_rec"), ("2.w_rec", "2.lif")]
    return nir.NIRGraph({**nodes, **changes}, edges)


def by_hand(graph: nir.NIRGraph, stream: EventStream, dt_us: int, n_ticks: int) -> np.ndarray:
    """Euler steps of the NIR equations, every connection one tick late: ``(n_ticks, 10)``."""
    nodes: Mapping[str, nir.NIRNode] = graph.nodes
    affine, lif = nodes["1"], nodes["2.lif"]
    back = nodes["2.w_rec"].weight if "2.w_rec" in nodes else np.zeros((10, 10))
    fed = np.zeros((n_ticks, 2 * SIDE * SIDE))
    tick = (stream.t - stream.t[0]) // dt_us
    fed[tick, (stream.p * SIDE + stream.y.astype(int)) * SIDE + stream.x] = 1
    v, before, arrived = np.zeros(10), np.zeros(10), np.zeros(fed.shape[1])
    fired = np.zeros((n_ticks, 10), bool)
    for k in range(n_ticks):
        current = affine.weight @ arrived + affine.bias + back @ before
        v = v + dt_us / 1e6 / lif.tau * (lif.v_leak - v + lif.r * current)
        fired[k] = v > lif.v_threshold
        v = np.where(fired[k], 0.0, v)
        arrived, before = fed[k], fired[k].astype(float)
    return fired


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(("dt_ms", "tau_s"), [(None, 8e-3), (0.1, 1e-3), (0.5, 4e-3)])
def test_a_hand_written_graph_runs_as_its_equations_say(
    recurrent, dt_ms, tau_s, call, saccade, tmp_path
):
    stream, path = saccade
    graph = classifier(tau_s, recurrent=recurrent)
    nir.write(str(tmp_path / "mine.nir"), graph)
    options = ["--graph", tmp_path / "mine.nir", "--precision", "float64"]
    options += [] if dt_ms is None else ["--dt-ms", dt_ms]
    called = call("simulate", path, "--out", tmp_path / "t.npz", *options)
    assert (called.code, called.err) == (0, "")
    trace = load(tmp_path / "t.npz")
    assert set(trace) == {"tick", "neuron", "n_ticks", "n_neurons"}
    assert int(trace["n_neurons"]) == 10
    dt_us = 1000 if dt_ms is None else round(dt_ms * 1000)
    assert int(trace["n_ticks"]) == -(-stream.duration_us // (25 * dt_us)) * 25 + 1
    expected = by_hand(graph, stream, dt_us, int(trace["n_ticks"]))
    assert 20 < expected.sum() < expected.size / 2
    assert np.array_equal(np.argwhere(expected), np.column_stack([trace["tick"], trace["neuron"]]))
    assert f"ticks of {dt_us / 1000:g} ms" in " ".join(called.out.split())


def test_the_default_precision_says_what_it_cannot_hold(call, saccade, tmp_path):
    nir.write(str(tmp_path / "mine.nir"), classifier(8e-3))
    called = call(
        "simulate", saccade[1], "--graph", tmp_path / "mine.nir", "--out", tmp_path / "t.npz"
    )
    assert called.code == 2
    assert "Loihi precision needs integer weights" in called.message
    assert "--precision float64" in called.message


def flat_input() -> nir.NIRGraph:
    nodes = dict(classifier(8e-3).nodes)
    del nodes["0"]
    nodes["input"] = nir.Input({"input": np.array([2 * SIDE * SIDE])})
    return nir.NIRGraph(nodes, [("input", "1"), ("1", "2.lif"), ("2.lif", "output")])


def thresholds_only() -> nir.NIRGraph:
    sound = classifier(8e-3)
    return nir.NIRGraph({**sound.nodes, "2.lif": nir.Threshold(np.ones(10))}, sound.edges)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (flat_input, "change its Input node"),
        (thresholds_only, "node '2.lif': no backend runs a Threshold"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_by_node(graph, expected, call, saccade, tmp_path):
    nir.write(str(tmp_path / "bad.nir"), graph())
    options = ["--graph", tmp_path / "bad.nir", "--precision", "float64"]
    called = call("simulate", saccade[1], "--out", tmp_path / "t.npz", *options)
    assert called.code == 2
    assert expected in called.message
    assert not (tmp_path / "t.npz").exists()


def test_a_file_that_is_no_graph_is_a_bad_file(call, saccade, tmp_path):
    (tmp_path / "bad.nir").write_bytes(b"not a graph")
    options = ["--graph", tmp_path / "bad.nir", "--out", tmp_path / "t.npz"]
    called = call("simulate", saccade[1], *options)
    assert called.code == 3
    assert "cannot be read as a NIR graph" in called.message


def test_a_real_saccade_on_a_persons_graph(call, data_dir, tmp_path):
    with zipfile.ZipFile(data_dir / "events_nmnist/nmnist_small_train1000.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("1.bs2"))
        (tmp_path / "1.bs2").write_bytes(archive.read(name))
    nir.write(str(tmp_path / "mine.nir"), classifier(8e-3))
    options = ["--graph", tmp_path / "mine.nir", "--precision", "float64", "--sensor", "34x34"]
    called = call("simulate", tmp_path / "1.bs2", "--out", tmp_path / "t.npz", "--json", *options)
    assert called.code == 0
    assert json.loads(called.out)["input_spikes"] > 1000
