"""A graph flattened for the compiled engine: where each neuron is, its constants, its synapses.

Populations whose states fit the precision's own numbers (``narrow``: int32 in Loihi precision) come
first; the others are stepped in int64 (``wide``): sigma-delta and delta encoders in every
precision, and neurons whose weighted input could leave 32 bits. Each population starts at a
multiple of eight columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.spiking.backends import loops
from neurovlm.spiking.backends.base import state_dtype, variable_dtype
from neurovlm.spiking.backends.loops import ARRIVED, LANES, SHORT, V
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.loihi import peak_current
from neurovlm.spiking.network import Kind, Network, Population

MAX_SENT = 1 << 24  # the largest change of an activation of 24 bits


class Plan(NamedTuple):
    """Populations, first those with states as the precision says, then those in int64; ``(p,)``.

    ``first`` is a population's first column in the states and ``span`` its size there, a multiple
    of eight; ``source`` is its first row among the sources; ``reach_u`` and ``reach_v`` are bounds
    that |u| and |v| never leave once within.
    ``delays`` are the distinct axonal delays.
    """

    kind: NDArray[np.int64]
    first: NDArray[np.int64]
    size: NDArray[np.int64]
    span: NDArray[np.int64]
    source: NDArray[np.int64]
    refractory: NDArray[np.int64]
    graded: NDArray[np.bool_]
    reach_u: NDArray[np.int64]
    reach_v: NDArray[np.int64]
    n_narrow: int
    delays: NDArray[np.int64]


class Cells(NamedTuple):
    """Constants of the neurons of one width, and the synapses that reach them.

    Per neuron: the parts of u and v kept per tick, threshold, bias. Per population: rise of an
    adaptive threshold and the part of it kept. ``rows[d, s]`` are, for the d-th delay and source s,
    its first target and its range in ``offset`` and ``weight``, which neurons with the same
    surroundings share. Indices are unsigned: the compiler would test signed ones for being
    negative. ``sends[d, p]``: whether population p (behind the last: the input) has such rows.
    """

    keep_u: NDArray[Any]
    keep_v: NDArray[Any]
    threshold: NDArray[Any]
    bias: NDArray[Any]
    step: NDArray[Any]
    keep_w: NDArray[Any]
    rows: NDArray[np.uint32]
    offset: NDArray[np.uint32]
    weight: NDArray[Any]
    sends: NDArray[np.bool_]


ROWS = {
    "u": loops.U, "v": loops.V, "w": loops.W, "wait": loops.WAIT,
    "sigma": loops.SIGMA, "act": loops.ACT, "residue": loops.RESIDUE,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Place:
    """Where a population is: its number, and in which of the states in which columns.

    ``variables`` are its state variables: name, row, and dtype outside the engine.
    """

    population: Population
    index: int
    wide: bool
    columns: slice
    variables: tuple[tuple[str, int, np.dtype[Any]], ...]


@dataclass(frozen=True, eq=False)
class Program:
    """What the loops read, and the place of each population by name, in the network's order.

    ``shapes`` are those of the narrow and of the wide states.
    """

    places: Mapping[str, Place]
    plan: Plan
    narrow: Cells
    wide: Cells
    shapes: tuple[tuple[int, int], tuple[int, int]]
    graded: bool


def compiled(graph: SpikingGraph) -> Program:
    """Flatten once per graph; the result is kept on the (immutable) graph."""
    program: Program | None = graph.__dict__.get("_fast_program")
    if program is None:
        program = graph.__dict__["_fast_program"] = _flatten(graph)
    return program


def _flatten(graph: SpikingGraph) -> Program:
    network = graph.network
    loihi = graph.dynamics.precision is Precision.LOIHI
    wide = [p for p in network.populations if p.graded or (loihi and _is_wide(network, p))]
    narrow = [p for p in network.populations if p not in wide]
    first_narrow, n_narrow = _laid_out(narrow)
    first_wide, n_wide = _laid_out(wide)
    order = (*narrow, *wide)
    reach = np.array([_reach(network, p) if loihi else (-1, -1) for p in order])
    size = np.array([p.size for p in order])
    plan = Plan(
        kind=np.array([_kind(p, r[0] >= 0) for p, r in zip(order, reach, strict=True)]),
        first=np.array([*first_narrow, *first_wide]),
        size=size,
        span=_padded(size),
        source=network.n_inputs + np.cumsum([0, *size[:-1]]),
        refractory=np.array([p.refractory for p in order]),
        graded=np.array([p.graded for p in order]),
        reach_u=reach[:, 0].copy(),
        reach_v=reach[:, 1].copy(),
        n_narrow=len(narrow),
        delays=_delays(network),
    )
    precision = graph.dynamics.precision
    dtype = np.dtype(np.int32) if loihi else state_dtype(precision)
    groups = (
        _cells(network, order, plan, slice(0, len(narrow)), n_narrow, dtype),
        _cells(network, order, plan, slice(len(narrow), None), n_wide, np.dtype(np.int64)),
    )
    found = {p.name: _place(p, k, plan, precision) for k, p in enumerate(order)}
    places = {p.name: found[p.name] for p in network.populations}
    n_rows = 5 if any(p.refractory or p.step for p in narrow) else 3
    shapes = ((n_rows, n_narrow), (5, n_wide))
    return Program(places, plan, *groups, shapes, bool(plan.graded.any()))


def _place(p: Population, k: int, plan: Plan, precision: Precision) -> Place:
    first = int(plan.first[k])
    variables = tuple(
        (name, ROWS[name], variable_dtype(p, name, precision)) for name in p.variables
    )
    return Place(p, k, k >= plan.n_narrow, slice(first, first + p.size), variables)


def _padded(size: Any) -> Any:
    return -(-size // LANES) * LANES


def _laid_out(populations: Sequence[Population]) -> tuple[list[int], int]:
    """First column of each population, and the number of columns."""
    ends = np.cumsum([0, *(_padded(p.size) for p in populations)])
    return ends[:-1].tolist(), int(ends[-1])


def _delays(network: Network) -> NDArray[np.int64]:
    """Distinct axonal delays, ascending."""
    return np.unique(
        np.concatenate([np.zeros(1, np.int64), *(c.delay for c in network.connections)])
    )


def _is_wide(network: Network, p: Population) -> bool:
    """Whether one tick's input could leave 32 bits or need more than one wrap there: 2**24."""
    drive = np.abs(p.bias)
    for c in network.connections:
        if c.target != p.name:
            continue
        most = 1
        if c.source == network.input_name:
            most = max((1 << network.input_bits) - 1, 1)
        elif network.is_graded(c.source):
            most = MAX_SENT
        drive = drive + abs(c.matrix).sum(axis=1) * most
    return float(drive.max()) * (1 << WEIGHT_SHIFT) > 2 * LIMIT


def _kind(p: Population, within_reach: bool) -> int:
    if p.kind is Kind.DELTA:
        return loops.DELTA
    if p.kind is Kind.SIGMA_DELTA:
        return loops.RECTIFIED if p.rectified else loops.SIGMA_DELTA
    if p.kind is Kind.LI:
        return loops.SILENT
    if not within_reach:
        return loops.ANY
    return loops.PROMPT if p.du[0] == UNIT - 1 else loops.ALIKE


def _reach(network: Network, p: Population) -> tuple[int, int]:
    """Bounds that |u| and |v| never leave once within, if the short update serves them; else -1.

    It does where all neurons are alike, have nothing beside u and v, and stay so small that they
    need neither the split product nor wrap nor saturation: |u| <= U = peak current and
    |v| <= U 4096 / dv, or threshold.
    """
    plain = p.kind is Kind.LIF and not (p.refractory or p.step or p.bias.any())
    if not plain or any(np.ptp(field) != 0 for field in (p.du, p.dv, p.vth)):
        return -1, -1
    u = float(peak_current(network, p).max())
    v = max(u * UNIT / max(int(p.dv[0]), 1), float(p.vth[0] << WEIGHT_SHIFT))
    if p.dv[0] < 1 or max(u, v) >= SHORT - 1:
        return -1, -1
    return ceil(u), ceil(v)


def _cells(
    network: Network,
    order: Sequence[Population],
    plan: Plan,
    mine: slice,
    n: int,
    dtype: np.dtype[Any],
) -> Cells:
    """Constants and synapses of the populations ``mine``, whose states have ``n`` columns."""
    never = np.iinfo(dtype).max if dtype.kind == "i" else np.inf
    fields = [np.full(n, fill, dtype) for fill in (0, 0, never, 0)]
    scalars = [np.zeros(len(order), dtype) for _ in range(2)]
    for k in range(*mine.indices(len(order))):
        columns = slice(plan.first[k], plan.first[k] + plan.size[k])
        *per_neuron, step, keep_w = _constants(order[k], dtype)
        for field, values in zip(fields, per_neuron, strict=True):
            field[columns] = values
        scalars[0][k], scalars[1][k] = step, keep_w
    return Cells(*fields, *scalars, *_synapses(network, order, plan, mine, n, dtype))


def _constants(p: Population, dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Parts of u and v kept per tick, threshold, bias; step and part kept of a raised threshold."""
    if p.graded:
        return 0, 0, p.vth, np.rint(p.bias), 0, 0
    if dtype.kind == "i":
        step = round(p.step) << WEIGHT_SHIFT
        return UNIT - 1 - p.du, UNIT - p.dv, p.vth << WEIGHT_SHIFT, p.bias, step, UNIT - p.dw
    keep_u, keep_v, keep_w = ((UNIT - loss) / UNIT for loss in (p.loss_u, p.loss_v, p.loss_w))
    return keep_u, keep_v, p.threshold, p.bias, p.step, keep_w


def _synapses(
    network: Network,
    order: Sequence[Population],
    plan: Plan,
    mine: slice,
    n: int,
    dtype: np.dtype[Any],
) -> tuple[NDArray[Any], ...]:
    """Rows, offsets, weights, and who sends, see `Cells`."""
    index = {p.name: k for k, p in enumerate(order)} | {network.input_name: len(order)}
    begins = [*plan.source.tolist(), 0]
    n_sources = network.n_inputs + int(plan.size.sum())
    rows = np.zeros((len(plan.delays), n_sources, 3), np.uint32)
    sends = np.zeros((len(plan.delays), len(order) + 1), np.bool_)
    pool = _Pool(dtype)
    reaching = [c for c in network.connections if index[c.target] in range(len(order))[mine]]
    for d, delay in enumerate(plan.delays):
        blocks = []
        for c in reaching:
            source, target = index[c.source], index[c.target]
            block = c.matrix.tocoo()
            due = c.delay[block.col] == delay
            weight = block.data[due].astype(dtype)
            row = V if plan.kind[target] == loops.PROMPT else ARRIVED
            if row == V:
                weight <<= WEIGHT_SHIFT
            column = row * n + plan.first[target] + block.row[due]
            blocks.append((begins[source] + block.col[due], column, weight))
            sends[d, source] |= due.any()
        if blocks:
            source_of, column, weight = map(np.concatenate, zip(*blocks, strict=True))
            shape = (n_sources, (1 + ARRIVED) * n)
            pool.share(scipy.sparse.csr_array((weight, (source_of, column)), shape), rows[d])
    return rows, *pool.arrays(), sends


class _Pool:
    """Synapses of sources, stored once for all that have the same ones at other places."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._begin: dict[bytes, int] = {}
        self._n = 0
        self._offset = [np.empty(0, np.uint32)]
        self._weight = [np.empty(0, dtype)]

    def share(self, matrix: Any, rows: NDArray[np.uint32]) -> None:
        """Fill ``rows`` with each source's first target and its range in the pool."""
        matrix.sum_duplicates()
        bounds = matrix.indptr
        for s in np.flatnonzero(np.diff(bounds)).tolist():
            mine = slice(bounds[s], bounds[s + 1])
            first = matrix.indices[bounds[s]]
            offset, weight = (matrix.indices[mine] - first).astype(np.uint32), matrix.data[mine]
            key = offset.tobytes() + weight.tobytes()
            begin = self._begin.get(key)
            if begin is None:
                begin = self._begin[key] = self._n
                self._n += len(offset)
                self._offset.append(offset)
                self._weight.append(weight)
            rows[s] = first, begin, begin + len(offset)

    def arrays(self) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Offsets and weights."""
        return np.concatenate(self._offset), np.concatenate(self._weight)
