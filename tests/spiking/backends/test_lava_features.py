"""Every kind of neuron and connection on Lava, in few runs: each takes a second or more."""

from __future__ import annotations

import subprocess
import sys

import nir
import numpy as np
import pytest

from neurovlm.spiking.backends.base import get_backend, initial_state
from neurovlm.spiking.backends.lava.job import Job, read_trains, write_job
from neurovlm.spiking.backends.lava.runner import LavaBackend
from neurovlm.spiking.contract import layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.trace import probe
from neurovlm.spiking.train import SpikeTrain

DT_S = 1e-3
N_INPUTS = 24


def _encoders(n, vth):
    return nir.IF(np.full(n, 1 / DT_S), np.full(n, float(vth)))


def _even(rng, shape, most):
    """Of both signs, as Loihi holds them: -``most`` to ``most`` - 2."""
    return rng.integers(-most // 2, most // 2, shape) * 2


def _everything(precision):
    """One population of every kind, plain ones between them, loops through both."""
    rng = np.random.default_rng(1)
    a, b, c, d, e = 30, 25, 20, 15, 10
    like = neurons(d, du=700, dv=60, vth=0)
    populations = {
        "varied": neurons(
            a,
            du=rng.integers(300, 4096, a),
            dv=rng.integers(20, 2000, a),
            vth=rng.integers(300, 900, a),
        ),
        "tired": neurons(b, du=1000, dv=300, vth=300),
        "plain": neurons(c, du=1500, dv=200, vth=9000),
        "delta": _encoders(d, 30),
        "sum": _encoders(d, 200),
        "relu": _encoders(e, 90),
        "fire": neurons(e, du=3000, dv=900, vth=2000),
        "read": nir.CubaLI(like.tau_syn, like.tau_mem, like.r, like.v_leak, like.w_in),
    }
    weights = {
        "in_varied": ("input", "varied", rng.integers(0, 30, (a, N_INPUTS))),
        "plain_varied": ("plain", "varied", -rng.integers(0, 40, (a, c))),
        "in_tired": ("input", "tired", rng.integers(0, 25, (b, N_INPUTS))),
        "tired_tired": ("tired", "tired", _even(rng, (b, b), 60)),
        "in_plain": ("input", "plain", _even(rng, (c, N_INPUTS), 256) * 8),
        "varied_plain": ("varied", "plain", rng.integers(0, 256, (c, a)) * 8),
        "tired_plain": ("tired", "plain", -rng.integers(0, 256, (c, b))),
        "in_delta": ("input", "delta", _even(rng, (d, N_INPUTS), 6)),
        "delta_sum": ("delta", "sum", _even(rng, (d, d), 6)),
        "sum_relu": ("sum", "relu", _even(rng, (e, d), 6)),
        "relu_fire": ("relu", "fire", rng.integers(0, 4, (e, e))),
        "fire_read": ("fire", "read", rng.integers(0, 90, (d, e))),
        "plain_read": ("plain", "read", rng.integers(0, 90, (d, c))),
    }
    return layered(
        weights,
        populations,
        "read",
        Dynamics(precision=precision, allow_wrap=True),
        biases={"in_varied": rng.integers(-30, 40, a)},
        delays={"tired_tired": rng.integers(0, 70, b), "tired_plain": 2},
        extensions={
            "input": Extension(message_bits=3),
            "tired": Extension(refractory_s=2 * DT_S, adapt_tau_s=20 * DT_S, adapt_step=60),
            "delta": Extension(encoding="delta"),
            "sum": Extension(encoding="sigma-delta"),
            "relu": Extension(encoding="sigma-delta-relu"),
        },
    )


def _assert_same(got, expected):
    differing = {name: got.spikes[name].differing(t) for name, t in expected.spikes.items()}
    assert differing == dict.fromkeys(differing, 0)
    assert got.connections == expected.connections
    assert {p: set(v) for p, v in got.probed.items()} == {
        p: set(v) for p, v in expected.probed.items()
    }
    for population, variables in expected.probed.items():
        for name, values in variables.items():
            mine = got.probed[population][name]
            assert mine.dtype == values.dtype, (population, name)
            assert np.array_equal(mine, values), (population, name)


def _assert_busy(trace):
    """A comparison of silent populations would prove nothing; a read-out never fires."""
    for p in trace.populations:
        assert p.name == "read" or 0.01 < p.spikes / p.neuron_updates < 0.99, p


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["loihi", "float64"])
@pytest.mark.parametrize(
    ("models", "simulate", "probed"),
    [
        ("own", "loihi2", ("varied", "tired", "plain", "delta", "sum", "relu", "fire", "read")),
        ("auto", "loihi1", ("read", "tired")),
    ],
)
def test_everything_at_once(precision, models, simulate, probed):
    graph = _everything(precision)
    spikes = random_input(N_INPUTS, 0.2, 2, 300, bits=3)
    variables = {p.name: (*p.variables, "s") for p in graph.network.populations}
    probes = [probe(name, variables[name]) for name in probed]
    expected = get_backend("reference").run(graph, spikes, probes=probes)
    _assert_busy(expected)
    backend = LavaBackend(models=models, simulate=simulate)
    _assert_same(backend.run(graph, spikes, probes=probes), expected)


def _plain(precision):
    """Everything Lava's own processes have: forms of weights, delays, graded input, loops."""
    rng = np.random.default_rng(3)
    n, a, b = N_INPUTS, 30, 20
    weights = {
        "mixed": ("input", "a", _even(rng, (a, n), 256)),
        "eights": ("input", "a", rng.integers(0, 256, (a, n)) * 8),
        "inhibit": ("input", "a", -rng.integers(0, 256, (a, n)) * 4),
        "mixed_eights": ("a", "b", _even(rng, (b, a), 256) * 32),
        "late": ("input", "b", rng.integers(0, 256, (b, n))),
        "later": ("a", "a", -rng.integers(0, 256, (a, a)) * 16),
        "latest": ("b", "b", _even(rng, (b, b), 256)),
    }
    return layered(
        weights,
        {"a": neurons(a, du=900, dv=300, vth=3000), "b": neurons(b, du=2000, dv=100, vth=6000)},
        "b",
        Dynamics(precision=precision, allow_wrap=True),
        delays={"late": rng.integers(0, 7, n), "later": rng.integers(0, 64, a), "latest": 2},
        extensions={"input": Extension(message_bits=3)},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "simulate", "precision"),
    [("stock", "loihi1", "loihi"), ("stock", "loihi2", "float64"), ("own", "loihi2", "loihi")],
)
def test_lavas_own_processes_and_our_model_give_the_same_spikes(models, simulate, precision):
    graph = _plain(precision)
    spikes = random_input(N_INPUTS, 0.2, 4, 300, bits=3)
    expected = get_backend("reference").run(graph, spikes)
    _assert_busy(expected)
    _assert_same(LavaBackend(models=models, simulate=simulate).run(graph, spikes), expected)


@pytest.mark.slow
def test_lavas_own_processes_hold_what_they_are_proved_to_hold():
    """Bursts drive u to the last value that fits, see ``test_lava_layer``."""
    weights = np.array([[255] * 9187 + [226]])
    cells = {"cells": neurons(1, du=255, dv=100, vth=131071)}
    graph = layered({"w": ("input", "cells", weights)}, cells, "cells", Dynamics(allow_wrap=True))
    raster = np.zeros((300, weights.size), np.bool_)
    raster[10:150] = raster[250:260] = True
    spikes = SpikeTrain.from_dense(raster, dt_s=DT_S)
    expected = get_backend("reference").run(graph, spikes, probes=[probe("cells", ["u", "s"])])
    assert expected.probed["cells"]["u"].max() > 2**31 - 2**24 - 2**20
    _assert_busy(expected)
    got = LavaBackend(models="stock").run(graph, spikes)
    assert got.spikes["cells"].differing(expected.spikes["cells"]) == 0


SCRIPT = """
import sys
from pathlib import Path
from neurovlm.spiking.backends.lava.shim import import_lava
import_lava()
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from neurovlm.spiking.backends.lava.build import build
from neurovlm.spiking.backends.lava.job import read_job

folder, sub = Path(sys.argv[1]), sys.argv[2] == "True"
job = read_job(folder)
source, _ = build(job, folder)
config = Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=sub)
source.run(RunSteps(job.n_ticks), run_cfg=config)
source.stop()
"""


@pytest.mark.slow
@pytest.mark.parametrize("sub", [False, True], ids=["our model", "sub-process model"])
def test_lava_itself_finds_both_models_of_a_layer(tmp_path, sub):
    """With the tag and ``select_sub_proc_model``, as in any Lava script."""
    graph = _plain("loihi")
    spikes = random_input(N_INPUTS, 0.2, 5, 100, bits=3)
    cells = initial_state(graph).cells
    job = Job(graph.network, spikes.n_ticks, "Loihi2SimCfg", cells, frozenset(), {})
    write_job(tmp_path, job, spikes)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(sub)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    expected = get_backend("reference").run(graph, spikes)
    for name, train in read_trains(tmp_path, job).items():
        assert train.differing(expected.spikes[name]) == 0
