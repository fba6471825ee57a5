"""The tick loop of the torch simulators: delays, graded input, probes, states and batches.

A simulator contributes `Neurons`, one population in its own units; everything here is in ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovlm.spiking.backends.base import Recorder, initial_state, variable_dtype
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import Fired, SpikeTrain


class Neurons(Protocol):
    """One population in a simulator; every tensor is ``(batch, n)``."""

    def start(self, variables: Mapping[str, Tensor]) -> Any:
        """The simulator's state from our state variables, see `Population.variables`."""
        ...

    def step(self, arriving: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One tick: spikes as zeros and ones, and the state after it."""
        ...

    def variables(self, state: Any) -> Mapping[str, Tensor]:
        """Our state variables from the simulator's state."""
        ...


def run_torch(
    graph: SpikingGraph,
    batch: Sequence[SpikeTrain],
    build: Callable[[Population, torch.dtype], Neurons],
    state: NetworkState | None = None,
    probes: Sequence[Probe] = (),
) -> list[Trace]:
    """Run trains of one length at once, all from ``state`` (silence by default).

    Sums of weights must be exact in the graph's precision, as sums of integers are: the order in
    which torch's sparse product adds is its own.
    """
    network, precision = graph.network, graph.dynamics.precision
    dtype = torch.float32 if precision is Precision.FLOAT32 else torch.float64
    start = initial_state(graph) if state is None else state
    record = _Records(network, start, probes, batch, precision)
    neurons = {p.name: build(p, dtype) for p in network.populations}
    inputs = {p.name: _Inputs.of(network, p, dtype) for p in network.populations}
    sizes = {network.input_name: network.n_inputs} | {p.name: p.size for p in network.populations}
    recent = {
        name: [_payload([fired] * len(batch), sizes[name], dtype) for fired in sent]
        for name, sent in start.recent.items()
    }
    cells = {
        name: neurons[name].start(
            {v: torch.tensor(x, dtype=dtype).expand(len(batch), -1) for v, x in variables.items()}
        )
        for name, variables in start.cells.items()
    }
    with torch.inference_mode():
        for tick in range(record.n_ticks):
            arriving = {name: inputs[name].arriving(recent) for name in neurons}
            fed = record.fed(tick)
            _push(recent[network.input_name], _payload(fed, network.n_inputs, dtype))
            for name, population in neurons.items():
                spikes, cells[name] = population.step(arriving[name], cells[name])
                spikes = spikes.to(dtype)
                _push(recent[name], spikes)
                record.sent(name, spikes)
                if name in record.probed:
                    record.note(name, population.variables(cells[name]), spikes)
    return record.traces({name: neurons[name].variables(cells[name]) for name in neurons})


@dataclass(frozen=True, eq=False)
class _Link:
    """Weights of those neurons of ``source`` whose spikes travel ``age`` ticks longer than one."""

    source: str
    age: int
    weight: Tensor


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Everything that arrives at one population."""

    bias: Tensor
    links: tuple[_Link, ...]

    @classmethod
    def of(cls, network: Network, p: Population, dtype: torch.dtype) -> _Inputs:
        links = [
            _Link(c.source, int(age), _csr(_columns(c.matrix, c.delay == age), dtype))
            for c in network.connections
            if c.target == p.name
            for age in np.unique(c.delay)
        ]
        return cls(torch.tensor(p.bias, dtype=dtype), tuple(links))

    def arriving(self, recent: Mapping[str, Sequence[Tensor]]) -> Tensor:
        """Bias and delivered weights, ``(batch, n)``."""
        total = self.bias.expand(len(next(iter(recent.values()))[0]), -1)
        for link in self.links:
            sent = recent[link.source][link.age]
            if len(sent) == 1:  # twice as fast as a product with one column
                total = total + torch.mv(link.weight, sent[0])
            else:
                total = total + torch.mm(link.weight, sent.T).T
        return total


class _Records:
    """One `Recorder` per train of a batch."""

    def __init__(
        self,
        network: Network,
        start: NetworkState,
        probes: Sequence[Probe],
        batch: Sequence[SpikeTrain],
        precision: Precision,
    ) -> None:
        self._network, self._batch = network, batch
        self._dtypes = {
            p.name: {v: variable_dtype(p, v, precision) for v in p.variables}
            for p in network.populations
        }
        self._each = [Recorder(network, start, probes) for _ in batch]
        self.probed = {request.population for request in probes}
        self.n_ticks = batch[0].n_ticks if batch else 0

    def fed(self, tick: int) -> list[Fired]:
        """Input spikes of one tick, which go on record."""
        fed = [spikes.at(tick) for spikes in self._batch]
        for record, fired in zip(self._each, fed, strict=True):
            record.sent(self._network.input_name, fired)
        return fed

    def sent(self, name: str, spikes: Tensor) -> None:
        for record, row in zip(self._each, spikes.numpy(), strict=True):
            record.sent(name, Fired.of(row))

    def note(self, name: str, variables: Mapping[str, Tensor], spikes: Tensor) -> None:
        rows = spikes.numpy() > 0
        arrays = self._arrays(name, variables)
        for i, record in enumerate(self._each):
            record.note(name, {v: x[i] for v, x in arrays.items()}, rows[i])

    def traces(self, cells: Mapping[str, Mapping[str, Tensor]]) -> list[Trace]:
        arrays = {name: self._arrays(name, variables) for name, variables in cells.items()}
        return [
            record.trace(spikes, {n: {v: x[i] for v, x in a.items()} for n, a in arrays.items()})
            for i, (record, spikes) in enumerate(zip(self._each, self._batch, strict=True))
        ]

    def _arrays(self, name: str, variables: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        dtypes = self._dtypes[name]
        return {v: variables[v].numpy().astype(dtypes[v]) for v in dtypes}


def parameter(values: NDArray[np.float64], dtype: torch.dtype) -> Tensor:
    """``(n,)``, or a single number where all are equal, which is faster."""
    same = values.size and not np.any(values != values[0])
    return torch.tensor(values[0] if same else values, dtype=dtype)


def _push(recent: list[Tensor], sent: Tensor) -> None:
    """Newest first; the oldest drops out."""
    recent.insert(0, sent)
    recent.pop()


def _payload(fired: Sequence[Fired], size: int, dtype: torch.dtype) -> Tensor:
    """``(batch, size)``: 1 or the payload where a spike was sent."""
    payload = np.zeros((len(fired), size))
    for row, spikes in zip(payload, fired, strict=True):
        row[spikes.neuron] = 1 if spikes.value is None else spikes.value
    return torch.from_numpy(payload).to(dtype)


def _columns(matrix: Any, wanted: NDArray[np.bool_]) -> Any:
    """``matrix`` with only the wanted columns, the others empty."""
    if wanted.all():
        return matrix
    chosen = scipy.sparse.csr_array(matrix @ scipy.sparse.diags_array(wanted.astype(np.float64)))
    chosen.eliminate_zeros()
    return chosen


def _csr(matrix: Any, dtype: torch.dtype) -> Tensor:
    """As a torch matrix; with 32-bit indices, which MKL takes without converting them."""
    with warnings.catch_warnings():  # torch calls its CSR layout beta, once per process
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            torch.tensor(matrix.indptr, dtype=torch.int32),
            torch.tensor(matrix.indices, dtype=torch.int32),
            torch.tensor(matrix.data, dtype=dtype),
            size=matrix.shape,
            check_invariants=False,
        )
