"""The compiled engine: the whole graph as one sparse matrix, one pass per tick.

Neurons of all populations share one index space behind the inputs; each population starts at a
multiple of eight, so that eight neurons at a time are tested for spikes. Spikes of the last tick
push their weights into an accumulator; then every neuron is updated in a loop that the compiler
turns into vector instructions. Loihi's product u * (4096 - d) >> 12 is split into 12-bit halves so
that it fits 32-bit lanes and stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Capabilities, check_run, initial_state, state_dtype
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network, Population
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain

_LANES = 8  # neurons whose spike bytes are tested as one word
_BUFFER = 1 << 16  # spikes per population recorded between two visits to Python


class _Cells(NamedTuple):
    """What the compiled loop reads.

    The matrix has one row per source, inputs first; its indices are unsigned because the compiler
    would test signed ones for being negative. The neuron arrays leave the inputs out; ``ends`` is
    where each population's padded block ends in them.
    """

    n_inputs: int
    indptr: NDArray[np.uint32]
    indices: NDArray[np.uint32]
    weights: NDArray[Any]
    bias: NDArray[Any]
    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    ends: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Program:
    """The graph as flat arrays, each source's first row, and the place of each neuron."""

    cells: _Cells
    starts: Mapping[str, int]
    place: NDArray[np.int64]


class FastBackend:
    """Compiled, resumable; identical to the reference in every precision."""

    name = "fast"
    capabilities = Capabilities(frozenset(Precision), resumes=True, per_neuron=True, bias=True)

    def run(
        self, graph: SpikingGraph, spikes: SpikeTrain, state: NetworkState | None = None
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default)."""
        network = check_run(self, graph, spikes, state)
        start = initial_state(graph) if state is None else state
        program = _compile(graph)
        u, v = (_flat(network, program, part) for part in (start.u, start.v))
        pending = np.concatenate(
            [start.pending[name] + np.int32(first) for name, first in program.starts.items()]
        )
        kernel = _run_loihi if graph.dynamics.precision is Precision.LOIHI else _run_float
        bounds = np.searchsorted(spikes.tick, np.arange(spikes.n_ticks + 1))
        n_populations = len(program.cells.ends)
        fired = np.empty((n_populations, max(_BUFFER, 2 * len(u))), np.int32)
        counts = np.zeros((spikes.n_ticks, n_populations), np.int32)
        parts: list[list[NDArray[np.int32]]] = [[np.empty(0, np.int32)] for _ in fired]
        tick = 0
        while tick < spikes.n_ticks:
            tick, n_fired, pending = kernel(
                program.cells, u, v, pending, spikes.neuron, bounds, tick, fired, counts
            )
            for part, row, n in zip(parts, fired, n_fired, strict=True):
                part.append(row[:n].copy())
        trains = {
            p.name: _train(p, program.starts[p.name], np.concatenate(part), count, spikes.dt_s)
            for p, part, count in zip(network.populations, parts, counts.T, strict=True)
        }
        end = _end_state(network, program, u, v, pending, graph.dynamics.precision)
        return Trace(spikes, trains, network, end, start.pending)


def _compile(graph: SpikingGraph) -> _Program:
    """Flatten once per graph; the result is kept on the (immutable) graph."""
    cached: _Program | None = graph.__dict__.get("_fast_program")
    if cached is not None:
        return cached
    network, precision = graph.network, graph.dynamics.precision
    sizes = np.array([p.size for p in network.populations])
    ends = np.cumsum(-(-sizes // _LANES) * _LANES)
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
    cells = _Cells(
        network.n_inputs,
        matrix.indptr.astype(np.uint32),
        matrix.indices.astype(np.uint32),
        matrix.data.astype(dtype),
        bias,
        keep_u,
        keep_v,
        threshold,
        ends,
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


def _padded(
    values: NDArray[Any], place: NDArray[np.int64], n: int, fill: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    array = np.full(n, fill, dtype)
    array[place] = values
    return array


def _flat(network: Network, program: _Program, part: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    values = np.concatenate([part[p.name] for p in network.populations])
    like = program.cells.bias
    return _padded(values, program.place, len(like), 0, like.dtype)


def _train(
    p: Population, start: int, rows: NDArray[np.int32], counts: NDArray[np.int32], dt_s: float
) -> SpikeTrain:
    """Spikes of one population from their matrix rows and their number in each tick."""
    tick = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return SpikeTrain(tick, rows - np.int32(start), len(counts), p.shape, dt_s)


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
        left[name] = pending[mine] - np.int32(first)
    names = [p.name for p in network.populations]
    cuts = np.cumsum([p.size for p in network.populations])[:-1]
    dtype = state_dtype(precision)
    u_of, v_of = (
        dict(zip(names, np.split(x[program.place].astype(dtype), cuts), strict=True))
        for x in (u, v)
    )
    return NetworkState(u_of, v_of, left)


# Two loops written out: one loop that is handed its update function cannot be cached on disk, and
# compiling takes seconds.
@numba.njit(cache=True, nogil=True)
def _run_loihi(cells, u, v, pending, fed, bounds, tick, fired, counts):  # type: ignore[no-untyped-def]
    a, spiking = np.empty_like(u), np.zeros(len(u), np.uint8)
    n_fired = np.zeros(len(cells.ends), np.int64)
    while tick < len(counts) and n_fired.max() + len(u) <= fired.shape[1]:
        _deliver(cells, pending, a)
        _update_loihi(u, v, a, cells.keep_u, cells.keep_v, cells.threshold, spiking)
        arriving = fed[bounds[tick] : bounds[tick + 1]]
        pending = _collect(cells, spiking, arriving, fired, n_fired, counts[tick])
        tick += 1
    return tick, n_fired, pending


@numba.njit(cache=True, nogil=True)
def _run_float(cells, u, v, pending, fed, bounds, tick, fired, counts):  # type: ignore[no-untyped-def]
    a, spiking = np.empty_like(u), np.zeros(len(u), np.uint8)
    n_fired = np.zeros(len(cells.ends), np.int64)
    while tick < len(counts) and n_fired.max() + len(u) <= fired.shape[1]:
        _deliver(cells, pending, a)
        _update_float(u, v, a, cells.keep_u, cells.keep_v, cells.threshold, spiking)
        arriving = fed[bounds[tick] : bounds[tick + 1]]
        pending = _collect(cells, spiking, arriving, fired, n_fired, counts[tick])
        tick += 1
    return tick, n_fired, pending


@numba.njit(cache=True, nogil=True)
def _deliver(cells, pending, a):  # type: ignore[no-untyped-def]
    """Fill ``a`` with bias plus the weights of the pending spikes."""
    a[:] = cells.bias
    for spike in pending:
        for j in range(cells.indptr[spike], cells.indptr[spike + 1]):
            a[cells.indices[j]] += cells.weights[j]


@numba.njit(cache=True, nogil=True)
def _collect(cells, spiking, arriving, fired, n_fired, count):  # type: ignore[no-untyped-def]
    """Record who fired, by population; return these and the input as the next pending spikes."""
    words = spiking.view(np.uint64)
    word = 0
    for p in range(len(count)):
        to = n_fired[p]
        while word < cells.ends[p] // _LANES:
            if words[word] != 0:  # most are silent
                for i in range(_LANES * word, _LANES * (word + 1)):
                    fired[p, to] = cells.n_inputs + i  # stays only if i fired: no branch to miss
                    to += spiking[i]
            word += 1
        count[p] = to - n_fired[p]
        n_fired[p] = to
    at = len(arriving)
    pending = np.empty(at + count.sum(), np.int32)
    pending[:at] = arriving
    for p in range(len(count)):
        pending[at : at + count[p]] = fired[p, n_fired[p] - count[p] : n_fired[p]]
        at += count[p]
    return pending


@numba.njit(cache=True, inline="always")
def _keep(x, keep):  # type: ignore[no-untyped-def]
    """trunc(x * keep / 4096) without leaving 32 bits; numba widens unless told not to."""
    size = np.int32(abs(x))
    high = np.int32(np.int32(size >> np.int32(12)) * keep)
    low = np.int32(np.int32(np.int32(size & np.int32(UNIT - 1)) * keep) >> np.int32(12))
    kept = np.int32(high + low)
    return kept if x >= 0 else np.int32(-kept)


# Three short loops: with all arrays in one, the compiler gives up proving that they do not
# overlap and leaves the loop scalar.
@numba.njit(cache=True, inline="always")
def _update_loihi(u, v, a, keep_u, keep_v, threshold, spiking):  # type: ignore[no-untyped-def]
    limit, span, shift = np.int32(LIMIT), np.int32(2 * LIMIT), np.int32(WEIGHT_SHIFT)
    for i in range(len(u)):
        ui = np.int32(_keep(u[i], keep_u[i]) + np.int32(a[i] << shift))
        ui = np.int32(ui - span) if ui > limit else ui
        u[i] = np.int32(ui + span) if ui <= -limit else ui
    for i in range(len(u)):
        vi = np.int32(_keep(v[i], keep_v[i]) + u[i])
        v[i] = min(max(vi, np.int32(1 - limit)), np.int32(limit - 1))
    _fire(v, threshold, spiking)


@numba.njit(cache=True, inline="always")
def _update_float(u, v, a, keep_u, keep_v, threshold, spiking):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        u[i] = u[i] * keep_u[i] + a[i]
    for i in range(len(u)):
        v[i] = v[i] * keep_v[i] + u[i]
    _fire(v, threshold, spiking)


@numba.njit(cache=True, inline="always")
def _fire(v, threshold, spiking):  # type: ignore[no-untyped-def]
    for i in range(len(v)):
        spike = v[i] > threshold[i]
        spiking[i] = spike
        v[i] = v.dtype.type(0) if spike else v[i]
