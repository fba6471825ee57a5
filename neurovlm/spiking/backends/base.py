"""What a backend is, what it says it can do, and how to get one by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain


@dataclass(frozen=True)
class Capabilities:
    """What a backend honours exactly.

    Attributes
    ----------
    precisions
        Arithmetic it reproduces spike for spike.
    resumes
        Whether it takes and returns a state.
    per_neuron
        Whether decays and thresholds may differ within a population.
    bias
        Whether populations may have a constant input.
    """

    precisions: frozenset[Precision]
    resumes: bool
    per_neuron: bool
    bias: bool


class Backend(Protocol):
    """Runs a graph on input spikes.

    Every connection delivers the spikes of the previous tick, input connections included; the
    first tick delivers the state's pending spikes (none without a state).
    """

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it honours; anything else it refuses with a GraphError."""
        ...

    def run(
        self, graph: SpikingGraph, spikes: SpikeTrain, state: NetworkState | None = None
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks."""
        ...


_REGISTRY = {
    "fast": "neurovlm.spiking.backends.fast:FastBackend",
    "reference": "neurovlm.spiking.backends.reference:ReferenceBackend",
    "lava": "neurovlm.spiking.backends.lava.runner:LavaBackend",
    "snntorch": "neurovlm.spiking.backends.snntorch:SnnTorchBackend",
}
BACKENDS = tuple(_REGISTRY)


def get_backend(name: str) -> Backend:
    """The backend called ``name``.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    if name not in _REGISTRY:
        raise UsageError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
    module, _, attribute = _REGISTRY[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)()
    return backend


def check_run(
    backend: Backend, graph: SpikingGraph, spikes: SpikeTrain, state: NetworkState | None
) -> Network:
    """Refuse what the backend cannot honour exactly, naming field, value and who can.

    Raises
    ------
    GraphError
        When input and graph do not fit, or the backend lacks a capability.
    """
    network, can = graph.network, backend.capabilities
    precision = graph.dynamics.precision
    if precision not in can.precisions:
        others = [
            name for name in BACKENDS if precision in get_backend(name).capabilities.precisions
        ]
        raise GraphError(
            f"backend {backend.name!r}: precision {precision} is not exact there, it has "
            f"{', '.join(sorted(can.precisions))}; backends with {precision}: {', '.join(others)}"
        )
    if spikes.n_neurons != network.n_inputs:
        raise GraphError(
            f"node {network.input_name!r}: takes {network.input_shape}, "
            f"the spikes are {spikes.shape}"
        )
    if spikes.dt_s != graph.dynamics.dt_s:
        raise GraphError(
            f"graph {graph.name!r}: dt is {graph.dynamics.dt_s:g} s, "
            f"the spikes have {spikes.dt_s:g} s"
        )
    if state is not None and not can.resumes:
        raise GraphError(
            f"backend {backend.name!r}: cannot start from a state; run the whole train at once, "
            "or use fast or reference"
        )
    for population in network.populations:
        fields = (population.loss_u, population.loss_v, population.threshold)
        if not can.per_neuron and any(np.ptp(field) != 0 for field in fields):
            raise GraphError(
                f"backend {backend.name!r}: node {population.name!r} has decays or thresholds that "
                "differ between neurons; use fast or reference"
            )
        if population.bias.any() and not can.bias:
            raise GraphError(
                f"backend {backend.name!r}: node {population.name!r} has a bias of "
                f"{population.bias[population.bias != 0][0]:g}; use fast or reference"
            )
    return network


def initial_state(graph: SpikingGraph) -> NetworkState:
    """Silence: u = v = 0 and nothing pending."""
    network = graph.network
    dtype = state_dtype(graph.dynamics.precision)
    zeros = {p.name: np.zeros(p.size, dtype) for p in network.populations}
    none = np.empty(0, np.int32)
    names = (network.input_name, *zeros)
    return NetworkState(u=zeros, v=dict(zeros), pending=dict.fromkeys(names, none))


def state_dtype(precision: Precision) -> np.dtype[Any]:
    """Dtype of u and v in a NetworkState."""
    dtypes: dict[Precision, type[np.generic]] = {
        Precision.LOIHI: np.int64,
        Precision.FLOAT64: np.float64,
        Precision.FLOAT32: np.float32,
    }
    return np.dtype(dtypes[precision])
