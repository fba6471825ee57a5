"""Cases of plain LIF populations, easy and adversarial ones."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np

from neurovlm.spiking.contract.building import (
    DT_S,
    N_TICKS,
    Built,
    layered,
    neurons,
    one_layer,
    random_input,
    sparse,
)
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain


def two_layers() -> Built:
    """Random excitation over two layers, inhibition past the first."""
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


def ties() -> Built:
    """V is again and again exactly at the threshold, which is no spike."""
    rng = np.random.default_rng(3)
    weights = sparse(rng, (400, 60), 1, 5, 0.05) * 25
    graph = one_layer(neurons(400, du=4095, dv=2048, vth=100), {"w": weights})
    return graph, random_input(60, 0.3, 4)


def consecutive() -> Built:
    """Neurons that fire tick after tick, also long after the input has stopped."""
    graph = one_layer(
        neurons(400, du=200, dv=50, vth=100), {"w": np.diag(np.tile([255, 120, 60, 30], 100))}
    )
    raster = np.zeros((N_TICKS, 400))
    raster[10:40] = 1
    raster[150:153, ::3] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def bursts() -> Built:
    """Every channel at once between silences; single spikes in the first and the last tick."""
    rng = np.random.default_rng(5)
    graph = one_layer(
        neurons(400, du=500, dv=90, vth=2500),
        {
            "exc": sparse(rng, (400, 64), 1, 200, 0.8),
            "inh": -sparse(rng, (400, 64), 1, 200, 0.3),
        },
    )
    raster = np.zeros((N_TICKS, 64))
    raster[[20, 21, 22, 120, 180, 181]] = 1
    raster[[0, 100, N_TICKS - 1], 3] = 1
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def mixed_signs() -> Built:
    """Even weights of both signs in one connection, -256 among them."""
    rng = np.random.default_rng(6)
    weights = sparse(rng, (400, 64), -128, 128, 0.5) * 2
    weights[0, 0] = -256
    graph = one_layer(neurons(400, du=2000, dv=200, vth=300), {"w": weights})
    return graph, random_input(64, 0.15, 7)


def exponents() -> Built:
    """Weights above 255: 8-bit mantissas times 8, and times 4 for the inhibitory ones."""
    rng = np.random.default_rng(8)
    graph = one_layer(
        neurons(400, du=1500, dv=200, vth=9000),
        {
            "exc": sparse(rng, (400, 48), 1, 256, 0.5) * 8,
            "inh": -sparse(rng, (400, 48), 1, 256, 0.3) * 4,
        },
    )
    return graph, random_input(48, 0.15, 9)


def parallel() -> Built:
    """Two connections between the same populations, together above 255, and one of zeros."""
    rng = np.random.default_rng(10)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 32), 1, 120, 0.5)),
            "once": ("a", "b", sparse(rng, (200, 200), 200, 256, 0.1)),
            "again": ("a", "b", sparse(rng, (200, 200), 200, 256, 0.1)),
            "nothing": ("a", "b", np.zeros((200, 200))),
        },
        {"a": neurons(200, du=2000, dv=400, vth=600), "b": neurons(200, du=3000, dv=300, vth=9000)},
        "b",
    )
    return graph, random_input(32, 0.1, 11)


def recurrent() -> Built:
    """Excitation, self-inhibition and a slow relay that inhibits back."""
    rng = np.random.default_rng(12)
    graph = layered(
        {
            "in_a": ("input", "a", sparse(rng, (200, 16), 0, 120, 1)),
            "a_a_exc": ("a", "a", np.triu(sparse(rng, (200, 200), 0, 30, 0.1), 1)),
            "a_a_self": ("a", "a", -150 * np.eye(200)),
            "a_slow": ("a", "slow", 20 * np.eye(200)),
            "slow_a": ("slow", "a", -25 * np.eye(200)),
        },
        {
            "a": neurons(200, du=4095, dv=200, vth=250),
            "slow": neurons(200, du=30, dv=4095, vth=500),
        },
        "a",
    )
    return graph, random_input(16, 0.15, 13)


def negative_state() -> Built:
    """Inhibition drives u and v far below 0: decay rounds toward zero from below."""
    rng = np.random.default_rng(38)
    graph = one_layer(
        neurons(400, du=333, dv=77, vth=150),
        {
            "exc": sparse(rng, (400, 16), 1, 200, 0.5),
            "inh": -sparse(rng, (400, 16), 1, 256, 0.5),
        },
    )
    return graph, random_input(16, 0.4, 39)


def saturation() -> Built:
    """V saturates at +-(2**23 - 1), just above the highest threshold, in both directions."""
    ones, none = np.full((400, 8), 255), np.zeros((400, 8))
    graph = one_layer(
        neurons(400, du=99, dv=1, vth=131071),
        {
            "exc": np.hstack([ones, none]),
            "inh": np.hstack([none, -ones]),
        },
    )
    raster = np.random.default_rng(40).random((N_TICKS, 16)) < 0.5
    raster[:100, 8:] = False
    raster[100:180, :8] = False
    return graph, SpikeTrain.from_dense(raster, dt_s=DT_S)


def wrap() -> Built:
    """U overflows 24 bits and comes back with the other sign."""
    rng = np.random.default_rng(41)
    graph = one_layer(
        neurons(400, du=9, dv=30, vth=5000),
        {"w": 255 - sparse(rng, (400, 64), 0, 100, 0.5)},
        Dynamics(allow_wrap=True),
    )
    return graph, random_input(64, 0.6, 42)


def convolution() -> Built:
    """Kernels over the borders, pooling, and a stride that leaves a column and a row over."""
    rng = np.random.default_rng(36)
    shape, kernel = (2, 16, 16), (2, 3, 3)
    nodes = {
        "input": nir.Input({"input": np.array(shape)}),
        "near": nir.Conv2d(
            (16, 16), rng.integers(5, 60, (2, *kernel)) * 1.0, 1, 1, 1, 1, np.zeros(2)
        ),
        "pixel": neurons(shape, du=1000, dv=500, vth=600),
        "pool": nir.SumPool2d(np.array([4, 4]), np.array([4, 4]), np.array([0, 0])),
        "gain": nir.Scale(np.full((2, 4, 4), 60.0)),
        "patch": neurons((2, 4, 4), du=3000, dv=300, vth=500),
        "step": nir.Conv2d(
            (16, 16), -rng.integers(5, 30, (1, *kernel)) * 1.0, 2, 0, 1, 1, np.zeros(1)
        ),
        "rows": nir.Flatten({"input": np.array((1, 7, 7))}, 0, -1),
        "coarse": neurons(49, du=2000, dv=400, vth=300),
        "flat": nir.Flatten({"input": np.array((2, 4, 4))}, 0, -1),
        "spread": nir.Linear(sparse(rng, (49, 32), 1, 256, 0.3) * 1.0),
        "output": nir.Output({"output": np.array([49])}),
    }
    chain = ("input", "near", "pixel", "pool", "gain", "patch", "flat", "spread", "coarse")
    edges = [*pairwise(chain), ("coarse", "output")]
    edges += [("pixel", "step"), ("step", "rows"), ("rows", "coarse")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges))
    flat = random_input(512, 0.05, 37)
    return graph, SpikeTrain(flat.tick, flat.neuron, flat.n_ticks, shape, flat.dt_s)


def integrate_and_fire() -> Built:
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
