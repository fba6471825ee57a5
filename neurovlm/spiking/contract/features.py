"""Cases that need more than plain LIF: delays, biases, other neurons, graded spikes."""

from __future__ import annotations

import numpy as np

from neurovlm.spiking.contract.building import (
    DT_S,
    Built,
    encoders,
    integrators,
    layered,
    neurons,
    one_layer,
    random_input,
    sparse,
)
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Encoding, Extension


def uniform_delays() -> Built:
    """One delay per connection, also on a recurrent one."""
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


def delays_per_neuron() -> Built:
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


def per_neuron() -> Built:
    """Decays and thresholds that differ between the neurons of one population."""
    rng = np.random.default_rng(18)
    cells = neurons(
        400,
        du=rng.integers(300, 4096, 400),
        dv=rng.integers(20, 2000, 400),
        vth=rng.integers(100, 900, 400),
    )
    graph = one_layer(cells, {"w": sparse(rng, (400, 48), 1, 60, 0.5)})
    return graph, random_input(48, 0.1, 19)


def bias() -> Built:
    """Constant input, also negative; some neurons fire on it alone."""
    rng = np.random.default_rng(20)
    graph = one_layer(
        neurons(400, du=2000, dv=300, vth=400),
        {"w": sparse(rng, (400, 32), 1, 60, 0.5)},
        biases={"w": rng.integers(-30, 40, 400)},
    )
    return graph, random_input(32, 0.1, 21)


def leaky_integrator() -> Built:
    """A read-out that never fires: its u and v are compared."""
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


def _extended(seed: int, extension: Extension) -> Built:
    """One busy layer whose neurons have an `Extension`, inhibiting each other."""
    rng = np.random.default_rng(seed)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (400, 32), 1, 120, 0.5)),
            "a_a": ("a", "a", -sparse(rng, (400, 400), 1, 60, 0.02)),
        },
        {"a": neurons(400, du=1000, dv=300, vth=300)},
        "a",
        extensions={"a": extension},
    )
    return graph, random_input(32, 0.2, seed + 1)


def refractory() -> Built:
    """Three ticks of rest after a spike."""
    return _extended(26, Extension(refractory_s=3 * DT_S))


def adaptive() -> Built:
    """Every spike raises the threshold."""
    return _extended(28, Extension(adapt_tau_s=20 * DT_S, adapt_step=80))


def refractory_and_adaptive() -> Built:
    """Both: a spike that the rest suppresses raises no threshold."""
    return _extended(30, Extension(refractory_s=2 * DT_S, adapt_tau_s=40 * DT_S, adapt_step=60))


def graded_input() -> Built:
    """Payloads of up to 15, which multiply the weights."""
    rng = np.random.default_rng(32)
    graph = one_layer(
        neurons(400, du=2500, dv=300, vth=1500),
        {
            "exc": sparse(rng, (400, 48), 1, 30, 0.5),
            "inh": -sparse(rng, (400, 48), 1, 30, 0.2),
        },
        extensions={"input": Extension(message_bits=4)},
    )
    return graph, random_input(48, 0.1, 33, bits=4)


def sigma_delta() -> Built:
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
            "sum": encoders(150, vth=900),
            "relu": encoders(60, vth=300),
            "fire": neurons(50, du=3000, dv=900, vth=2000),
        },
        "fire",
        Dynamics(allow_wrap=True),
        extensions={
            "input": Extension(message_bits=4),
            "delta": Extension(encoding=Encoding.DELTA),
            "sum": Extension(encoding=Encoding.SIGMA_DELTA),
            "relu": Extension(encoding=Encoding.SIGMA_DELTA_RELU),
        },
    )
    return graph, random_input(24, 0.3, 35, bits=4)
