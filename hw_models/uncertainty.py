"""Ranges of constants -> intervals of results, by seeded Monte Carlo, all columns at once.

Every constant becomes one row of columns::

    [ nominal | constant 0 low, high | constant 1 low, high | ... | random samples ]

so that one vectorised evaluation of an equation gives the nominal result, the tornado (one
constant at an end of its range, the others nominal) and the distribution.

Distribution: triangular in the logarithm, with its mode at the nominal value, between low and
high; ranges here are factors ("half to twice") far more often than differences. A range that
starts at 0 has no logarithm and is sampled triangular in the value itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_models.device import Sourced
from hw_models.errors import EstimateError

Columns = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A result: nominal value and the ends of its 5-95% interval.

    Where a nominal constant sits at an end of its range the nominal result can lie outside the
    sampled 5-95%; the interval is then widened to include it, so low <= value <= high always.
    """

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> dict[str, float]:
        """Return ``{value, low, high}`` times ``factor``, as plain values."""
        return {
            "value": self.value * factor,
            "low": self.low * factor,
            "high": self.high * factor,
        }


@dataclass(frozen=True, slots=True)
class Swing:
    """How far one constant alone moves a result over its range."""

    name: str
    constant: Sourced
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Constants:
    """Named constants, sampled; ``c["synop_j"]`` is a row of columns, shape (n_columns,)."""

    sourced: Mapping[str, Sourced]
    columns: Mapping[str, Columns]
    n_columns: int

    def __getitem__(self, name: str) -> Columns:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def zeros(self) -> Columns:
        """Return a result of nothing."""
        return np.zeros(self.n_columns)

    def under(self, prefix: str) -> Constants:
        """Return the constants whose name starts with ``prefix.``, without it."""
        cut = len(prefix) + 1
        mine = [name for name in self.columns if name.startswith(f"{prefix}.")]
        return Constants(
            {name[cut:]: self.sourced[name] for name in mine},
            {name[cut:]: self.columns[name] for name in mine},
            self.n_columns,
        )

    def intervals(self, results: Columns) -> list[Interval]:
        """Summarise results of shape (n_results, n_columns), one interval each."""
        if len(results) == 0:
            return []
        nominal = results[:, 0]
        # Sorting whole rows and interpolating is several times faster than np.percentile here.
        samples = np.sort(results[:, 1 + 2 * len(self.columns) :], axis=1)
        low, high = _quantile(samples, 0.05), _quantile(samples, 0.95)
        low, high = np.minimum(low, nominal), np.maximum(high, nominal)
        ends = zip(nominal.tolist(), low.tolist(), high.tolist(), strict=True)
        return [Interval(*each) for each in ends]

    def interval(self, result: Columns) -> Interval:
        """Summarise one result of shape (n_columns,)."""
        return self.intervals(result[np.newaxis])[0]

    def tornado(self, result: Columns) -> list[Swing]:
        """Return the swing of each constant that moves ``result``, largest first."""
        swings = []
        for index, (name, constant) in enumerate(self.sourced.items()):
            low, high = sorted(map(float, result[1 + 2 * index : 3 + 2 * index]))
            if high > low:
                swings.append(Swing(name, constant, low, high))
        return sorted(swings, key=lambda swing: swing.low - swing.high)


def sample(sourced: Mapping[str, Sourced], samples: int, seed: int) -> Constants:
    """Draw the columns of every constant.

    Each constant has its own stream, seeded by ``seed`` and its name, so that adding a constant
    does not change the draws of the others.

    Raises
    ------
    EstimateError
        Fewer than 2 samples, or a negative seed.
    """
    if samples < 2:
        raise EstimateError(f"samples must be at least 2, got {samples}")
    if seed < 0:
        raise EstimateError(f"seed must be at least 0, got {seed}")
    head = 1 + 2 * len(sourced)
    columns = {}
    for index, (name, constant) in enumerate(sourced.items()):
        row = np.full(head + samples, constant.value, dtype=np.float64)
        row[1 + 2 * index], row[2 + 2 * index] = constant.low, constant.high
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        row[head:] = _triangular(constant, samples, rng)
        columns[name] = row
    return Constants(dict(sourced), columns, head + samples)


def _triangular(constant: Sourced, samples: int, rng: np.random.Generator) -> Columns:
    low, value, high = constant.low, constant.value, constant.high
    if low == high:
        return np.full(samples, value, dtype=np.float64)
    if low == 0:
        return rng.triangular(low, value, high, samples)
    return np.exp(rng.triangular(np.log(low), np.log(value), np.log(high), samples))


def _quantile(ordered: Columns, q: float) -> Columns:
    """Interpolate the quantile linearly between the order statistics of each row."""
    position = q * (ordered.shape[1] - 1)
    below = min(int(position), ordered.shape[1] - 2)
    share = position - below
    result: Columns = (1 - share) * ordered[:, below] + share * ordered[:, below + 1]
    return result


def total(rows: Iterable[Columns], start: Columns) -> Columns:
    """Sum rows of columns onto a copy of ``start``."""
    result = start.copy()
    for row in rows:
        result += row
    return result
