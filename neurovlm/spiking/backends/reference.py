"""The specification: slow, obvious NumPy. Every other backend must give the same spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.backends.base import (
    EVERY_FEATURE,
    Capabilities,
    OneByOne,
    Recorder,
    check_run,
    initial_state,
    variable_dtype,
)
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import Cells, step_float, step_loihi, step_sigma_delta
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.linear import Matrix
from neurovlm.spiking.network import Connection, Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import Fired, SpikeTrain


class ReferenceBackend(OneByOne):
    """Steps every population tick by tick."""

    name = "reference"
    capabilities = Capabilities(frozenset(Precision), EVERY_FEATURE, resumes=True)

    def run(
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default)."""
        network = check_run(self, graph, spikes, state, probes)
        start = initial_state(graph) if state is None else state
        precision = graph.dynamics.precision
        record = Recorder(network, start, probes)
        cells: dict[str, Cells] = dict(start.cells)
        dtypes = {p.name: variable_dtype(p, p.variables[0], precision) for p in network.populations}
        incoming = _incoming(network, dtypes)
        for tick in range(spikes.n_ticks):
            arriving = {
                p.name: _arriving(p, incoming[p.name], record.recent, dtypes[p.name])
                for p in network.populations
            }
            record.sent(network.input_name, spikes.at(tick))
            for p in network.populations:
                cells[p.name], payload = _step(p, cells[p.name], arriving[p.name], precision)
                record.sent(p.name, Fired.of(payload, graded=p.graded))
                record.note(p.name, cells[p.name], payload)
        return record.trace(spikes, cells)


def _incoming(
    network: Network, dtypes: Mapping[str, np.dtype[Any]]
) -> dict[str, list[tuple[Connection, Matrix]]]:
    """Connections into each population with their weights in its arithmetic."""
    incoming: dict[str, list[tuple[Connection, Matrix]]] = {name: [] for name in dtypes}
    for c in network.connections:
        incoming[c.target].append((c, c.matrix.astype(dtypes[c.target])))
    return incoming


def _arriving(
    p: Population,
    incoming: list[tuple[Connection, Matrix]],
    recent: Mapping[str, tuple[Fired, ...]],
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """Sum of the weights of all spikes that reach ``p`` in this tick, and its bias."""
    total = np.zeros(p.size, dtype) if p.graded else p.bias.astype(dtype)
    for c, weight in incoming:
        total = total + weight @ _due(c, recent[c.source], dtype)
    return total


def _due(c: Connection, recent: tuple[Fired, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Payload of each source whose spike was sent its axonal delay ago."""
    payload = np.zeros(c.matrix.shape[1], dtype)
    for age, fired in enumerate(recent):
        due = c.delay[fired.neuron] == age
        payload[fired.neuron[due]] = 1 if fired.value is None else fired.value[due]
    return payload


def _step(
    p: Population, cells: Cells, a: NDArray[Any], precision: Precision
) -> tuple[Cells, NDArray[Any]]:
    if p.graded:
        return step_sigma_delta(p, cells, a)
    return step_loihi(p, cells, a) if precision is Precision.LOIHI else step_float(p, cells, a)
