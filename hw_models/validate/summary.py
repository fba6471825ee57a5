"""Outcomes -> what is shown: targets with verdicts, scores by group, rows that have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hw_models.validate.outcome import Outcome, Prediction, Refusal
from hw_models.validate.score import COVERAGE, Score, Scored, Target, predictions, score, scores_by
from hw_models.validate.targets import TARGETS


@dataclass(frozen=True, slots=True)
class Judged:
    """A target, the score of its check rows, and that of rows of fitted networks (no check)."""

    target: Target
    found: Score | None
    verdict: str
    calibrated: Score | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the faces show.

    Parameters
    ----------
    files
        Names of the tables.
    outcomes
        One per row and quantity.
    targets
        Groups with limits.
    overall, coverage
        Score of all check rows; verdict on the share inside the 90% interval.
    by
        ``source``, ``device``, ``precision`` -> scores of check rows, each quantity by itself.
    checked_only
        Ids of ``calibrate`` rows of which something counts as checked: their network is checked on
        their device, and they did not set it.
    """

    files: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    targets: tuple[Judged, ...]
    overall: Score | None
    coverage: str
    by: dict[str, tuple[Score, ...]]
    checked_only: tuple[str, ...]

    @property
    def refused(self) -> list[tuple[str, int]]:
        """Reasons why rows are not predicted, with the number of rows, most frequent first."""
        pairs = {
            (each.row.id, each.result.reason): None
            for each in self.outcomes
            if isinstance(each.result, Refusal)
        }
        return Counter(reason for _, reason in pairs).most_common()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "files": list(self.files),
            "targets": [
                {
                    "name": each.target.name,
                    "limits": each.target.limits(),
                    "verdict": each.verdict,
                    "check": _plain(each.found),
                    "fitted_not_a_check": _plain(each.calibrated),
                }
                for each in self.targets
            ],
            "overall": _plain(self.overall),
            "coverage": self.coverage,
            "by": {name: [asdict(each) for each in scores] for name, scores in self.by.items()},
            "checked_only": list(self.checked_only),
            "predictions": [
                _prediction(each, each.result)
                for each in self.outcomes
                if isinstance(each.result, Prediction)
            ],
            "not_predicted": [
                {"id": each.row.id, "role": each.role} | asdict(each.result)
                for each in self.outcomes
                if isinstance(each.result, Refusal)
            ],
        }


def summarise(files: Sequence[str], outcomes: Sequence[Outcome]) -> Summary:
    """Score the outcomes of the rows of some tables."""
    checks = predictions(outcomes)
    calibrated = [*predictions(outcomes, "calibrate"), *predictions(outcomes, "fitted")]
    overall = score("all", checks)
    return Summary(
        files=tuple(files),
        outcomes=tuple(outcomes),
        targets=tuple(_judge(target, checks, calibrated) for target in TARGETS),
        overall=overall,
        coverage=_coverage(overall),
        by={
            "source": tuple(scores_by(lambda each: each.outcome.row.source, checks)),
            "device": tuple(scores_by(lambda each: each.prediction.device, checks)),
            "precision": tuple(scores_by(_precision, checks)),
        },
        checked_only=tuple(
            sorted(
                {
                    each.row.id
                    for each in outcomes
                    if each.row.role == "calibrate"
                    and each.role == "check"
                    and isinstance(each.result, Prediction)
                }
            )
        ),
    )


def _judge(target: Target, checks: Sequence[Scored], calibrated: Sequence[Scored]) -> Judged:
    found = score(target.name, [each for each in checks if target.selects(each)])
    fitted = score(target.name, [each for each in calibrated if target.selects(each)])
    return Judged(target, found, target.verdict(found), fitted)


def _coverage(overall: Score | None) -> str:
    if overall is None:
        return "no check rows here"
    low, high = COVERAGE
    return "met" if low <= overall.inside <= high else f"missed: {overall.inside:.0%}"


def _precision(each: Scored) -> str:
    return f"{each.prediction.device.partition('@')[0]} {each.prediction.precision}".strip()


def _plain(found: Score | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _prediction(outcome: Outcome, prediction: Prediction) -> dict[str, Any]:
    row = outcome.row
    return {
        "id": row.id,
        "role": outcome.role,
        "source": row.source,
        "workload": row.workload,
        "network": row.network,
        **asdict(prediction),
        "ratio": prediction.ratio,
        "inside": prediction.inside,
        "interval_score": prediction.interval_score,
    }
