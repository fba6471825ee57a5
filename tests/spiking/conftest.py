"""Small graphs that several tests take apart."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import nir
import numpy as np
import pytest

from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph

FLOAT = Dynamics(precision="float64")
PER_TICK = 1 / FLOAT.dt_s


def full(shape, value):
    return np.full(shape, float(value))


def all_nodes(**changes):
    """A chain with a node of every supported type; ``changes`` replace or add nodes by name."""
    pixels = (1, 4, 4)
    kernel = np.arange(1.0, 10).reshape(1, 1, 3, 3).repeat(2, axis=1)
    tau = 8 / PER_TICK
    nodes = {
        "input": nir.Input({"input": np.array([2, 4, 4])}),
        "conv": nir.Conv2d((4, 4), kernel, 1, 1, 1, 1, np.zeros(1)),
        "if": nir.IF(full(pixels, PER_TICK), full(pixels, 30), full(pixels, 0)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "scale": nir.Scale(full((1, 2, 2), 3)),
        "flat": nir.Flatten({"input": np.array([1, 2, 2])}, 0, -1),
        "lif": nir.LIF(full(4, tau), full(4, 8), full(4, 0), full(4, 4), full(4, 0)),
        "linear": nir.Linear(np.arange(1.0, 13).reshape(3, 4)),
        "affine": nir.Affine(np.eye(3) * 2, np.array([1.0, 0.0, 2.0])),
        "cuba": nir.CubaLIF(
            tau_syn=full(3, tau / 2),
            tau_mem=full(3, tau),
            r=full(3, 2),
            w_in=full(3, 1),
            v_leak=full(3, 0),
            v_threshold=full(3, 40),
            v_reset=full(3, 0),
        ),
        "output": nir.Output({"output": np.array([3])}),
    }
    return nodes | changes


CHAIN = (
    "input", "conv", "if", "pool", "scale", "flat", "lif", "linear", "affine", "cuba", "output",
)  # fmt: skip
EDGES = tuple(pairwise(CHAIN))


def build(nodes, edges=EDGES, dynamics=FLOAT):
    return SpikingGraph(nir.NIRGraph(nodes, list(edges), type_check=False), dynamics)


@pytest.fixture
def chain():
    """Everything above: ``nodes``, ``edges``, ``build``, ``dynamics``."""
    return SimpleNamespace(nodes=all_nodes, edges=list(EDGES), build=build, dynamics=FLOAT)
