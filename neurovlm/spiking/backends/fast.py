"""The compiled engine: the whole graph as one sparse matrix, one pass per tick.

Neurons of all populations share one index space behind the inputs. Spikes of the last tick push
their weights into an accumulator; then every neuron is updated in a loop that the compiler turns
into vector instructions. Loihi's product u * (4096 - d) >> 12 is split into 12-bit halves so that
it fits 32-bit lanes and stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.base import Capabilities, check_run, initial_state, state_dtype
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import NetworkState, Trace
from neurovlm.spiking.train import SpikeTrain

_BUFFER = 1 << 18  # spikes recorded between two visits to Python
_ENGINE_LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class _Program:
    """The graph as flat arrays; rows of the matrix are sources, inputs first."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[Any]
    bias: NDArray[Any]
    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    starts: dict[str, int]


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
        u, v = (_flat(network, part, program.keep_u.dtype) for part in (start.u, start.v))
        pending = _flat_pending(network, program, start)
        kernel = _run_loihi if graph.dynamics.precision is Precision.LOIHI else _run_float
        bounds = np.searchsorted(spikes.tick, np.arange(spikes.n_ticks + 1))
        ticks, neurons = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
        room = max(_BUFFER, 2 * len(u))
        out_tick, out_neuron = np.empty(room, np.int32), np.empty(room, np.int32)
        tick = 0
        while tick < spikes.n_ticks:
            tick, n_out, pending = kernel(
                program.indptr, program.indices, program.weights, program.bias,
                program.keep_u, program.keep_v, program.threshold,
                u, v, pending, spikes.neuron, bounds, tick, network.n_inputs,
                out_tick, out_neuron,
            )  # fmt: skip
            ticks.append(out_tick[:n_out].copy())
            neurons.append(out_neuron[:n_out].copy())
        trains = _split(network, program, np.concatenate(ticks), np.concatenate(neurons), spikes)
        end = _end_state(network, program, u, v, pending, graph.dynamics.precision)
        return Trace(spikes, trains, network, end, start.pending)


def _compile(graph: SpikingGraph) -> _Program:
    """Flatten once per graph; the result is kept on the (immutable) graph."""
    cached: _Program | None = graph.__dict__.get("_fast_program")
    if cached is not None:
        return cached
    network, precision = graph.network, graph.dynamics.precision
    names = [network.input_name, *(p.name for p in network.populations)]
    sizes = [network.n_inputs, *(p.size for p in network.populations)]
    begins = np.cumsum([0, *sizes])
    starts = dict(zip(names, begins.tolist(), strict=False))
    blocks = [c.matrix.tocoo() for c in network.connections]
    row = np.concatenate(
        [b.col + starts[c.source] for b, c in zip(blocks, network.connections, strict=True)]
    )
    column = np.concatenate(
        [
            b.row + (starts[c.target] - network.n_inputs)
            for b, c in zip(blocks, network.connections, strict=True)
        ]
    )
    n = int(begins[-1]) - network.n_inputs
    data = np.concatenate([b.data for b in blocks])
    matrix = scipy.sparse.csr_array((data, (row, column)), shape=(int(begins[-1]), n))
    fields = {
        name: np.concatenate([getattr(p, name) for p in network.populations])
        for name in ("loss_u", "loss_v", "threshold", "bias", "du", "dv", "vth")
    }
    if precision is Precision.LOIHI:
        _check_range(matrix, fields["bias"])
        dtype: np.dtype[Any] = np.dtype(np.int32)
        keep_u, keep_v = UNIT - 1 - fields["du"], UNIT - fields["dv"]
        threshold = fields["vth"] << WEIGHT_SHIFT
    else:
        dtype = np.dtype(state_dtype(precision))
        keep_u, keep_v = (UNIT - fields["loss_u"]) / UNIT, (UNIT - fields["loss_v"]) / UNIT
        threshold = fields["threshold"]
    program = _Program(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        *(f.astype(dtype) for f in (matrix.data, fields["bias"], keep_u, keep_v, threshold)),
        starts,
    )
    graph.__dict__["_fast_program"] = program
    return program


def _check_range(matrix: Any, bias: NDArray[np.float64]) -> None:
    """32-bit sums hold as long as one tick's input stays below 2**24 per neuron."""
    drive = float(abs(matrix).sum(axis=0).max() + np.abs(bias).max())
    if drive * (1 << WEIGHT_SHIFT) + LIMIT > _ENGINE_LIMIT:
        raise GraphError(
            f"backend 'fast': one neuron's weights sum to {drive:.0f}, more than its 32-bit sums "
            "hold; use backend reference"
        )


def _flat(network: Network, part: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate([part[p.name] for p in network.populations]).astype(dtype)


def _flat_pending(network: Network, program: _Program, state: NetworkState) -> NDArray[np.int32]:
    parts = [state.pending[name] + np.int32(program.starts[name]) for name in program.starts]
    return np.concatenate(parts).astype(np.int32)


def _split(
    network: Network,
    program: _Program,
    tick: NDArray[np.int32],
    neuron: NDArray[np.int32],
    spikes: SpikeTrain,
) -> dict[str, SpikeTrain]:
    ends = np.array([program.starts[p.name] + p.size for p in network.populations], np.int32)
    counts = _count(neuron, ends)
    tick, neuron = _partition(tick, neuron, ends, np.cumsum(counts) - counts)
    trains, at = {}, 0
    for p, count in zip(network.populations, counts.tolist(), strict=True):
        mine = slice(at, at + count)
        local = neuron[mine] - np.int32(program.starts[p.name])
        trains[p.name] = SpikeTrain(tick[mine], local, spikes.n_ticks, p.shape, spikes.dt_s)
        at += count
    return trains


@numba.njit(cache=True, nogil=True)
def _count(neuron, ends):  # type: ignore[no-untyped-def]
    """Spikes per population; within a tick neurons ascend, so the population rarely changes."""
    counts = np.zeros(len(ends), np.int64)
    p = 0
    for n in neuron:
        while n >= ends[p]:
            p += 1
        while p > 0 and n < ends[p - 1]:
            p -= 1
        counts[p] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _partition(tick, neuron, ends, at):  # type: ignore[no-untyped-def]
    """Stable partition by population into the places that start at ``at``."""
    out_tick, out_neuron = np.empty_like(tick), np.empty_like(neuron)
    p = 0
    for i in range(len(neuron)):
        n = neuron[i]
        while n >= ends[p]:
            p += 1
        while p > 0 and n < ends[p - 1]:
            p -= 1
        out_tick[at[p]], out_neuron[at[p]] = tick[i], n
        at[p] += 1
    return out_tick, out_neuron


def _end_state(
    network: Network,
    program: _Program,
    u: NDArray[Any],
    v: NDArray[Any],
    pending: NDArray[np.int32],
    precision: Precision,
) -> NetworkState:
    dtype = state_dtype(precision)
    sizes = {network.input_name: network.n_inputs} | {p.name: p.size for p in network.populations}
    left = {}
    for name, first in program.starts.items():
        mine = (pending >= first) & (pending < first + sizes[name])
        left[name] = pending[mine] - np.int32(first)
    cuts = np.cumsum([p.size for p in network.populations])[:-1]
    names = [p.name for p in network.populations]
    parts = (dict(zip(names, np.split(x.astype(dtype), cuts), strict=True)) for x in (u, v))
    return NetworkState(*parts, pending=left)


def _make_kernel(update: Any) -> Any:
    """Build the tick loop around one neuron update."""

    @numba.njit(cache=True, nogil=True)
    def kernel(
        indptr, indices, weights, bias, keep_u, keep_v, threshold,
        u, v, pending, fed, bounds, tick, n_inputs, out_tick, out_neuron,
    ):  # fmt: skip
        n = len(u)
        n_ticks = len(bounds) - 1
        a = np.empty_like(u)
        fired = np.zeros((n + 7) // 8 * 8, np.uint8)
        words = fired.view(np.uint64)
        n_out = 0
        while tick < n_ticks and n_out + n <= len(out_tick):
            a[:] = bias
            for spike in pending:
                for j in range(indptr[spike], indptr[spike + 1]):
                    a[indices[j]] += weights[j]
            update(u, v, a, keep_u, keep_v, threshold, fired)
            first = n_out
            for word in range(len(words)):
                if words[word] != 0:  # eight neurons at once; most words are silent
                    for i in range(8 * word, min(8 * word + 8, n)):
                        if fired[i]:
                            out_tick[n_out] = tick
                            out_neuron[n_out] = n_inputs + i
                            n_out += 1
            n_fed = bounds[tick + 1] - bounds[tick]
            pending = np.empty(n_fed + n_out - first, np.int32)
            pending[:n_fed] = fed[bounds[tick] : bounds[tick + 1]]
            pending[n_fed:] = out_neuron[first:n_out]
            tick += 1
        return tick, n_out, pending

    return kernel


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
def _update_loihi(u, v, a, keep_u, keep_v, threshold, fired):  # type: ignore[no-untyped-def]
    limit, span, shift = np.int32(LIMIT), np.int32(2 * LIMIT), np.int32(WEIGHT_SHIFT)
    for i in range(len(u)):
        ui = np.int32(_keep(u[i], keep_u[i]) + np.int32(a[i] << shift))
        ui = np.int32(ui - span) if ui > limit else ui
        u[i] = np.int32(ui + span) if ui <= -limit else ui
    for i in range(len(u)):
        vi = np.int32(_keep(v[i], keep_v[i]) + u[i])
        v[i] = min(max(vi, np.int32(1 - limit)), np.int32(limit - 1))
    _fire(v, threshold, fired)


@numba.njit(cache=True, inline="always")
def _update_float(u, v, a, keep_u, keep_v, threshold, fired):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        u[i] = u[i] * keep_u[i] + a[i]
    for i in range(len(u)):
        v[i] = v[i] * keep_v[i] + u[i]
    _fire(v, threshold, fired)


@numba.njit(cache=True, inline="always")
def _fire(v, threshold, fired):  # type: ignore[no-untyped-def]
    for i in range(len(v)):
        spike = v[i] > threshold[i]
        fired[i] = spike
        v[i] = v.dtype.type(0) if spike else v[i]


_run_loihi = _make_kernel(_update_loihi)
_run_float = _make_kernel(_update_float)
