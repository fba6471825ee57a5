"""Brian2 in both modes: the reference's spikes and states, and a process left as it was found."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from neurovlm.core.errors import BackendError, MissingComponentError, UsageError
from neurovlm.events.scenes.simple import moving_square
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.backends.brian.backend import Brian2Backend
from neurovlm.spiking.contract import (
    assert_same_spikes,
    case_named,
    neurons,
    random_input,
)
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.encoding import encode_events, grid_for
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature
from neurovlm.spiking.trace import Trace, probe
from neurovlm.spiking.train import SpikeTrain

DT = 1e-3
T = 200
PRECISIONS = ["loihi", "float64", "float32"]
RECURRENT = case_named("recurrent")


def everything(precision="loihi"):
    """Graded input, encoders with delays between them, adaptive refractory LIF, bias, a loop."""
    rng = np.random.default_rng(8)
    counting = nir.IF(np.full(6, 1 / DT), np.full(6, 9.0))
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "in_a": nir.Linear(rng.integers(-3, 8, (6, 4)) * 2.0),
        "a": counting,
        "late": nir.Delay(np.array([0, 1, 2, 0, 5, 3]) * DT),
        "a_b": nir.Linear(rng.integers(-3, 5, (6, 6)) * 2.0),
        "b": nir.IF(np.full(6, 1 / DT), np.full(6, 20.0)),
        "b_c": nir.Affine(rng.integers(-2, 5, (5, 6)) * 2.0, np.array([4.0, 0, 2, 2, 0])),
        "in_c": nir.Linear(rng.integers(0, 5, (5, 4)) * 2.0),
        "c": neurons(5, du=900, dv=200, vth=300),
        "slow": nir.Delay(np.array([3, 0, 1, 7, 2]) * DT),
        "c_c": nir.Linear(-20.0 * np.eye(5)),
        "output": nir.Output({"output": np.array([5])}),
    }
    edges = [
        ("input", "in_a"), ("in_a", "a"), ("a", "late"), ("late", "a_b"), ("a_b", "b"),
        ("b", "b_c"), ("b_c", "c"), ("input", "in_c"), ("in_c", "c"), ("c", "slow"),
        ("slow", "c_c"), ("c_c", "c"), ("c", "output"),
    ]  # fmt: skip
    extensions = {
        "input": Extension(message_bits=3),
        "a": Extension(encoding="sigma-delta-relu"),
        "b": Extension(encoding="delta"),
        "c": Extension(refractory_s=2 * DT, adapt_tau_s=20 * DT, adapt_step=40),
    }
    dynamics = Dynamics(precision=precision, allow_wrap=True)
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "everything", extensions)


def graded(n, n_ticks=T):
    rng = np.random.default_rng(9)
    payload = rng.integers(1, 8, (n_ticks, n)) * (rng.random((n_ticks, n)) < 0.3)
    return SpikeTrain.from_dense(payload, dt_s=DT, graded=True)


def probes(graph):
    return [probe(p.name, (*p.variables, "s")) for p in graph.network.populations]


def assert_same(got, expected):
    """Spikes, payloads, counts, every probed variable in every tick, and the state to go on."""
    assert_same_spikes(got, expected)
    assert got.connections == expected.connections
    for population, variables in expected.probed.items():
        for name, values in variables.items():
            assert np.array_equal(got.probed[population][name], values), (population, name)
            assert got.probed[population][name].dtype == values.dtype
    mine, theirs = got.state.to_arrays(), expected.state.to_arrays()
    assert mine.keys() == theirs.keys()
    for name, values in theirs.items():
        assert np.array_equal(mine[name], values), name
        assert mine[name].dtype == values.dtype


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_feature_at_once(precision):
    graph, spikes = everything(precision), graded(4)
    needed = set(Feature) - {Feature.INTEGRATOR, Feature.PER_NEURON}
    assert set(graph.network.needs) == needed
    expected = get_backend("reference").run(graph, spikes, probes=probes(graph))
    assert all(len(train) > 100 for train in expected.spikes.values())
    assert_same(Brian2Backend().run(graph, spikes, probes=probes(graph)), expected)


@pytest.mark.parametrize("cut", [1, 4, 93])
def test_delayed_and_graded_spikes_survive_a_cut(cut):
    graph, spikes = everything(), graded(4)
    whole = get_backend("reference").run(graph, spikes, probes=probes(graph))
    backend = Brian2Backend()
    first = backend.run(graph, spikes.between(0, cut), probes=probes(graph))
    second = backend.run(graph, spikes.between(cut, T), first.state, probes=probes(graph))
    assert_same(Trace.join([first, second]), whole)


def test_what_was_on_its_way_arrives_in_silence():
    graph, spikes = everything(), graded(4)
    first = get_backend("reference").run(graph, spikes)
    silence = SpikeTrain.from_dense(np.zeros((20, 4), int), dt_s=DT, graded=True)
    expected = get_backend("reference").run(graph, silence, first.state, probes=probes(graph))
    assert len(expected.out)
    assert_same(Brian2Backend().run(graph, silence, first.state, probes=probes(graph)), expected)


def test_no_ticks_give_back_the_state():
    graph, spikes = everything(), graded(4)
    first = Brian2Backend().run(graph, spikes)
    none = Brian2Backend().run(graph, spikes.between(0, 0), first.state)
    assert none.n_ticks == 0
    assert none.state.cells == first.state.cells
    assert none.state.recent == first.state.recent


@pytest.mark.parametrize("precision", PRECISIONS)
def test_fractional_bias_and_parameters_of_each_neuron(precision):
    """Bias first, then the connections one by one: the order decides the last bit."""
    rng = np.random.default_rng(4)
    cells = neurons(9, du=700, dv=90, vth=200)
    if precision == "loihi":
        bias = rng.integers(0, 9, 9) * 1.0
    else:
        cells.tau_mem = rng.uniform(5e-3, 40e-3, 9)
        bias = rng.uniform(0, 9, 9)
    cells.v_threshold = rng.integers(150, 250, 9) * 1.0
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "x": nir.Affine(rng.integers(0, 90, (9, 6)) * 1.0, bias),
        "y": nir.Linear(rng.integers(-90, 0, (9, 9)) * 1.0),
        "n": cells,
        "output": nir.Output({"output": np.array([9])}),
    }
    edges = [("input", "x"), ("x", "n"), ("n", "y"), ("y", "n"), ("n", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges), Dynamics(precision=precision))
    spikes = random_input(6, 0.3, 5, T)
    expected = get_backend("reference").run(graph, spikes, probes=probes(graph))
    assert len(expected.out) > 100
    assert_same(Brian2Backend().run(graph, spikes, probes=probes(graph)), expected)


def test_an_integrator_that_never_fires():
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "w": nir.Linear(np.array([[4.0, -6.0, 10.0]])),
        "n": nir.LI(np.array([9 * DT]), np.array([9.0]), np.array([0.0])),
        "output": nir.Output({"output": np.array([1])}),
    }
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges), Dynamics())
    spikes = random_input(3, 0.3, 6, T)
    expected = get_backend("reference").run(graph, spikes, probes=probes(graph))
    assert np.ptp(expected.probed["n"]["v"]) > 0
    assert_same(Brian2Backend().run(graph, spikes, probes=probes(graph)), expected)


def test_an_activation_that_leaves_24_bits_is_an_error():
    graph = everything()
    full = np.full((4, 4), 7)
    huge = SpikingGraph(
        nir.NIRGraph(
            {**graph.nir.nodes, "in_a": nir.Linear(np.full((6, 4), 2.0**15 - 2**8))},
            graph.nir.edges,
        ),
        Dynamics(precision="float64"),
        "huge",
        graph.extensions,
    )
    spikes = SpikeTrain.from_dense(np.repeat(full, 10, axis=0), dt_s=DT, graded=True)
    with pytest.raises(BackendError, match=r"node 'a': an activation reached \d+ and left 24 bits"):
        Brian2Backend().run(huge, spikes)


def detector(precision, n_ticks=100):
    clip = moving_square(duration_s=n_ticks * DT).stream
    graph = change_detector(precision=precision)
    grid = grid_for(graph.network.input_shape, clip.sensor, "crop")
    t0_us = int(clip.t[0])
    return graph, encode_events(
        clip, grid, channels=2, t0_us=t0_us, n_ticks=n_ticks, dt_us=graph.dynamics.dt_us
    )


@pytest.mark.parametrize("precision", ["loihi", "float64"])
def test_the_change_detector(precision):
    graph, spikes = detector(precision)
    expected = get_backend("fast").run(graph, spikes)
    assert len(expected.out) > 100
    assert_same(Brian2Backend().run(graph, spikes), expected)


def test_nothing_of_brian2_is_left_changed(tmp_path, monkeypatch):
    """Preferences, device and clock of the user, the other objects he has, the folder he is in."""
    import brian2 as b2

    monkeypatch.chdir(tmp_path)
    before = {name: b2.prefs[name] for name in b2.prefs}
    dt, device = b2.defaultclock.dt, b2.get_device()
    group = b2.NeuronGroup(1, "x : 1", name="mine")
    graph, spikes = RECURRENT.build()
    first, second = (Brian2Backend().run(graph, spikes) for _ in range(2))
    assert_same(second, first)
    assert {name: b2.prefs[name] for name in b2.prefs} == before
    assert b2.defaultclock.dt == dt
    assert b2.get_device() is device
    assert group.name == "mine"
    assert not list(tmp_path.iterdir())


def test_without_brian2_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "brian2", None)
    with pytest.raises(MissingComponentError, match=r'brian2 backend .* "neurovlm\[brian2\]"'):
        Brian2Backend().run(*RECURRENT.build())


def test_standalone_without_a_compiler_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -x")
    with pytest.raises(
        MissingComponentError, match=r"needs no-such-compiler, .* apt install g\+\+"
    ):
        Brian2Backend("standalone").run(*RECURRENT.build())


def test_an_unknown_mode():
    with pytest.raises(UsageError, match="mode must be runtime or standalone, got 'cuda'"):
        Brian2Backend("cuda")


def compiler(folder: Path, monkeypatch, script: str) -> None:
    """Make ``script`` the C++ compiler, and ``folder`` the place of temporary files."""
    import brian2  # noqa: F401  # writes a log of its own where TMPDIR is now

    path = folder / "cxx"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(path))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.mark.slow
def test_a_failing_build_shows_its_log(tmp_path, monkeypatch):
    fail = 'case "$*" in *-MM*) echo "main.cpp:7: error: no such thing" >&2; exit 1;; esac'
    compiler(tmp_path, monkeypatch, f'{fail}\nexec g++ "$@"')
    with pytest.raises(BackendError, match=r"build or run failed: .*compilation failed") as caught:
        Brian2Backend("standalone").run(*RECURRENT.build())
    assert "main.cpp:7: error: no such thing" in caught.value.__notes__[0]
    assert [p.name for p in tmp_path.iterdir()] == ["cxx"]


@pytest.mark.slow
def test_a_hanging_build_is_stopped_and_reaped(tmp_path, monkeypatch):
    pid_file = tmp_path / "pid"
    compiler(tmp_path, monkeypatch, f"echo $$ > {pid_file}\nexec sleep 1000")
    with pytest.raises(BackendError, match=r"not finished within 20 s and stopped; .*timeout_s"):
        Brian2Backend("standalone", timeout_s=20).run(*RECURRENT.build())
    ps = ["ps", "-o", "stat=", "-p", pid_file.read_text().strip()]
    state = subprocess.run(ps, capture_output=True, text=True).stdout.strip()
    assert state[:1] in ("", "Z")  # gone or a zombie, whatever its priority
    assert {p.name for p in tmp_path.iterdir()} == {"cxx", "pid"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["loihi", "float64"])
def test_standalone_goes_on_from_the_references_state(precision, tmp_path, monkeypatch):
    """And a runtime run after it works as before."""
    monkeypatch.chdir(tmp_path)
    graph, spikes = everything(precision), graded(4)
    first = get_backend("reference").run(graph, spikes.between(0, 93))
    rest = spikes.between(93, T)
    expected = get_backend("reference").run(graph, rest, first.state, probes=probes(graph))
    for backend in (Brian2Backend("standalone"), Brian2Backend()):
        assert_same(backend.run(graph, rest, first.state, probes=probes(graph)), expected)
    assert not list(tmp_path.iterdir())
