"""Ranges of constants -> intervals of results, by seeded Monte Carlo, all columns at once.

Every constant becomes one row of columns::

    [ nominal | constant 0 low, high | constant 1 low, high | ... | random samples ]

so that one vectorised evaluation of an equation gives the nominal result, the tornado (one
constant at an end of its range, the others nominal) and the distribution.

Distribution: triangular in the logarithm, with its mode at the nominal value, between low and
high; ranges here are factors ("half to twice") far more often than differences. A range that
starts at 0 has no logarithm and is sampled triangular in the value itself. Constants that name
a common cause are drawn at the same quantile (or the opposite one), which is perfect rank
correlation: fitted constants that trade off against each other, or one physical constant that
appears twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_models.errors import EstimateError
from hw_models.sourced import Sourced

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
    """How far one constant alone moves a result over its range.

    ``falls`` says that the result is lower at the high end of the constant than at its low end.
    """

    name: str
    constant: Sourced
    low: float
    high: float
    falls: bool = False


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
        return intervals_of(results[:, 0], self.draws(results)) if len(results) else []

    def draws(self, results: Columns) -> Columns:
        """Return the random samples among the columns, shape (..., n_samples)."""
        drawn: Columns = results[..., 1 + 2 * len(self.columns) :]
        return drawn

    def interval(self, result: Columns) -> Interval:
        """Summarise one result of shape (n_columns,)."""
        return self.intervals(result[np.newaxis])[0]

    def tornado(self, result: Columns) -> list[Swing]:
        """Return the swing of each constant that moves ``result``, largest first.

        Constants of a common cause move together and appear once, under the first one's name.
        """
        swings, seen = [], set()
        for index, (name, constant) in enumerate(self.sourced.items()):
            ends = result[1 + 2 * index], result[2 + 2 * index]
            low, high = sorted(map(float, ends))
            cause, _ = _cause(name, constant)
            if high > low and cause not in seen:
                seen.add(cause)
                swings.append(Swing(name, constant, low, high, falls=bool(ends[1] < ends[0])))
        return sorted(swings, key=lambda swing: swing.low - swing.high)


def intervals_of(values: Columns, draws: Columns) -> list[Interval]:
    """Summarise nominal values of shape (n_results,) and their draws, (n_results, n_samples)."""
    # Sorting whole rows and interpolating is several times faster than np.percentile here.
    ordered = np.sort(draws, axis=1)
    low, high = _quantile(ordered, 0.05), _quantile(ordered, 0.95)
    low, high = np.minimum(low, values), np.maximum(high, values)
    ends = zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Interval(*each) for each in ends]


def nominal(sourced: Mapping[str, Sourced]) -> Constants:
    """Return the constants at their nominal values: one column, no interval."""
    columns = {name: np.array([constant.value]) for name, constant in sourced.items()}
    return Constants(dict(sourced), columns, 1)


def sample(sourced: Mapping[str, Sourced], samples: int, seed: int) -> Constants:
    """Draw the columns of every constant.

    Each cause has its own stream of quantiles, seeded by ``seed`` and its name, so that adding a
    constant does not change the draws of the others. The cause is what the constant says it
    ``shares``, else the constant itself.

    Raises
    ------
    EstimateError
        Fewer than 2 samples, or a negative seed.
    """
    if samples < 2:
        raise EstimateError(f"samples must be at least 2, got {samples}")
    if seed < 0:
        raise EstimateError(f"seed must be at least 0, got {seed}")
    causes = [_cause(name, constant) for name, constant in sourced.items()]
    head = 1 + 2 * len(sourced)
    columns = {}
    for (name, constant), (cause, opposite) in zip(sourced.items(), causes, strict=True):
        row = np.full(head + samples, constant.value, dtype=np.float64)
        ends = (constant.high, constant.low) if opposite else (constant.low, constant.high)
        for index, (other, other_opposite) in enumerate(causes):
            if other == cause:  # what moves one end of a cause moves all constants that share it
                at = slice(1 + 2 * index, 3 + 2 * index)
                row[at] = ends[::-1] if other_opposite else ends
        rng = np.random.default_rng([seed, zlib.crc32(cause.encode())])
        quantile = rng.random(samples)
        row[head:] = _triangular(constant, 1 - quantile if opposite else quantile)
        columns[name] = row
    return Constants(dict(sourced), columns, head + samples)


def _cause(name: str, constant: Sourced) -> tuple[str, bool]:
    shares = constant.shares
    return (shares.removeprefix("-"), shares.startswith("-")) if shares else (name, False)


def _triangular(constant: Sourced, quantile: Columns) -> Columns:
    """Invert the cumulative distribution of the triangle at each quantile."""
    low, mode, high = constant.low, constant.value, constant.high
    logarithmic = low > 0
    if logarithmic:
        low, mode, high = np.log([low, mode, high])
    if low == high:  # also neighbouring floats, whose logarithms are the same
        return np.full(len(quantile), constant.value)
    turn = (mode - low) / (high - low)
    rising = low + np.sqrt(quantile * (high - low) * (mode - low))
    falling = high - np.sqrt((1 - quantile) * (high - low) * (high - mode))
    drawn: Columns = np.where(quantile < turn, rising, falling)
    return np.exp(drawn) if logarithmic else drawn


def _quantile(ordered: Columns, q: float) -> Columns:
    """Interpolate the quantile linearly between the order statistics of each row."""
    position = q * (ordered.shape[1] - 1)
    below = min(int(position), ordered.shape[1] - 2)
    share = position - below
    result: Columns = (1 - share) * ordered[:, below] + share * ordered[:, below + 1]
    return result
