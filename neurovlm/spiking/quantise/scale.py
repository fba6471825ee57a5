"""One scale per population, and the integers it gives.

Spikes of a population do not change when its weights, bias, threshold and the threshold's rise are
all multiplied by one number k. Loihi's integers are k times these, rounded. Weights of one node
share an exponent, and each sign gets a node of its own, so that mantissas keep all their bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.linear import Matrix
from neurovlm.spiking.loihi import (
    MAX_EXPONENT,
    MAX_THRESHOLD,
    MAX_WEIGHT,
    WEIGHT_BITS,
    peak_current,
)
from neurovlm.spiking.network import Connection, Kind, Network, Population

_HEADROOM = 16  # thresholds an inhibited v may fall below 0 before 24 bits hold it
_GOOD_ENOUGH = 1.1  # times the least squared rounding error: a larger scale then has finer states
_SAFE = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Part:
    """Weights of one sign of one connection: one node of the quantised graph.

    Attributes
    ----------
    sign
        1 or -1.
    matrix
        Its weights in whole numbers, ``(targets, sources)``.
    exponent
        They are mantissas shifted left by this.
    error
        Squared error of the scaled weights, in parts of their sum of squares.
    scale, grid
        Weights are k times the original, rounded to multiples of ``grid``.
    """

    connection: Connection
    sign: int
    matrix: Matrix
    exponent: int
    error: float
    scale: float
    grid: int

    def rounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Those of ``values`` that have its sign as its integers, 0 for the others."""
        return _round(np.where(values * self.sign > 0, values, 0.0), self.scale, self.grid)


@dataclass(frozen=True, eq=False)
class Scaled:
    """One population in integers.

    Attributes
    ----------
    population
        Its decays, thresholds, bias and step in whole numbers.
    scale
        k.
    parts
        Its incoming weights.
    peak
        Largest ``|u|`` that any input can cause, in parts of 2**23.
    error
        Squared errors of weights, thresholds, bias and step, each in parts of its sum of squares,
        added.
    """

    population: Population
    scale: float
    parts: tuple[Part, ...]
    peak: float
    error: float


def scaled(network: Network, p: Population, bits: int) -> Scaled:
    """Choose the scale of one population and round it.

    Of the scales that fit, it takes those that lose little by rounding, and of these the largest.
    A scale of 1 that loses nothing is kept.

    Raises
    ------
    GraphError
        When no scale fits, naming the node.
    """
    _check(p)
    incoming = [piece for c in network.connections if c.target == p.name for piece in _signs(c)]
    loss_v = np.minimum(np.rint(p.loss_v), UNIT - 1)  # Loihi keeps at least 1/4096 of v
    decays = replace(p, loss_u=np.rint(p.loss_u), loss_v=loss_v, loss_w=float(p.dw))
    hard, limit = _limits(network, decays, incoming, bits)
    if p.graded or hard >= 1:
        same = _at(network, decays, incoming, 1.0, bits)
        if same is not None and same.error == 0:
            return same
    if p.graded:
        raise GraphError(
            f"node {p.name!r}: {p.kind} neurons count in whole numbers, so their weights, bias and "
            f"threshold cannot be scaled; give them whole numbers of {bits} bits"
        )
    while True:
        found = _best(network, decays, incoming, limit, bits)
        if found is None:
            raise _too_small(p, incoming, limit)
        if found.peak < 1 or network.dynamics.allow_wrap:
            return found
        limit = found.scale * 0.99 / found.peak  # rounding up made u larger than the bound allowed


def _check(p: Population) -> None:
    where = f"node {p.name!r}"
    if p.threshold.min() < 0:
        raise GraphError(f"{where}: Loihi thresholds are at least 0, got {p.threshold.min():g}")
    if not p.graded and p.du.min() < 0:
        raise GraphError(
            f"{where}: tau_syn is so long that u loses {p.loss_u.min():g}/{UNIT} per tick, less "
            f"than half of what Loihi can; shorten tau_syn to {2 * UNIT} ticks or use a larger dt"
        )
    if p.step and p.dw < 1:
        raise GraphError(
            f"{where}: adapt_tau_s is so long that the threshold loses {p.loss_w:g}/{UNIT} per "
            f"tick, less than half of what Loihi can; shorten it to {2 * UNIT} ticks"
        )


def _signs(c: Connection) -> list[tuple[Connection, int, Matrix]]:
    """Positive and negative weights of a connection, as far as it has them."""
    pieces = ((c, 1, c.matrix.maximum(0)), (c, -1, c.matrix.minimum(0)))
    found = [(c, sign, scipy.sparse.csr_array(m)) for c, sign, m in pieces if m.nnz]
    return found or [(c, 1, c.matrix)]


def _limits(
    network: Network,
    p: Population,
    incoming: Sequence[tuple[Connection, int, Matrix]],
    bits: int,
) -> tuple[float, float]:
    """Scale at which something no longer fits, and the largest one worth having."""
    top = _top(bits)
    largest = [most for _, _, m in incoming if (most := _largest(m))]
    rise = p.step * UNIT / p.dw if p.step else 0.0
    bounds = [(top << MAX_EXPONENT) / most for most in largest]
    highest = float(p.threshold.max())
    if highest > 0:
        bounds += [MAX_THRESHOLD / highest]
    if rise > 0:
        bounds += [_SAFE * ((LIMIT >> WEIGHT_SHIFT) - 2 * UNIT) / (highest + rise)]
    if not (p.graded or network.dynamics.allow_wrap):
        peak = float(peak_current(network, p).max())
        bounds += [_SAFE * LIMIT / peak] if peak else []
    hard = soft = min(bounds, default=1.0)
    if p.kind is Kind.LI:  # nothing else keeps v from saturating
        soft = min([hard, *(top / most for most in largest)])
    elif highest > 0 and (p.bias.min() < 0 or any(sign < 0 for _, sign, _ in incoming)):
        soft = min(hard, MAX_THRESHOLD / _HEADROOM / highest)
    return hard, soft


def _best(
    network: Network,
    p: Population,
    incoming: Sequence[tuple[Connection, int, Matrix]],
    limit: float,
    bits: int,
) -> Scaled | None:
    """The largest of the scales with little error: ``limit``, or one that fills mantissas."""
    filled = [
        (_top(bits) << exponent) / most
        for _, _, m in incoming
        if (most := _largest(m))
        for exponent in range(MAX_EXPONENT + 1)
    ]
    tried = [
        found
        for scale in {limit, *(k for k in filled if k <= limit)}
        if (found := _at(network, p, incoming, scale, bits)) is not None
    ]
    least = min((found.error for found in tried), default=0.0)
    good = [found for found in tried if found.error <= _GOOD_ENOUGH * least]
    return max(good, key=lambda found: found.scale, default=None)


def _at(
    network: Network,
    p: Population,
    incoming: Sequence[tuple[Connection, int, Matrix]],
    scale: float,
    bits: int,
) -> Scaled | None:
    """Round at one scale; None when weights leave their range or all become 0."""
    parts = []
    for c, sign, matrix in incoming:
        part = _part(c, sign, matrix, scale, bits)
        if part is None:
            return None
        parts.append(part)
    whole = {
        name: np.rint(scale * np.asarray(getattr(p, name)))
        for name in ("threshold", "bias", "step")
    }
    rounded = replace(
        p, threshold=whole["threshold"], bias=whole["bias"], step=float(whole["step"])
    )
    if p.step and not rounded.step:
        return None
    error = sum(
        _error(scale * np.asarray(getattr(p, name)), values) for name, values in whole.items()
    )
    squares = [float(np.square(matrix.data).sum()) for _, _, matrix in incoming]
    weighted = sum(part.error * n for part, n in zip(parts, squares, strict=True))
    error += weighted / sum(squares) if any(squares) else 0.0
    connections = tuple(replace(part.connection, matrix=part.matrix) for part in parts)
    peak = 0.0
    if not p.graded:
        around = replace(network, connections=connections)
        peak = float(peak_current(around, rounded).max()) / LIMIT
    return Scaled(rounded, scale, tuple(parts), peak, error)


def _part(c: Connection, sign: int, matrix: Matrix, scale: float, bits: int) -> Part | None:
    largest = scale * _largest(matrix)
    for exponent in range(MAX_EXPONENT + 1):
        grid = 1 << (WEIGHT_BITS - bits + exponent)
        if np.rint(largest / grid) * grid > _top(bits) << exponent:
            continue
        weights = _round(matrix.data, scale, grid)
        if matrix.nnz and not weights.any():
            return None
        rounded = scipy.sparse.csr_array((weights, matrix.indices, matrix.indptr), matrix.shape)
        error = _error(scale * matrix.data, weights)
        return Part(c, sign, rounded, exponent, error, scale, grid)
    return None


def _too_small(
    p: Population, incoming: Sequence[tuple[Connection, int, Matrix]], limit: float
) -> GraphError:
    largest = {c.name: most for c, _, m in incoming if (most := _largest(m))}
    name = min(largest, key=lambda c: largest[c])
    return GraphError(
        f"node {name!r}: all its weights round to 0: the largest is {largest[name]:g}, and node "
        f"{p.name!r} with a threshold of {p.threshold.max():g} and its other weights fits Loihi at "
        f"a scale of at most {limit:g}; raise the weights or remove the node"
    )


def _largest(matrix: Matrix) -> float:
    return float(np.abs(matrix.data).max(initial=0))


def _top(bits: int) -> int:
    lost = WEIGHT_BITS - bits
    return MAX_WEIGHT >> lost << lost


def _round(values: NDArray[np.float64], scale: float, grid: int) -> NDArray[np.float64]:
    whole: NDArray[np.float64] = np.rint(scale * values / grid) * grid
    return whole


def _error(exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> float:
    """Squared error in parts of the sum of squares."""
    total = float(np.square(exact).sum())
    return float(np.square(exact - rounded).sum()) / total if total else 0.0
