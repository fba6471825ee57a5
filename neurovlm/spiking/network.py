"""Network: a NIR graph resolved into populations and sparse integer connections.

Engines read this, never NIR nodes. Between two populations any chain of linear nodes becomes one
matrix, and that connection delivers the spikes of the previous tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics


class Kind(StrEnum):
    """Which equations a population follows, see `neurovlm.spiking.fixed_point`."""

    LIF = "lif"
    LI = "li"
    DELTA = "delta"
    SIGMA_DELTA = "sigma-delta"


class Feature(StrEnum):
    """What a graph may need beyond plain LIF populations, and not every backend has."""

    PER_NEURON = "parameters that differ between neurons"
    BIAS = "a constant input"
    INTEGRATOR = "neurons that never fire"
    REFRACTORY = "a refractory period"
    ADAPTATION = "an adaptive threshold"
    DELAY = "axonal delays"
    GRADED = "graded spikes"
    SIGMA_DELTA = "sigma-delta neurons"


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one node; the fields after ``bias`` are 0 unless said.

    Attributes
    ----------
    loss_u, loss_v
        Part of u and v lost per tick, in 4096ths (4096 dt / tau), float64 ``(n,)``.
    threshold
        float64 ``(n,)``, in units of weight.
    bias
        Constant added to the summed weights each tick, float64 ``(n,)``.
    kind
        Which equations it follows.
    refractory
        Ticks after a spike for which v is held at 0.
    loss_w, step
        Adaptive threshold: part of its rise lost per tick, in 4096ths, and the rise per spike.
    rectified
        Whether a sigma-delta population sends the positive part only.
    """

    name: str
    shape: tuple[int, ...]
    loss_u: NDArray[np.float64]
    loss_v: NDArray[np.float64]
    threshold: NDArray[np.float64]
    bias: NDArray[np.float64]
    kind: Kind = Kind.LIF
    refractory: int = 0
    loss_w: float = 0.0
    step: float = 0.0
    rectified: bool = False

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)

    @property
    def graded(self) -> bool:
        """Whether its spikes carry values."""
        return self.kind in (Kind.DELTA, Kind.SIGMA_DELTA)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its state variables.

        ``u`` current, ``v`` potential, ``w`` rise of the threshold, ``wait`` refractory ticks left;
        ``sigma`` sum of what arrived, ``act`` activation, ``residue`` part of it not yet sent.
        """
        if self.kind is Kind.DELTA:
            return ("act", "residue")
        if self.kind is Kind.SIGMA_DELTA:
            return ("sigma", "act", "residue")
        extra = ("w",) * (self.step > 0) + ("wait",) * (self.refractory > 0)
        return ("u", "v", *extra)

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

    @property
    def dw(self) -> int:
        """Decay of the threshold's rise: round(4096 dt / adapt_tau)."""
        return round(self.loss_w)


@dataclass(frozen=True, eq=False)
class Connection:
    """Weights from one population (or the input) to another.

    Attributes
    ----------
    matrix
        ``(targets, sources)``.
    delay
        int64 ``(sources,)``: axonal delay in ticks, on top of the one tick every connection takes.
    """

    name: str
    source: str
    target: str
    matrix: scipy.sparse.csr_array[Any, tuple[int, int]]
    delay: NDArray[np.int64]

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
    """What an engine runs. Populations come in a fixed order; ``output`` names one of them.

    ``input_bits`` is 0 for binary input spikes, else the bits of their payload.
    """

    input_name: str
    input_shape: tuple[int, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    output: str
    dynamics: Dynamics
    input_bits: int = 0

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

    @cached_property
    def needs(self) -> dict[Feature, str]:
        """What the graph needs beyond plain LIF, and where it was first seen."""
        found: dict[Feature, str] = {}
        for feature, where in _features(self):
            found.setdefault(feature, where)
        return found

    def reach(self, source: str) -> int:
        """Longest axonal delay behind ``source`` in ticks: how many older ticks still matter."""
        delays = [int(c.delay.max(initial=0)) for c in self.connections if c.source == source]
        return max(delays, default=0)

    def is_graded(self, source: str) -> bool:
        """Whether the input or population called ``source`` sends graded spikes."""
        if source == self.input_name:
            return self.input_bits > 0
        return self.population(source).graded


def _features(network: Network) -> Iterator[tuple[Feature, str]]:
    if network.input_bits:
        yield Feature.GRADED, f"node {network.input_name!r}: message_bits={network.input_bits}"
    for p in network.populations:
        where = f"node {p.name!r}: "
        for label, values in (
            ("decays", p.loss_u),
            ("decays", p.loss_v),
            ("thresholds", p.threshold),
        ):
            if np.ptp(values) != 0:
                yield Feature.PER_NEURON, f"{where}{label} {values.min():g} to {values.max():g}"
        if p.bias.any():
            yield Feature.BIAS, f"{where}bias {p.bias[p.bias != 0][0]:g}"
        if p.kind is Kind.LI:
            yield Feature.INTEGRATOR, f"{where}a leaky integrator"
        if p.refractory:
            yield Feature.REFRACTORY, f"{where}refractory for {p.refractory} ticks"
        if p.step:
            yield Feature.ADAPTATION, f"{where}adapt_step {p.step:g}"
        if p.graded:
            yield Feature.SIGMA_DELTA, f"{where}encoding {p.kind}"
            yield Feature.GRADED, f"{where}encoding {p.kind}"
    for c in network.connections:
        if c.delay.any():
            yield Feature.DELAY, f"node {c.name!r}: delay of {c.delay.max()} ticks"
