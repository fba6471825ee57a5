"""Counts straight to spikes: they go into one population without becoming graded spikes first.

Serves graphs in which every graded input drives one plain LIF neuron of its own, as in patch-lif.
Events are counted for a block of ticks at a time, so that the counts stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import GridMap
from neurovlm.events.binning import count_cells
from neurovlm.events.stream import EventStream
from neurovlm.spiking.backends.base import initial_state, state_dtype
from neurovlm.spiking.backends.loops import SHORT
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.encoding import too_many
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature, Network
from neurovlm.spiking.trace import InputCount, NetworkState, Trace
from neurovlm.spiking.train import Fired, SpikeTrain

_BLOCK_TICKS = 512
_SERVED = frozenset({Feature.PER_NEURON, Feature.BIAS, Feature.GRADED})


Counter = Callable[[int, int], NDArray[np.int32]]
"""First tick and number of ticks -> counts ``(ticks, n)``."""


class _Cells(NamedTuple):
    """Parameters and state, each ``(n,)``."""

    weight: NDArray[Any]
    bias: NDArray[Any]
    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    u: NDArray[Any]
    v: NDArray[Any]
    spiking: NDArray[np.uint8]


def serves(graph: SpikingGraph) -> bool:
    """Whether this graph is run exactly here; worked out once per (immutable) graph."""
    known: bool | None = graph.__dict__.get("_serves_counts")
    if known is None:
        known = graph.__dict__["_serves_counts"] = _serves(graph.network)
    return known


def _serves(network: Network) -> bool:
    if len(network.populations) != 1 or len(network.connections) != 1:
        return False
    (p,), (c,) = network.populations, network.connections
    weights = c.matrix.tocoo()
    one_to_one = c.matrix.shape[0] == c.matrix.shape[1] == c.synapses
    if not (
        network.input_bits
        and _SERVED.issuperset(network.needs)
        and one_to_one
        and np.array_equal(weights.row, weights.col)
    ):
        return False
    # In Loihi precision the sums of a tick must fit 32 bits, and one wrap must bring u back.
    most = np.abs(weights.data).max() * ((1 << network.input_bits) - 1) + np.abs(p.bias).max()
    loihi = network.dynamics.precision is Precision.LOIHI
    return not loihi or bool(most * (1 << WEIGHT_SHIFT) <= 2 * LIMIT)


def run_events(
    graph: SpikingGraph,
    events: EventStream,
    grid: GridMap,
    *,
    state: NetworkState | None,
    t0_us: int,
    n_ticks: int,
) -> Trace:
    """Run the ticks from ``t0_us`` on; the trace holds the counts of its input.

    Raises
    ------
    UsageError
        Where more events meet than the graph's graded input can count.
    """
    network, dt_us = graph.network, graph.dynamics.dt_us

    def count(first: int, ticks: int) -> NDArray[np.int32]:
        t_us, channels = t0_us + first * dt_us, network.input_shape[0]
        counts = count_cells(
            events, grid, channels=channels, t0_us=t_us, n_bins=ticks, bin_us=dt_us
        )
        return counts.reshape(ticks, network.n_inputs)

    return _run(graph, count, n_ticks, state)


def run_counts(graph: SpikingGraph, counts: NDArray[np.int32], state: NetworkState | None) -> Trace:
    """Run counts ``(n_ticks, n)``, int32, one tick a row.

    Raises
    ------
    UsageError
        For a count below 0 or above what the graph's graded input can carry.
    """
    return _run(graph, lambda first, ticks: counts[first : first + ticks], len(counts), state)


def _run(graph: SpikingGraph, count: Counter, n_ticks: int, state: NetworkState | None) -> Trace:
    network = graph.network
    start = initial_state(graph) if state is None else state
    latest = _carried(network, start)
    cells = _cells(network, start)
    loihi = graph.dynamics.precision is Precision.LOIHI
    alike = loihi and _alike(cells)
    n_cells = len(latest)
    room = np.empty(min(_BLOCK_TICKS, n_ticks) * n_cells, np.int32)
    fired = [room[:0]]
    per_tick = np.zeros(n_ticks, np.int32)
    input_spikes = 0
    for first in range(0, n_ticks, _BLOCK_TICKS):
        block = per_tick[first : first + _BLOCK_TICKS]
        counts = count(first, len(block))
        least, most, n_in = _survey(counts.ravel())
        _check_counts(network, counts, least, most, first)
        step = _step_float
        if loihi:
            most = max(most, int(latest.max(initial=0)))
            step = _step_short if alike and _stays_short(cells, most) else _step_any
        n_out = step(cells, latest, counts, room, block)
        input_spikes += n_in
        fired.append(room[:n_out].copy())
        latest = counts[-1]
    return _trace(network, start, cells, latest, input_spikes, np.concatenate(fired), per_tick)


def _alike(cells: _Cells) -> bool:
    fields = (cells.weight, cells.bias, cells.keep_u, cells.keep_v, cells.threshold)
    return not any(np.ptp(field) != 0 for field in fields)


def _stays_short(cells: _Cells, most: int) -> bool:
    """Whether the short update serves a block in which no count is above ``most``.

    It does for excited neurons that are alike and whose states stay below 2**19: u stays within the
    fixed point of its largest input, or where it is, and v was at most at its threshold.
    """
    fields = (cells.weight, cells.bias, cells.keep_u, cells.keep_v, cells.threshold)
    weight, bias, keep_u, keep_v, threshold = (int(field[0]) for field in fields)
    if min(weight, bias, cells.u.min(), cells.v.min()) < 0 or UNIT in (keep_u, keep_v):
        return False
    drive = (weight * most + bias) << WEIGHT_SHIFT
    peak = max(int(cells.u.max()), drive * UNIT // (UNIT - keep_u) + 1)
    return max(threshold, int(cells.v.max())) + peak < SHORT


def _carried(network: Network, start: NetworkState) -> NDArray[np.int32]:
    """Counts of the tick before the first."""
    counts = np.zeros(network.n_inputs, np.int32)
    carried = start.recent[network.input_name][0]
    if carried.value is not None:
        counts[carried.neuron] = carried.value
    return counts


def _cells(network: Network, start: NetworkState) -> _Cells:
    (p,), (c,) = network.populations, network.connections
    state = start.cells[p.name]
    fields: tuple[NDArray[Any], ...]
    if network.dynamics.precision is Precision.LOIHI:
        dtype = np.dtype(np.int32)
        fields = (UNIT - 1 - p.du, UNIT - p.dv, p.vth << WEIGHT_SHIFT)
    else:
        dtype = state_dtype(network.dynamics.precision)
        fields = ((UNIT - p.loss_u) / UNIT, (UNIT - p.loss_v) / UNIT, p.threshold)
    weight, bias = c.matrix.diagonal().astype(dtype), p.bias.astype(dtype)
    keep_u, keep_v, threshold, u, v = (
        field.astype(dtype) for field in (*fields, state["u"], state["v"])
    )
    return _Cells(weight, bias, keep_u, keep_v, threshold, u, v, np.zeros(p.size, np.uint8))


def _trace(
    network: Network,
    start: NetworkState,
    cells: _Cells,
    latest: NDArray[np.int32],
    input_spikes: int,
    fired: NDArray[np.int32],
    per_tick: NDArray[np.int32],
) -> Trace:
    """Put the run together; ``latest`` are the counts still to be delivered after it."""
    (p,), (c,) = network.populations, network.connections
    n_ticks, dynamics = len(per_tick), network.dynamics
    tick = np.repeat(np.arange(n_ticks, dtype=np.int32), per_tick)
    out = SpikeTrain.sound(tick, fired, n_ticks, p.shape, dynamics.dt_s)
    carried = start.recent[network.input_name][0]
    delivered = len(carried.neuron) + input_spikes - int(np.count_nonzero(latest))
    recent = {
        network.input_name: (Fired.of(latest, graded=True),),
        p.name: (out.at(n_ticks - 1),) if n_ticks else start.recent[p.name],
    }
    dtype = state_dtype(dynamics.precision)
    end = NetworkState({p.name: {"u": cells.u.astype(dtype), "v": cells.v.astype(dtype)}}, recent)
    fed = InputCount(n_ticks, input_spikes, {c.name: delivered})  # one synapse per input
    return Trace(fed, {p.name: out}, network, end, start.recent)


def _check_counts(
    network: Network, counts: NDArray[np.int32], least: int, found: int, first: int
) -> None:
    if least < 0:
        k, cell = (int(i) for i in np.argwhere(counts < 0)[0])
        raise UsageError(
            f"tick {first + k}, cell {cell}: a count must not be negative, got {counts[k, cell]}"
        )
    most = (1 << network.input_bits) - 1
    if found > most:
        k, cell = (int(i) for i in np.argwhere(counts > most)[0])
        raise too_many(first + k, cell, int(counts[k, cell]), network.input_shape, most)


@numba.njit(cache=True, nogil=True)
def _survey(counts):  # type: ignore[no-untyped-def]
    """Return the least count or 0, the largest, and how many are not 0."""
    least = most = n_in = np.int32(0)
    for i in range(len(counts)):
        least, most = min(least, counts[i]), max(most, counts[i])
        n_in = np.int32(n_in + np.int32(counts[i] != 0))
    return np.int64(least), np.int64(most), np.int64(n_in)


# Three steps written out, each in loops that the compiler turns into vector instructions; the
# equations are those of `neurovlm.spiking.fixed_point`, in 32 bits. ``row`` are the counts of the
# tick before, which arrive now. Each returns the number of spikes in ``fired``.
@numba.njit(cache=True, nogil=True)
def _step_short(cells, row, counts, fired, per_tick):  # type: ignore[no-untyped-def]
    """Step neurons that are alike and whose states stay below 2**19."""
    u, v, spiking = cells.u, cells.v, cells.spiking
    keep_u, keep_v, threshold = cells.keep_u[0], cells.keep_v[0], cells.threshold[0]
    weight = np.int32(cells.weight[0] << np.int32(WEIGHT_SHIFT))
    bias = np.int32(cells.bias[0] << np.int32(WEIGHT_SHIFT))
    n_out = 0
    for k in range(len(counts)):
        for i in range(len(u)):
            arriving = np.int32(np.int32(weight * row[i]) + bias)
            u[i] = np.int32((np.int32(u[i] * keep_u) >> np.int32(12)) + arriving)
            vi = np.int32((np.int32(v[i] * keep_v) >> np.int32(12)) + u[i])
            spiking[i] = vi > threshold
            v[i] = np.int32(0) if vi > threshold else vi
        row = counts[k]
        per_tick[k] = _collect(spiking, fired, n_out)
        n_out += per_tick[k]
    return n_out


@numba.njit(cache=True, nogil=True)
def _step_any(cells, row, counts, fired, per_tick):  # type: ignore[no-untyped-def]
    """Step any neurons in Loihi's integers."""
    u, v, spiking = cells.u, cells.v, cells.spiking
    limit, span = np.int32(LIMIT), np.int32(2 * LIMIT)
    n_out = 0
    for k in range(len(counts)):
        for i in range(len(u)):
            a = np.int32(np.int32(cells.weight[i] * row[i]) + cells.bias[i])
            ui = np.int32(_keep(u[i], cells.keep_u[i]) + np.int32(a << np.int32(WEIGHT_SHIFT)))
            ui = np.int32(ui - span) if ui > limit else ui
            u[i] = np.int32(ui + span) if ui <= -limit else ui
        for i in range(len(v)):
            vi = np.int32(_keep(v[i], cells.keep_v[i]) + u[i])
            vi = min(max(vi, np.int32(1 - limit)), np.int32(limit - 1))
            spiking[i] = vi > cells.threshold[i]
            v[i] = np.int32(0) if vi > cells.threshold[i] else vi
        row = counts[k]
        per_tick[k] = _collect(spiking, fired, n_out)
        n_out += per_tick[k]
    return n_out


@numba.njit(cache=True, nogil=True)
def _step_float(cells, row, counts, fired, per_tick):  # type: ignore[no-untyped-def]
    """Step any neurons in floating point."""
    u, v, spiking = cells.u, cells.v, cells.spiking
    kind = u.dtype.type
    n_out = 0
    for k in range(len(counts)):
        for i in range(len(u)):
            a = cells.bias[i] + cells.weight[i] * kind(row[i])
            u[i] = u[i] * cells.keep_u[i] + a
        for i in range(len(v)):
            vi = v[i] * cells.keep_v[i] + u[i]
            spiking[i] = vi > cells.threshold[i]
            v[i] = kind(0) if vi > cells.threshold[i] else vi
        row = counts[k]
        per_tick[k] = _collect(spiking, fired, n_out)
        n_out += per_tick[k]
    return n_out


# As in `loops`, but not from there: compiled code on disk follows the file it was written in only.
@numba.njit(cache=True, inline="always")
def _keep(x, keep):  # type: ignore[no-untyped-def]
    """trunc(x * keep / 4096) in two halves, so that 32 bits hold them; numba widens if let."""
    high = np.int32(np.int32(x >> np.int32(12)) * keep)
    low = np.int32(np.int32(x & np.int32(UNIT - 1)) * keep)
    toward_zero = np.int32(np.int32(x >> np.int32(31)) & np.int32(UNIT - 1))  # only if x < 0
    return np.int32(high + np.int32(np.int32(low + toward_zero) >> np.int32(12)))


@numba.njit(cache=True, nogil=True)
def _collect(spiking, fired, n):  # type: ignore[no-untyped-def]
    """Neurons that fired, written from ``fired[n]`` on; returns their number."""
    end = np.uint64(n)  # the compiler would test a signed index for being negative
    for i in range(len(spiking)):
        fired[end] = i  # stays only if i fired: no branch to miss
        end += np.uint64(spiking[i])
    return np.int64(end) - n
