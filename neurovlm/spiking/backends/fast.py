"""The compiled engine: the whole graph as one sparse matrix, one pass per tick.

Neurons of all populations share one index space behind the inputs; each population starts at a
multiple of eight. This module flattens a graph and gives the results their shapes back; the loops
are in `loops`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import (
    Capabilities,
    OneByOne,
    check_run,
    initial_state,
    state_dtype,
)
from neurovlm.spiking.backends.loops import LANES, SHORT, Cells, run_float, run_loihi
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.loihi import peak_current
from neurovlm.spiking.network import Feature, Network, Population
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import Fired, SpikeTrain

_BUFFER = 1 << 20  # spikes per population recorded between two visits to Python


@dataclass(frozen=True, eq=False)
class _Program:
    """The graph as flat arrays, each source's first row, and the place of each neuron."""

    cells: Cells
    starts: Mapping[str, int]
    place: NDArray[np.int64]


class FastBackend(OneByOne):
    """Compiled, resumable; identical to the reference in every precision."""

    name = "fast"
    capabilities = Capabilities(
        frozenset(Precision), frozenset({Feature.PER_NEURON, Feature.BIAS}), resumes=True
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
        start = initial_state(graph) if state is None else state
        program = _compile(graph)
        u, v = (_flat(network, program, start, name) for name in ("u", "v"))
        pending = np.concatenate(
            [
                start.recent[name][0].neuron + np.int32(first)
                for name, first in program.starts.items()
            ]
        )
        kernel = run_loihi if graph.dynamics.precision is Precision.LOIHI else run_float
        bounds = np.searchsorted(spikes.tick, np.arange(spikes.n_ticks + 1))
        n_populations = len(program.cells.ends)
        room = len(u) * min(spikes.n_ticks, max(_BUFFER // len(u), 1))
        fired = np.empty((n_populations, room), np.int32)
        counts = np.zeros((spikes.n_ticks, n_populations), np.int32)
        parts: list[list[NDArray[np.int32]]] = [[] for _ in fired]
        tick = 0
        while tick < spikes.n_ticks:
            tick, n_fired, pending = kernel(
                program.cells, u, v, pending, spikes.neuron, bounds, tick, fired, counts
            )
            for part, row, n in zip(parts, fired, n_fired, strict=True):
                part.append(row[:n].copy())
        trains = {
            p.name: _train(p, part, count, spikes.dt_s)
            for p, part, count in zip(network.populations, parts, counts.T, strict=True)
        }
        end = _end_state(network, program, u, v, pending, graph.dynamics.precision)
        return Trace(spikes, trains, network, end, start.recent)


def _compile(graph: SpikingGraph) -> _Program:
    """Flatten once per graph; the result is kept on the (immutable) graph."""
    cached: _Program | None = graph.__dict__.get("_fast_program")
    if cached is not None:
        return cached
    network, precision = graph.network, graph.dynamics.precision
    sizes = np.array([p.size for p in network.populations])
    ends = np.cumsum(-(-sizes // LANES) * LANES)
    begins = np.array([0, *ends[:-1]])
    place = np.concatenate([b + np.arange(n) for b, n in zip(begins, sizes, strict=True)])
    names = (p.name for p in network.populations)
    starts = {network.input_name: 0}
    starts |= dict(zip(names, (network.n_inputs + begins).tolist(), strict=True))
    matrix = _matrix(network, starts, int(ends[-1]))
    loihi = precision is Precision.LOIHI
    if loihi:
        _check_range(network, matrix)
    dtype = np.dtype(np.int32) if loihi else state_dtype(precision)
    never = np.iinfo(np.int32).max if loihi else np.inf
    columns = zip(*(_constants(p, loihi) for p in network.populations), strict=True)
    fields = [np.concatenate(column) for column in columns]
    bias, keep_u, keep_v, threshold = (
        _padded(field, place, int(ends[-1]), fill, dtype)
        for field, fill in zip(fields, (0, 0, 0, never), strict=True)
    )
    cells = Cells(
        network.n_inputs,
        matrix.indptr.astype(np.uint32),
        matrix.indices.astype(np.uint16 if ends[-1] <= 1 << 16 else np.uint32),
        matrix.data.astype(_weight_dtype(matrix, dtype)),
        bool(bias.any()),
        bias,
        keep_u,
        keep_v,
        threshold,
        ends,
        np.array([_reach(network, p) for p in network.populations]),
    )
    program = _Program(cells, starts, place)
    graph.__dict__["_fast_program"] = program
    return program


def _matrix(network: Network, starts: Mapping[str, int], n: int) -> Any:
    """All connections as one CSR matrix, ``(sources, targets)``."""
    blocks = [c.matrix.tocoo() for c in network.connections]
    pairs = list(zip(blocks, network.connections, strict=True))
    row = np.concatenate([b.col + starts[c.source] for b, c in pairs])
    column = np.concatenate([b.row + (starts[c.target] - network.n_inputs) for b, c in pairs])
    data = np.concatenate([b.data for b in blocks])
    return scipy.sparse.csr_array((data, (row, column)), shape=(network.n_inputs + n, n))


def _weight_dtype(matrix: Any, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Half the bytes where they hold every weight: the matrix should stay in the cache."""
    short = dtype.kind == "i" and abs(matrix).max() < 1 << 15
    return np.dtype(np.int16) if short else dtype


def _constants(p: Population, loihi: bool) -> tuple[NDArray[Any], ...]:
    """Bias, the parts of u and v kept per tick, and threshold of each neuron."""
    if loihi:
        return p.bias, UNIT - 1 - p.du, UNIT - p.dv, p.vth << WEIGHT_SHIFT
    return p.bias, (UNIT - p.loss_u) / UNIT, (UNIT - p.loss_v) / UNIT, p.threshold


def _check_range(network: Network, matrix: Any) -> None:
    """32-bit sums hold, and one wrap is enough, while one tick's input stays below 2**24."""
    bias = max(float(np.abs(p.bias).max()) for p in network.populations)
    drive = float(abs(matrix).sum(axis=0).max()) + bias
    if drive * (1 << WEIGHT_SHIFT) > 2 * LIMIT:
        raise GraphError(
            f"backend 'fast': one neuron's weights sum to {drive:.0f}, more than its 32-bit sums "
            "hold; use backend reference"
        )


def _reach(network: Network, p: Population) -> tuple[int, int]:
    """Bounds that |u| and |v| never leave once within, if the short update serves them; else -1.

    It does where all neurons are alike and states stay so small that they need neither the split
    product nor wrap nor saturation: |u| <= U = peak current and |v| <= U 4096 / dv, or threshold.
    """
    alike = all(np.ptp(field) == 0 for field in (p.du, p.dv, p.vth))
    u = float(peak_current(network, p).max())
    v = max(u * UNIT / max(int(p.dv[0]), 1), float(p.vth[0] << WEIGHT_SHIFT))
    if not alike or p.dv[0] < 1 or max(u, v) >= SHORT - 1:
        return -1, -1
    return ceil(u), ceil(v)


def _padded(
    values: NDArray[Any], place: NDArray[np.int64], n: int, fill: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    array = np.full(n, fill, dtype)
    array[place] = values
    return array


def _flat(network: Network, program: _Program, state: NetworkState, name: str) -> NDArray[Any]:
    values = np.concatenate([state.cells[p.name][name] for p in network.populations])
    like = program.cells.bias
    return _padded(values, program.place, len(like), 0, like.dtype)


def _train(
    p: Population, parts: list[NDArray[np.int32]], counts: NDArray[np.int32], dt_s: float
) -> SpikeTrain:
    """Spikes of one population from its neurons, tick after tick, and their number in each."""
    neuron = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int32), *parts])
    tick = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return SpikeTrain(tick, neuron, len(counts), p.shape, dt_s)


def _end_state(
    network: Network,
    program: _Program,
    u: NDArray[Any],
    v: NDArray[Any],
    pending: NDArray[np.int32],
    precision: Precision,
) -> NetworkState:
    sizes = {network.input_name: network.n_inputs} | {p.name: p.size for p in network.populations}
    left = {}
    for name, first in program.starts.items():
        mine = (pending >= first) & (pending < first + sizes[name])
        left[name] = (Fired(pending[mine] - np.int32(first)),)
    names = [p.name for p in network.populations]
    cuts = np.cumsum([p.size for p in network.populations])[:-1]
    dtype = state_dtype(precision)
    u_of, v_of = (
        dict(zip(names, np.split(x[program.place].astype(dtype), cuts), strict=True))
        for x in (u, v)
    )
    return NetworkState({n: {"u": u_of[n], "v": v_of[n]} for n in names}, left)
