"""Network: a NIR graph resolved into populations and sparse integer connections.

Engines read this, never NIR nodes. Between two populations any chain of linear nodes becomes one
matrix, and that connection delivers the spikes of the previous tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT

MAX_WEIGHT = 255  # eight bits and a sign that belongs to the whole connection
MAX_THRESHOLD = 131071  # 17 bits


@dataclass(frozen=True, eq=False)
class Population:
    """Current-based LIF neurons of one node.

    Attributes
    ----------
    loss_u, loss_v
        Part of u and v lost per tick, in 4096ths (4096 dt / tau), float64 ``(n,)``.
    threshold
        float64 ``(n,)``, in units of weight.
    bias
        Constant added to the summed weights each tick, float64 ``(n,)``.
    """

    name: str
    shape: tuple[int, ...]
    loss_u: NDArray[np.float64]
    loss_v: NDArray[np.float64]
    threshold: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    @property
    def du(self) -> NDArray[np.int64]:
        """Loihi's current decay: round(4096 dt / tau_syn) - 1."""
        return np.rint(self.loss_u).astype(np.int64) - 1

    @property
    def dv(self) -> NDArray[np.int64]:
        """Loihi's voltage decay: round(4096 dt / tau_mem)."""
        return np.rint(self.loss_v).astype(np.int64)

    @property
    def vth(self) -> NDArray[np.int64]:
        """Loihi's threshold mantissa."""
        return np.rint(self.threshold).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Connection:
    """Weights from one population (or the input) to another: ``matrix`` is (targets, sources)."""

    name: str
    source: str
    target: str
    matrix: scipy.sparse.csr_array[Any, tuple[int, int]]

    @property
    def synapses(self) -> int:
        """Number of non-zero weights."""
        return int(self.matrix.nnz)

    @cached_property
    def fan_out(self) -> NDArray[np.int64]:
        """Synapses per source neuron."""
        return np.bincount(self.matrix.indices, minlength=self.matrix.shape[1])


@dataclass(frozen=True, eq=False)
class Network:
    """What an engine runs. Populations come in a fixed order; ``output`` names one of them."""

    input_name: str
    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    output: str
    dynamics: Dynamics

    @property
    def n_inputs(self) -> int:
        """Number of input channels."""
        return prod(self.input_shape)

    @property
    def depth(self) -> int:
        """Connections on the shortest way from input to output: the read-out's lag in ticks."""
        reached, hops = {self.input_name}, 0
        while self.output not in reached:
            grown = reached | {c.target for c in self.connections if c.source in reached}
            if grown == reached:
                raise GraphError(
                    f"node {self.output!r}: the output cannot be reached from the input; "
                    "connect it or choose another output"
                )
            reached, hops = grown, hops + 1
        return hops

    def population(self, name: str) -> Population:
        """The population called ``name``."""
        for population in self.populations:
            if population.name == name:
                return population
        known = ", ".join(p.name for p in self.populations)
        raise GraphError(f"no population {name!r}; the graph has {known}")


def check_loihi(network: Network) -> None:
    """Refuse what Loihi's integers cannot hold, naming the node.

    u cannot wrap when 64 * (sum of one neuron's weights of one sign in a tick) * 4096 / (du + 1)
    stays below 2**23: the left side is the fixed point of u under that input in every tick.

    Raises
    ------
    GraphError
        For fractional or too large weights, biases and thresholds, a connection with both signs
        (it would lose its lowest bit), decays out of range, and a u that could wrap.
    """
    for connection in network.connections:
        _check_weights(connection)
    for population in network.populations:
        _check_neurons(population)
        if not network.dynamics.allow_wrap:
            _check_wrap(network, population)


def _check_weights(connection: Connection) -> None:
    weights = connection.matrix.data
    where = f"node {connection.name!r}"
    if not np.array_equal(weights, np.rint(weights)):
        bad = weights[weights != np.rint(weights)][0]
        raise GraphError(
            f"{where}: Loihi precision needs integer weights, got {bad:g}; "
            "scale and round them, or use --precision float64"
        )
    if weights.size and np.abs(weights).max() > MAX_WEIGHT:
        raise GraphError(
            f"{where}: Loihi weights lie in -{MAX_WEIGHT}..{MAX_WEIGHT}, "
            f"got {weights[np.abs(weights).argmax()]:g}; scale weights and threshold down"
        )
    if weights.size and weights.min() < 0 < weights.max():
        raise GraphError(
            f"{where}: a mixed-sign matrix loses its lowest bit on Loihi; "
            "split it into an excitatory and an inhibitory node"
        )


def _check_neurons(population: Population) -> None:
    where = f"node {population.name!r}"
    for label, values in (("thresholds", population.threshold), ("biases", population.bias)):
        if not np.array_equal(values, np.rint(values)):
            bad = values[values != np.rint(values)][0]
            raise GraphError(
                f"{where}: Loihi precision needs integer {label}, got {bad:g}; "
                "scale and round them, or use --precision float64"
            )
    if population.vth.min() < 0 or population.vth.max() > MAX_THRESHOLD:
        raise GraphError(
            f"{where}: Loihi thresholds lie in 0..{MAX_THRESHOLD}, got "
            f"{population.vth.min()}..{population.vth.max()}"
        )
    for label, decay in (("tau_syn", population.du), ("tau_mem", population.dv)):
        if decay.min() < 0 or decay.max() > UNIT - 1:
            raise GraphError(
                f"{where}: {label} gives a Loihi decay of {decay.min()}..{decay.max()}, "
                f"allowed is 0..{UNIT - 1}; change {label} or dt"
            )


def peak_current(network: Network, population: Population) -> NDArray[np.float64]:
    """Largest ``|u|`` in Loihi's units that any input can cause, ``(n,)``.

    64 (sum of one neuron's weights of one sign, bias included) 4096 / (du + 1), the fixed point of
    u when all of them arrive in every tick.
    """
    positive = np.maximum(population.bias, 0)
    negative = np.maximum(-population.bias, 0)
    for connection in network.connections:
        if connection.target == population.name:
            positive = positive + connection.matrix.maximum(0).sum(axis=1)
            negative = negative - connection.matrix.minimum(0).sum(axis=1)
    drive = np.maximum(positive, negative) * (1 << WEIGHT_SHIFT)
    peak: NDArray[np.float64] = drive * UNIT / (population.du + 1)
    return peak


def _check_wrap(network: Network, population: Population) -> None:
    peak = peak_current(network, population)
    if peak.max() >= LIMIT:
        raise GraphError(
            f"node {population.name!r}: u could reach {peak.max():.0f} and wrap at {LIMIT}; "
            "lower its weights or tau_syn, or build it with Dynamics(allow_wrap=True)"
        )
