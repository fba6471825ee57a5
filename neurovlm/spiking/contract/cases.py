"""The graphs and inputs on which a backend has to give the reference's spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nir
import numpy as np

from neurovlm.spiking.contract.building import (
    DT_S,
    N_TICKS,
    encoders,
    integrators,
    layered,
    neurons,
    random_input,
    sparse,
)
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Probe, probe
from neurovlm.spiking.train import SpikeTrain

Built = tuple[SpikingGraph, SpikeTrain]
_LOIHI_ONLY = (Precision.LOIHI,)


@dataclass(frozen=True)
class Case:
    """A graph and an input of at least 1e5 neuron ticks.

    Attributes
    ----------
    precisions
        Those in which the case makes sense.
    probes
        What is compared beside the spikes, where spikes say too little.
    """

    name: str
    build: Callable[[], Built]
    precisions: tuple[Precision, ...] = tuple(Precision)
    probes: tuple[Probe, ...] = ()


def _two_layers() -> Built:
    rng = np.random.default_rng(1)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (240, 48), 0, 60, 0.5)),
            "a_b": ("a", "b", sparse(rng, (170, 240), 0, 30, 0.3)),
            "in_b_inh": ("input", "b", -sparse(rng, (170, 48), 0, 20, 0.5)),
        },
        {"a": neurons(240, du=900, dv=300, vth=900), "b": neurons(170, du=4095, dv=120, vth=700)},
        "b",
    )
    return graph, random_input(48, 0.1, 2)


def _ties() -> Built:
    """V is again and again exactly at the threshold, which is no spike."""
    rng = np.random.default_rng(3)
    weights = sparse(rng, (400, 60), 1, 5, 0.05) * 25
    graph = layered(
        {"w": ("input", "a", weights)}, {"a": neurons(400, du=4095, dv=2048, vth=100)}, "a"
    )
    return graph, random_input(60, 0.3, 4)


def _consecutive() -> Built:
    """Neurons that fire tick after tick, also long after the input has stopped."""
    graph = layered(
        {"w": ("input", "a", np.diag(np.tile([255, 120, 60, 30], 100)))},
        {"a": neurons(400, du=200, dv=50, vth=100)},
        "a",
    )
    raster = np.zeros((N_TICKS, 400))
    raster[10:40] = 1
    raster[150:153, ::3] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def _bursts() -> Built:
    """Every channel at once between silences; single spikes in the first and the last tick."""
    rng = np.random.default_rng(5)
    graph = layered(
        {
            "exc": ("input", "a", sparse(rng, (400, 64), 1, 200, 0.8)),
            "inh": ("input", "a", -sparse(rng, (400, 64), 1, 200, 0.3)),
        },
        {"a": neurons(400, du=500, dv=90, vth=2500)},
        "a",
    )
    raster = np.zeros((N_TICKS, 64))
    raster[[20, 21, 22, 120, 180, 181]] = 1
    raster[[0, 100, N_TICKS - 1], 3] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def _mixed_signs() -> Built:
    """Even weights of both signs in one connection, -256 among them."""
    rng = np.random.default_rng(6)
    weights = sparse(rng, (400, 64), -128, 128, 0.5) * 2
    weights[0, 0] = -256
    graph = layered(
        {"w": ("input", "a", weights)}, {"a": neurons(400, du=2000, dv=200, vth=300)}, "a"
    )
    return graph, random_input(64, 0.15, 7)


def _exponents() -> Built:
    """Weights above 255: 8-bit mantissas times 8, and times 4 for the inhibitory ones."""
    rng = np.random.default_rng(8)
    graph = layered(
        {
            "exc": ("input", "a", sparse(rng, (400, 48), 1, 256, 0.5) * 8),
            "inh": ("input", "a", -sparse(rng, (400, 48), 1, 256, 0.3) * 4),
        },
        {"a": neurons(400, du=1500, dv=200, vth=9000)},
        "a",
    )
    return graph, random_input(48, 0.15, 9)


def _parallel() -> Built:
    """Two connections between the same populations, together above 255, and one of zeros."""
    rng = np.random.default_rng(10)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 32), 1, 120, 0.5)),
            "once": ("a", "b", sparse(rng, (200, 200), 200, 256, 0.1)),
            "again": ("a", "b", sparse(rng, (200, 200), 200, 256, 0.1)),
            "nothing": ("a", "b", np.zeros((200, 200))),
        },
        {"a": neurons(200, du=2000, dv=400, vth=600), "b": neurons(200, du=3000, dv=300, vth=900)},
        "b",
    )
    return graph, random_input(32, 0.1, 11)


def _recurrent() -> Built:
    rng = np.random.default_rng(12)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 16), 0, 120, 1)),
            "a_a_exc": ("a", "a", np.triu(sparse(rng, (200, 200), 0, 30, 0.1), 1)),
            "a_a_self": ("a", "a", -150 * np.eye(200)),
            "a_slow": ("a", "slow", 20 * np.eye(200)),
            "slow_a": ("slow", "a", -25 * np.eye(200)),
        },
        {"a": neurons(200, du=4095, dv=200, vth=250), "slow": neurons(200, du=30, dv=4095, vth=90)},
        "a",
    )
    return graph, random_input(16, 0.15, 13)


def _uniform_delays() -> Built:
    rng = np.random.default_rng(14)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (400, 32), 1, 90, 0.5)),
            "a_a": ("a", "a", -sparse(rng, (400, 400), 1, 90, 0.02)),
        },
        {"a": neurons(400, du=1200, dv=250, vth=500)},
        "a",
        delays={"in_a": 3, "a_a": 6},
    )
    return graph, random_input(32, 0.12, 15)


def _delays_per_neuron() -> Built:
    """Sources with delays of their own, 0 among them; the same source with and without delays."""
    rng = np.random.default_rng(16)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 32), 1, 90, 0.5)),
            "a_b": ("a", "b", sparse(rng, (200, 200), 1, 90, 0.1)),
            "a_b_now": ("a", "b", -sparse(rng, (200, 200), 1, 60, 0.05)),
            "b_a": ("b", "a", -sparse(rng, (200, 200), 1, 90, 0.05)),
        },
        {"a": neurons(200, du=1200, dv=250, vth=400), "b": neurons(200, du=2500, dv=150, vth=500)},
        "b",
        delays={
            "in_a": rng.integers(0, 8, 32),
            "a_b": rng.integers(0, 12, 200),
            "b_a": rng.integers(0, 4, 200),
        },
    )
    return graph, random_input(32, 0.12, 17)


def _per_neuron() -> Built:
    rng = np.random.default_rng(18)
    cells = neurons(
        400,
        du=rng.integers(300, 4096, 400),
        dv=rng.integers(20, 2000, 400),
        vth=rng.integers(100, 900, 400),
    )
    graph = layered({"w": ("input", "a", sparse(rng, (400, 48), 1, 60, 0.5))}, {"a": cells}, "a")
    return graph, random_input(48, 0.1, 19)


def _bias() -> Built:
    """Constant input, also negative; some neurons fire on it alone."""
    rng = np.random.default_rng(20)
    graph = layered(
        {"w": ("input", "a", sparse(rng, (400, 32), 1, 60, 0.5))},
        {"a": neurons(400, du=2000, dv=300, vth=400)},
        "a",
        biases={"w": rng.integers(-30, 40, 400)},
    )
    return graph, random_input(32, 0.1, 21)


def _leaky_integrator() -> Built:
    rng = np.random.default_rng(22)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (48, 32), 1, 90, 0.5)),
            "a_read": ("a", "read", sparse(rng, (400, 48), 0, 50, 0.2)),
            "in_read": ("input", "read", -sparse(rng, (400, 32), 0, 20, 0.2)),
        },
        {"a": neurons(48, du=1500, dv=400, vth=500), "read": integrators(400, du=700, dv=60)},
        "read",
    )
    return graph, random_input(32, 0.15, 23)


def _integrate_and_fire() -> Built:
    """NIR's IF, which has no leak, and its LIF, which has no synaptic current."""
    rng = np.random.default_rng(24)
    full = np.ones(200)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 32), 1, 60, 0.5)),
            "inh": ("input", "a", -sparse(rng, (200, 32), 1, 60, 0.3)),
            "a_b": ("a", "b", sparse(rng, (200, 200), 1, 60, 0.2)),
        },
        {
            "a": nir.IF(full / DT_S, full * 300),
            "b": nir.LIF(full * 8 * DT_S, full * 8, 0 * full, full * 400),
        },
        "b",
    )
    return graph, random_input(32, 0.15, 25)


def _extended(seed: int, **extension: float) -> Built:
    """One busy layer whose neurons have an `Extension`, inhibiting each other."""
    rng = np.random.default_rng(seed)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (400, 32), 1, 120, 0.5)),
            "a_a": ("a", "a", -sparse(rng, (400, 400), 1, 60, 0.02)),
        },
        {"a": neurons(400, du=1000, dv=300, vth=300)},
        "a",
        extensions={"a": Extension(**extension)},
    )
    return graph, random_input(32, 0.2, seed + 1)


def _refractory() -> Built:
    return _extended(26, refractory_s=3 * DT_S)


def _adaptive() -> Built:
    return _extended(28, adapt_tau_s=20 * DT_S, adapt_step=80)


def _refractory_and_adaptive() -> Built:
    return _extended(30, refractory_s=2 * DT_S, adapt_tau_s=40 * DT_S, adapt_step=60)


def _graded_input() -> Built:
    rng = np.random.default_rng(32)
    graph = layered(
        {
            "exc": ("input", "a", sparse(rng, (400, 48), 1, 30, 0.5)),
            "inh": ("input", "a", -sparse(rng, (400, 48), 1, 30, 0.2)),
        },
        {"a": neurons(400, du=2500, dv=300, vth=1500)},
        "a",
        extensions={"input": Extension(message_bits=4)},
    )
    return graph, random_input(48, 0.1, 33, bits=4)


def _sigma_delta() -> Built:
    """Delta, sigma-delta and rectified sigma-delta neurons, whose graded spikes drive LIF."""
    rng = np.random.default_rng(34)
    graph = layered(
        {
            "in_delta": ("input", "delta", sparse(rng, (150, 24), -4, 5, 0.3) * 2),
            "delta_sum": ("delta", "sum", sparse(rng, (150, 150), -6, 7, 0.1) * 2),
            "sum_relu": ("sum", "relu", sparse(rng, (60, 150), -3, 4, 0.1) * 2),
            "relu_fire": ("relu", "fire", sparse(rng, (50, 60), 1, 4, 0.2)),
        },
        {
            "delta": encoders(150, vth=30),
            "sum": encoders(150, vth=200),
            "relu": encoders(60, vth=90),
            "fire": neurons(50, du=3000, dv=900, vth=2000),
        },
        "fire",
        Dynamics(allow_wrap=True),
        extensions={
            "input": Extension(message_bits=4),
            "delta": Extension(encoding="delta"),
            "sum": Extension(encoding="sigma-delta"),
            "relu": Extension(encoding="sigma-delta-relu"),
        },
    )
    return graph, random_input(24, 0.3, 35, bits=4)


def _convolution() -> Built:
    """Kernels over the borders, pooling, and a stride that leaves a column and a row over."""
    rng = np.random.default_rng(36)
    shape, none = (2, 16, 16), np.zeros(2)
    nodes = {
        "input": nir.Input({"input": np.array(shape)}),
        "near": nir.Conv2d((16, 16), rng.integers(5, 60, (2, 2, 3, 3)) * 1.0, 1, 1, 1, 1, none),
        "pixel": neurons(shape, du=1000, dv=500, vth=600),
        "pool": nir.SumPool2d(np.array([4, 4]), np.array([4, 4]), np.array([0, 0])),
        "gain": nir.Scale(np.full((2, 4, 4), 60.0)),
        "patch": neurons((2, 4, 4), du=3000, dv=300, vth=500),
        "step": nir.Conv2d(
            (16, 16), -rng.integers(5, 30, (1, 2, 3, 3)) * 1.0, 2, 0, 1, 1, none[:1]
        ),
        "rows": nir.Flatten({"input": np.array((1, 7, 7))}, 0, -1),
        "coarse": neurons(49, du=2000, dv=400, vth=300),
        "flat": nir.Flatten({"input": np.array((2, 4, 4))}, 0, -1),
        "spread": nir.Linear(sparse(rng, (49, 32), 1, 256, 0.3) * 1.0),
        "output": nir.Output({"output": np.array([49])}),
    }
    chain = ("input", "near", "pixel", "pool", "gain", "patch", "flat", "spread", "coarse")
    edges = [*zip(chain, chain[1:], strict=False), ("coarse", "output")]
    edges += [("pixel", "step"), ("step", "rows"), ("rows", "coarse")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges))
    flat = random_input(512, 0.05, 37)
    return graph, SpikeTrain(flat.tick, flat.neuron, flat.n_ticks, shape, flat.dt_s)


def _negative_state() -> Built:
    """Inhibition drives u and v far below 0: decay rounds toward zero from below."""
    rng = np.random.default_rng(38)
    graph = layered(
        {
            "exc": ("input", "a", sparse(rng, (400, 16), 1, 200, 0.5)),
            "inh": ("input", "a", -sparse(rng, (400, 16), 1, 256, 0.5)),
        },
        {"a": neurons(400, du=333, dv=77, vth=150)},
        "a",
    )
    return graph, random_input(16, 0.4, 39)


def _saturation() -> Built:
    """V saturates at +-(2**23 - 1), just above the highest threshold, in both directions."""
    ones, none = np.full((400, 8), 255), np.zeros((400, 8))
    graph = layered(
        {
            "exc": ("input", "a", np.hstack([ones, none])),
            "inh": ("input", "a", np.hstack([none, -ones])),
        },
        {"a": neurons(400, du=99, dv=1, vth=131071)},
        "a",
    )
    raster = np.random.default_rng(40).random((N_TICKS, 16)) < 0.5
    raster[:100, 8:] = False
    raster[100:180, :8] = False
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def _wrap() -> Built:
    """U overflows 24 bits and comes back with the other sign."""
    rng = np.random.default_rng(41)
    graph = layered(
        {"w": ("input", "a", 255 - sparse(rng, (400, 64), 0, 100, 0.5))},
        {"a": neurons(400, du=9, dv=30, vth=5000)},
        "a",
        Dynamics(allow_wrap=True),
    )
    return graph, random_input(64, 0.6, 42)


CASES = (
    Case("two-layers", _two_layers),
    Case("ties-at-threshold", _ties),
    Case("consecutive-firing", _consecutive),
    Case("bursts", _bursts),
    Case("mixed-signs", _mixed_signs),
    Case("exponents", _exponents),
    Case("parallel-connections", _parallel),
    Case("recurrent", _recurrent),
    Case("negative-state", _negative_state),
    Case("saturation", _saturation, _LOIHI_ONLY),
    Case("wrap", _wrap, _LOIHI_ONLY),
    Case("convolution", _convolution),
    Case("integrate-and-fire", _integrate_and_fire),
    Case("uniform-delays", _uniform_delays),
    Case("delays-per-neuron", _delays_per_neuron),
    Case("per-neuron-parameters", _per_neuron),
    Case("bias", _bias),
    Case("leaky-integrator", _leaky_integrator, probes=(probe("read", ("u", "v")),)),
    Case("refractory", _refractory),
    Case("adaptive-threshold", _adaptive),
    Case("refractory-and-adaptive", _refractory_and_adaptive),
    Case("graded-input", _graded_input),
    Case("sigma-delta", _sigma_delta),
)


def case_named(name: str) -> Case:
    """The case called ``name``."""
    return next(case for case in CASES if case.name == name)
