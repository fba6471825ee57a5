"""The specification: slow, obvious NumPy. Every other backend must give the same spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.backends.base import Capabilities, check_run, initial_state, state_dtype
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT, step_float, step_loihi
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.linear import Matrix
from neurovlm.spiking.network import Population
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain


class ReferenceBackend:
    """Steps every population tick by tick."""

    name = "reference"
    capabilities = Capabilities(frozenset(Precision), resumes=True, per_neuron=True, bias=True)

    def run(
        self, graph: SpikingGraph, spikes: SpikeTrain, state: NetworkState | None = None
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default)."""
        network = check_run(self, graph, spikes, state)
        start = initial_state(graph) if state is None else state
        u, v = dict(start.u), dict(start.v)
        pending = dict(start.pending)
        fired: dict[str, list[NDArray[np.int32]]] = {p.name: [] for p in network.populations}
        bounds = np.searchsorted(spikes.tick, np.arange(spikes.n_ticks + 1))
        dtype = state_dtype(graph.dynamics.precision)
        biases = {p.name: p.bias.astype(dtype) for p in network.populations}
        weights = [c.matrix.astype(dtype) for c in network.connections]
        for tick in range(spikes.n_ticks):
            arriving = dict(biases)
            for c, weight in zip(network.connections, weights, strict=True):
                delivered = _deliver(weight, pending[c.source])
                arriving[c.target] = arriving[c.target] + delivered
            pending[network.input_name] = spikes.neuron[bounds[tick] : bounds[tick + 1]]
            for p in network.populations:
                u[p.name], v[p.name], s = _step(p, u[p.name], v[p.name], arriving[p.name], graph)
                pending[p.name] = np.flatnonzero(s).astype(np.int32)
                fired[p.name].append(pending[p.name])
        trains = {
            p.name: SpikeTrain.from_ticks(fired[p.name], dt_s=spikes.dt_s, shape=p.shape)
            for p in network.populations
        }
        end = NetworkState(u, v, pending)
        return Trace(spikes, trains, network, end, start.pending)


def _deliver(weight: Matrix, sources: NDArray[np.int32]) -> NDArray[Any]:
    """Sum of the weights from the sources that fired, per target."""
    spiking = np.zeros(weight.shape[1], weight.dtype)
    spiking[sources] = 1
    delivered: NDArray[Any] = weight @ spiking
    return delivered


def _step(
    p: Population, u: NDArray[Any], v: NDArray[Any], a: NDArray[Any], graph: SpikingGraph
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    if graph.dynamics.precision is Precision.LOIHI:
        return step_loihi(u, v, a, du=p.du, dv=p.dv, vth=p.vth)
    dtype = u.dtype
    keep_u = ((UNIT - p.loss_u) / UNIT).astype(dtype)
    keep_v = ((UNIT - p.loss_v) / UNIT).astype(dtype)
    return step_float(u, v, a, keep_u=keep_u, keep_v=keep_v, vth=p.threshold.astype(dtype))
