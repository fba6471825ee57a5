"""snnTorch: one ``Synaptic`` layer per population, sparse weights, spikes delayed by one tick.

``Synaptic`` computes ``syn = alpha syn + x; mem = beta mem + syn``, fires on ``mem - threshold >
0`` and, with ``reset_mechanism="zero", reset_delay=False``, sets mem to 0 in the same tick: our
equations, with ``alpha = 1 - loss_u / 4096``. Its default, the delayed reset, gives other spikes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.optional import require
from neurovlm.spiking.backends.base import Capabilities, OneByOne, check_run, initial_state
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Connection, Feature, Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import Fired, SpikeTrain


class SnnTorchBackend(OneByOne):
    """Runs a graph on snnTorch neurons; floating point only."""

    name = "snntorch"
    capabilities = Capabilities(
        frozenset({Precision.FLOAT32, Precision.FLOAT64}),
        frozenset({Feature.PER_NEURON, Feature.BIAS}),
        resumes=True,
    )

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
        require("snntorch", "the snntorch backend")
        import torch

        dtype = torch.float32 if graph.dynamics.precision is Precision.FLOAT32 else torch.float64
        start = initial_state(graph) if state is None else state
        cells = {p.name: _cell(p, dtype) for p in network.populations}
        weights = [_weights(c, dtype) for c in network.connections]
        biases = {p.name: torch.tensor(p.bias, dtype=dtype) for p in network.populations}
        syn = {name: torch.tensor(c["u"], dtype=dtype) for name, c in start.cells.items()}
        mem = {name: torch.tensor(c["v"], dtype=dtype) for name, c in start.cells.items()}
        sizes = {network.input_name: network.n_inputs}
        sizes |= {p.name: p.size for p in network.populations}
        last = {
            name: _column(start.recent[name][0].neuron, size, dtype) for name, size in sizes.items()
        }
        fired: dict[str, list[Fired]] = {p.name: [] for p in network.populations}
        bounds = np.searchsorted(spikes.tick, np.arange(spikes.n_ticks + 1))
        with torch.no_grad():
            for tick in range(spikes.n_ticks):
                arriving = dict(biases)
                for c, weight in zip(network.connections, weights, strict=True):
                    delivered = torch.mv(weight, last[c.source])
                    arriving[c.target] = arriving[c.target] + delivered
                fed = spikes.neuron[bounds[tick] : bounds[tick + 1]]
                last[network.input_name] = _column(fed, network.n_inputs, dtype)
                for name, cell in cells.items():
                    spike, syn[name], mem[name] = cell(arriving[name], syn[name], mem[name])
                    last[name] = spike.to(dtype)
                    fired[name].append(Fired.of(spike.numpy()))
        trains = {
            p.name: SpikeTrain.from_ticks(fired[p.name], dt_s=spikes.dt_s, shape=p.shape)
            for p in network.populations
        }
        return Trace(spikes, trains, network, _state(network, syn, mem, last), start.recent)


def _cell(p: Population, dtype: Any) -> Any:
    import torch
    from snntorch import Synaptic

    return Synaptic(
        alpha=torch.tensor((UNIT - p.loss_u) / UNIT, dtype=dtype),
        beta=torch.tensor((UNIT - p.loss_v) / UNIT, dtype=dtype),
        threshold=torch.tensor(p.threshold, dtype=dtype),
        reset_mechanism="zero",
        reset_delay=False,
    )


def _weights(c: Connection, dtype: Any) -> Any:
    import torch

    with warnings.catch_warnings():  # torch calls its CSR layout beta, once per process
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            torch.tensor(c.matrix.indptr, dtype=torch.int64),
            torch.tensor(c.matrix.indices, dtype=torch.int64),
            torch.tensor(c.matrix.data, dtype=dtype),
            size=c.matrix.shape,
            check_invariants=False,
        )


def _column(neurons: NDArray[np.int32], size: int, dtype: Any) -> Any:
    import torch

    column = torch.zeros(size, dtype=dtype)
    column[torch.from_numpy(neurons.astype(np.int64))] = 1
    return column


def _state(network: Network, syn: Any, mem: Any, last: Any) -> NetworkState:
    recent = {name: (Fired.of(column.numpy()),) for name, column in last.items()}
    names = [p.name for p in network.populations]
    cells = {name: {"u": syn[name].numpy().copy(), "v": mem[name].numpy().copy()} for name in names}
    return NetworkState(cells, recent)
