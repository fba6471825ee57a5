"""Events straight to spikes: counts per cell go into one population without becoming spikes.

Serves graphs in which every graded input drives one plain LIF neuron of its own, as in patch-lif.
Counts are made for a block of ticks at a time, so that they stay in the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import GridMap
from neurovlm.events.binning import count_cells
from neurovlm.events.stream import EventStream
from neurovlm.spiking.backends.base import initial_state, state_dtype
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.encoding import too_many
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature, Network
from neurovlm.spiking.trace import InputCount, NetworkState, Trace
from neurovlm.spiking.train import Fired, SpikeTrain

_BLOCK_TICKS = 512
_SERVED = frozenset({Feature.PER_NEURON, Feature.BIAS, Feature.GRADED})


class _Cells(NamedTuple):
    """Parameters and state, each ``(n,)``; what ``a`` holds arrives in the next tick."""

    weight: NDArray[Any]
    bias: NDArray[Any]
    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    a: NDArray[Any]
    u: NDArray[Any]
    v: NDArray[Any]
    spiking: NDArray[np.uint8]


def serves(network: Network) -> bool:
    """Whether `run` runs this network exactly."""
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


def run(
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
    network, dynamics = graph.network, graph.dynamics
    start = initial_state(graph) if state is None else state
    latest = _carried(network, start)
    cells = _cells(network, start, latest)
    step = _step_loihi if dynamics.precision is Precision.LOIHI else _step_float
    n_cells = len(latest)
    room = np.empty(min(_BLOCK_TICKS, n_ticks) * n_cells, np.int32)
    fired = [room[:0]]
    per_tick = np.zeros(n_ticks, np.int32)
    input_spikes = 0
    for first in range(0, n_ticks, _BLOCK_TICKS):
        block = per_tick[first : first + _BLOCK_TICKS]
        t_us = t0_us + first * dynamics.dt_us
        counts = count_cells(
            events,
            grid,
            channels=network.input_shape[0],
            t0_us=t_us,
            n_bins=len(block),
            bin_us=dynamics.dt_us,
        ).reshape(-1, n_cells)
        n_in, n_out = step(cells, counts, room, block)
        _check_counts(network, counts, first)
        input_spikes += n_in
        fired.append(room[:n_out].copy())
        latest = counts[-1]
    return _trace(network, start, cells, latest, input_spikes, np.concatenate(fired), per_tick)


def _carried(network: Network, start: NetworkState) -> NDArray[np.int32]:
    """Counts of the tick before the first."""
    counts = np.zeros(network.n_inputs, np.int32)
    carried = start.recent[network.input_name][0]
    if carried.value is not None:
        counts[carried.neuron] = carried.value
    return counts


def _cells(network: Network, start: NetworkState, latest: NDArray[np.int32]) -> _Cells:
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
    a = bias + weight * latest.astype(dtype)
    return _Cells(weight, bias, keep_u, keep_v, threshold, a, u, v, np.zeros(p.size, np.uint8))


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
    out = SpikeTrain(tick, fired, n_ticks, p.shape, dynamics.dt_s)
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


def _check_counts(network: Network, counts: NDArray[np.int32], first: int) -> None:
    most = (1 << network.input_bits) - 1
    if counts.max() > most:
        k, cell = (int(i) for i in np.argwhere(counts > most)[0])
        raise too_many(first + k, cell, int(counts[k, cell]), network.input_shape, most)


# Two steps written out, each in loops that the compiler turns into vector instructions.
@numba.njit(cache=True, nogil=True)
def _step_loihi(cells, counts, fired, per_tick):  # type: ignore[no-untyped-def]
    """Step through ``counts``; returns how many of them are not 0, and the spikes in ``fired``.

    The equations of `neurovlm.spiking.fixed_point` in 32 bits.
    """
    a, u, v, spiking = cells.a, cells.u, cells.v, cells.spiking
    limit, span = np.int32(LIMIT), np.int32(2 * LIMIT)
    n_in = n_out = 0
    for k in range(len(counts)):
        for i in range(len(u)):
            arriving = np.int32(a[i] << np.int32(WEIGHT_SHIFT))
            ui = np.int32(_keep(u[i], cells.keep_u[i]) + arriving)
            ui = np.int32(ui - span) if ui > limit else ui
            u[i] = np.int32(ui + span) if ui <= -limit else ui
        for i in range(len(v)):
            vi = np.int32(_keep(v[i], cells.keep_v[i]) + u[i])
            vi = min(max(vi, np.int32(1 - limit)), np.int32(limit - 1))
            spiking[i] = vi > cells.threshold[i]
            v[i] = np.int32(0) if vi > cells.threshold[i] else vi
        n_in += _arrive(cells, counts[k])
        per_tick[k] = _collect(spiking, fired, n_out)
        n_out += per_tick[k]
    return n_in, n_out


@numba.njit(cache=True, nogil=True)
def _step_float(cells, counts, fired, per_tick):  # type: ignore[no-untyped-def]
    """Do the same in floating point."""
    a, u, v, spiking = cells.a, cells.u, cells.v, cells.spiking
    n_in = n_out = 0
    for k in range(len(counts)):
        for i in range(len(u)):
            u[i] = u[i] * cells.keep_u[i] + a[i]
        for i in range(len(v)):
            vi = v[i] * cells.keep_v[i] + u[i]
            spiking[i] = vi > cells.threshold[i]
            v[i] = v.dtype.type(0) if vi > cells.threshold[i] else vi
        n_in += _arrive(cells, counts[k])
        per_tick[k] = _collect(spiking, fired, n_out)
        n_out += per_tick[k]
    return n_in, n_out


@numba.njit(cache=True, inline="always")
def _keep(x, keep):  # type: ignore[no-untyped-def]
    """trunc(x * keep / 4096) in two halves, so that 32 bits hold them; numba widens if let."""
    high = np.int32(np.int32(x >> np.int32(12)) * keep)
    low = np.int32(np.int32(x & np.int32(UNIT - 1)) * keep)
    toward_zero = np.int32(np.int32(x >> np.int32(31)) & np.int32(UNIT - 1))  # only if x < 0
    return np.int32(high + np.int32(np.int32(low + toward_zero) >> np.int32(12)))


@numba.njit(cache=True, nogil=True)
def _arrive(cells, counts):  # type: ignore[no-untyped-def]
    """What arrives in the next tick; returns the number of inputs that fired."""
    a, weight, bias = cells.a, cells.weight, cells.bias
    n_in = np.int32(0)
    for i in range(len(a)):
        a[i] = bias[i] + weight[i] * a.dtype.type(counts[i])
        n_in += np.int32(counts[i] > 0)
    return n_in


@numba.njit(cache=True, nogil=True)
def _collect(spiking, fired, n):  # type: ignore[no-untyped-def]
    """Neurons that fired, written from ``fired[n]`` on; returns their number."""
    end = np.uint64(n)  # the compiler would test a signed index for being negative
    for i in range(len(spiking)):
        fired[end] = i  # stays only if i fired: no branch to miss
        end += np.uint64(spiking[i])
    return np.int64(end) - n
