"""How good predictions are: by point, not by row, so that repeats do not count twice.

Rows that share a ``point`` (network and source on a neuromorphic chip, every condition elsewhere)
are averaged first: the geometric mean of their ratios, the mean of the other figures. Only the
worst case is that of a single row.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from hw_models.validate.outcome import Outcome, Prediction

MIN_NETWORKS = 3
COVERAGE = (0.80, 0.97)


@dataclass(frozen=True, slots=True)
class Score:
    """Predicted against measured over a group of predictions.

    Parameters
    ----------
    name
        Of the group.
    rows, points, networks
        How many stand behind the figures.
    ratio
        Geometric mean of predicted / measured.
    mean_error, median_error
        Of ``|predicted / measured - 1|``.
    worst
        Largest factor between prediction and measurement, either way, of one row.
    inside
        Share of measurements inside the 90% interval.
    width
        Median of upper / lower end of the interval.
    interval_score
        Mean; see :attr:`hw_models.validate.outcome.Prediction.interval_score`.
    """

    name: str
    rows: int
    points: int
    networks: int
    ratio: float
    mean_error: float
    median_error: float
    worst: float
    inside: float
    width: float
    interval_score: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A row and its prediction."""

    outcome: Outcome
    prediction: Prediction


def predictions(outcomes: Iterable[Outcome], role: str = "check") -> list[Scored]:
    """Return the predicted quantities of rows with that role."""
    return [
        Scored(outcome, outcome.result)
        for outcome in outcomes
        if outcome.role == role and isinstance(outcome.result, Prediction)
    ]


def score(name: str, scored: Sequence[Scored]) -> Score | None:
    """Score a group; ``None`` where it is empty."""
    if not scored:
        return None
    by_point = defaultdict(list)
    for each in scored:
        key = (each.outcome.row.point, each.prediction.quantity, each.prediction.device)
        by_point[key].append(each.prediction)
    points = list(by_point.values())
    ratios = [fmean(math.log(each.ratio) for each in point) for point in points]
    errors = [fmean(each.error for each in point) for point in points]
    return Score(
        name,
        rows=len({each.outcome.row.id for each in scored}),
        points=len(points),
        networks=len({each.outcome.row.network for each in scored}),
        ratio=math.exp(fmean(ratios)),
        mean_error=fmean(errors),
        median_error=median(errors),
        worst=max(each.prediction.factor for each in scored),
        inside=fmean(fmean(each.inside for each in point) for point in points),
        width=median(fmean(each.width for each in point) for point in points),
        interval_score=fmean(fmean(each.interval_score for each in point) for point in points),
    )


def scores_by(key: Callable[[Scored], str], scored: Iterable[Scored]) -> list[Score]:
    """Score the groups that ``key`` makes, each quantity by itself, in order of their names."""
    groups = defaultdict(list)
    for each in scored:
        groups[f"{each.prediction.quantity}: {key(each)}"].append(each)
    found = (score(name, groups[name]) for name in sorted(groups))
    return [each for each in found if each is not None]


@dataclass(frozen=True, slots=True)
class Target:
    """A group of predictions and the most that it may be off; ``None`` is no limit."""

    name: str
    selects: Callable[[Scored], bool]
    ratio: tuple[float, float] | None = None
    mean_error: float | None = None
    worst: float | None = None
    width: float | None = None

    def limits(self) -> str:
        """Say the limits in words."""
        said = []
        if self.ratio:
            said.append(f"ratio {self.ratio[0]:g} to {self.ratio[1]:g}")
        if self.mean_error is not None:
            said.append(f"mean error {self.mean_error:.0%}")
        if self.worst is not None:
            said.append(f"worst {self.worst:g}x")
        if self.width is not None:
            said.append(f"width {self.width:g}")
        return ", ".join(said) or "none"

    def verdict(self, found: Score | None) -> str:
        """Say whether a score reaches the target: ``met``, ``missed: ...`` or ``indicative``.

        Fewer than three networks are indicative, whatever the figures. A group without limits is
        shown for itself: ``no limit``.
        """
        if found is None:
            return "no check rows here"
        missed = ", ".join(text for text, is_missed in self._compared(found) if is_missed)
        if found.networks < MIN_NETWORKS:
            networks = "network" if found.networks == 1 else "networks"
            beyond = f"; beyond the limits: {missed}" if missed else ""
            return f"indicative ({found.networks} {networks}{beyond})"
        met = "no limit" if self.limits() == "none" else "met"
        return f"missed: {missed}" if missed else met

    def _compared(self, found: Score) -> list[tuple[str, bool]]:
        compared = []
        if self.ratio:
            low, high = self.ratio
            compared.append((f"ratio {found.ratio:.2f}", not low <= found.ratio <= high))
        for name, limit, text in (
            ("mean_error", self.mean_error, "mean error {:.1%}"),
            ("worst", self.worst, "worst {:.2f}x"),
            ("width", self.width, "width {:.3f}"),
        ):
            if limit is not None:
                value = getattr(found, name)
                compared.append((text.format(value), value > limit))
        return compared
