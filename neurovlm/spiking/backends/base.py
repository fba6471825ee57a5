"""What a backend is, what it says it can do, and how to get one by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature, Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import NOTHING, Fired, SpikeTrain

EVERY_FEATURE = frozenset(Feature)


@dataclass(frozen=True)
class Capabilities:
    """What a backend honours exactly.

    Attributes
    ----------
    precisions
        Arithmetic it reproduces spike for spike.
    features
        What it can do beyond plain LIF populations.
    resumes
        Whether it takes and returns a state.
    """

    precisions: frozenset[Precision]
    features: frozenset[Feature]
    resumes: bool


class Backend(Protocol):
    """Runs a graph on input spikes.

    Every connection delivers the spikes of the previous tick, input connections included, plus its
    axonal delay; the first ticks deliver what the state says is on its way (nothing without one).
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
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks."""
        ...

    def run_batch(self, graph: SpikingGraph, batch: Sequence[SpikeTrain]) -> list[Trace]:
        """Run trains of one length, each from silence; the same as one by one."""
        ...


class OneByOne:
    """``run_batch`` for a backend that has no faster way."""

    def run_batch(self: Backend, graph: SpikingGraph, batch: Sequence[SpikeTrain]) -> list[Trace]:
        """Run trains of one length, each from silence, one after the other."""
        check_batch(batch)
        return [self.run(graph, spikes) for spikes in batch]


_REGISTRY = {
    "fast": "neurovlm.spiking.backends.fast:FastBackend",
    "reference": "neurovlm.spiking.backends.reference:ReferenceBackend",
    "lava": "neurovlm.spiking.backends.lava.runner:LavaBackend",
    "brian2": "neurovlm.spiking.backends.brian.backend:Brian2Backend",
    "norse": "neurovlm.spiking.backends.norse:NorseBackend",
    "snntorch": "neurovlm.spiking.backends.snntorch:SnnTorchBackend",
}
BACKENDS = tuple(_REGISTRY)


def get_backend(name: str, **options: Any) -> Backend:
    """The backend called ``name``, built with its own ``options``: ``mode="standalone"`` of brian2.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    if name not in _REGISTRY:
        raise UsageError(f"unknown backend {name!r}; known are {', '.join(BACKENDS)}")
    module, _, attribute = _REGISTRY[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(**options)
    return backend


def check_run(
    backend: Backend,
    graph: SpikingGraph,
    spikes: SpikeTrain,
    state: NetworkState | None = None,
    probes: Sequence[Probe] = (),
) -> Network:
    """Refuse what the backend cannot honour exactly, naming field, value and who can.

    Raises
    ------
    GraphError
        When input and graph do not fit, or the backend lacks a capability.
    UsageError
        For a probe of something the graph does not have.
    """
    network, can = graph.network, backend.capabilities
    precision = graph.dynamics.precision
    if precision not in can.precisions:
        raise GraphError(
            f"backend {backend.name!r}: precision {precision} is not exact there, it has "
            f"{', '.join(sorted(can.precisions))}; backends with {precision}: "
            + _those(lambda other: precision in other.precisions)
        )
    _check_input(graph, spikes)
    if state is not None and not can.resumes:
        raise GraphError(
            f"backend {backend.name!r}: cannot start from a state; run the whole train at once, "
            "or use " + _those(lambda other: other.resumes)
        )
    for feature, where in network.needs.items():
        if feature not in can.features:
            raise GraphError(
                f"backend {backend.name!r}: {where}: it cannot honour {feature.value}; use "
                + _those(lambda other, f=feature: f in other.features)
            )
    for request in probes:
        request.check(network)
    return network


def _check_input(graph: SpikingGraph, spikes: SpikeTrain) -> None:
    network = graph.network
    where = f"node {network.input_name!r}"
    if spikes.n_neurons != network.n_inputs:
        raise GraphError(f"{where}: takes {network.input_shape}, the spikes are {spikes.shape}")
    if spikes.dt_s != graph.dynamics.dt_s:
        raise GraphError(
            f"graph {graph.name!r}: dt is {graph.dynamics.dt_s:g} s, "
            f"the spikes have {spikes.dt_s:g} s"
        )
    if spikes.value is None:
        if network.input_bits:
            raise GraphError(
                f"{where}: takes graded spikes of {network.input_bits} bits, these are binary; "
                "give the train values"
            )
        return
    if not network.input_bits:
        raise GraphError(
            f"{where}: takes binary spikes, these are graded; leave their values out, or declare "
            "message_bits for the node"
        )
    if len(spikes) and (spikes.value.min() < 1 or spikes.value.max() >= 1 << network.input_bits):
        raise GraphError(
            f"{where}: payloads lie in 1..{(1 << network.input_bits) - 1}, got "
            f"{spikes.value.min()}..{spikes.value.max()}; raise message_bits or lower the payloads"
        )


def check_batch(batch: Sequence[SpikeTrain]) -> None:
    """Refuse trains of different lengths."""
    lengths = sorted({spikes.n_ticks for spikes in batch})
    if len(lengths) > 1:
        raise UsageError(f"run_batch: trains must have one length, got {lengths} ticks")


def _those(can: Any) -> str:
    return ", ".join(name for name in BACKENDS if can(get_backend(name).capabilities)) or "none"


def initial_state(graph: SpikingGraph) -> NetworkState:
    """Silence: every variable 0 and nothing on its way."""
    network = graph.network
    cells = {
        p.name: {
            name: np.zeros(p.size, variable_dtype(p, name, graph.dynamics.precision))
            for name in p.variables
        }
        for p in network.populations
    }
    names = (network.input_name, *cells)
    return NetworkState(cells, {name: (NOTHING,) * (1 + network.reach(name)) for name in names})


def variable_dtype(p: Population, name: str, precision: Precision) -> np.dtype[Any]:
    """Dtype of one state variable in a NetworkState."""
    counted = p.graded or name == "wait"
    return np.dtype(np.int64) if counted else state_dtype(precision)


def state_dtype(precision: Precision) -> np.dtype[Any]:
    """Dtype of currents and potentials."""
    dtypes: dict[Precision, type[np.generic]] = {
        Precision.LOIHI: np.int64,
        Precision.FLOAT64: np.float64,
        Precision.FLOAT32: np.float32,
    }
    return np.dtype(dtypes[precision])


class Recorder:
    """Collects spikes and probes tick by tick, for backends that step in Python.

    ``recent`` holds what each source sent in the last ticks, newest first, as NetworkState does.
    """

    def __init__(self, network: Network, state: NetworkState, probes: Sequence[Probe]) -> None:
        self._network = network
        self.carried = state.recent
        self.recent = dict(state.recent)
        self._fired: dict[str, list[Fired]] = {p.name: [] for p in network.populations}
        self._wanted = {p.population: p.variables for p in probes}
        self._probed: dict[str, dict[str, list[NDArray[Any]]]] = {
            p.population: {name: [] for name in p.variables} for p in probes
        }

    def sent(self, source: str, fired: Fired) -> None:
        """The input or a population fired; call it once per tick and source."""
        self.recent[source] = (fired, *self.recent[source][:-1])
        if source in self._fired:
            self._fired[source].append(fired)

    def note(self, population: str, variables: Any, payload: NDArray[Any]) -> None:
        """Keep the probed ones of ``variables`` (by name) and ``payload`` under ``s``."""
        for name in self._wanted.get(population, ()):
            value = payload if name == "s" else variables[name]
            self._probed[population][name].append(np.array(value))

    def trace(self, spikes: SpikeTrain, cells: Any) -> Trace:
        """Put the run together; ``cells`` are the state variables after its last tick."""
        trains = {
            p.name: SpikeTrain.from_ticks(
                self._fired[p.name], dt_s=spikes.dt_s, shape=p.shape, graded=p.graded
            )
            for p in self._network.populations
        }
        probed = {
            population: {
                name: np.array(rows).reshape(len(rows), self._network.population(population).size)
                for name, rows in variables.items()
            }
            for population, variables in self._probed.items()
        }
        state = NetworkState(cells, self.recent)
        return Trace(spikes, trains, self._network, state, self.carried, probed)
