"""A summary as a page: targets with verdicts, scores by group, rows that have none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hw_models.page import Lines, Page, Part, Picture, Table
from hw_models.validate.outcome import Refusal
from hw_models.validate.score import COVERAGE, Score, predictions
from hw_models.validate.summary import Summary
from hw_models.validate.targets import VENDOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FIGURES = ("rows", "networks", "ratio", "mean", "median", "worst", "inside", "width", "score")
_NUMBERS = tuple(range(1, 1 + len(_FIGURES)))
_LEGEND = (
    "ratio: geometric mean of predicted / measured; mean, median: of |ratio - 1|; worst: largest "
    "factor between the two",
    "inside: share of measurements in the 90% interval; width: median of its upper / lower end; "
    "score: mean interval score (natural logarithm, 90%; less is better)",
    "rows that repeat a measurement are averaged first; fewer than three networks are indicative",
)


def page_of(summary: Summary, *, short: bool = False) -> Page:
    """Return what the faces show; only targets and their verdicts if ``short``."""
    targets = Table(
        header=("group", *_FIGURES, "at most", "verdict"),
        rows=tuple(_target_rows(summary)),
        numbers=_NUMBERS,
    )
    remarks = Lines("How to read it", (*_remarks(summary), *_LEGEND))
    first = Part(
        "Predicted against published measurements", (targets, remarks, *_pictures(summary))
    )
    if short:
        return Page("Validation", (first,))
    groups = tuple(
        Table((f"by {name}", *_FIGURES), tuple(map(_row, scores)), numbers=_NUMBERS)
        for name, scores in summary.by.items()
        if scores
    )
    reasons = tuple((reason, str(count)) for reason, count in summary.refused)
    parts = (
        first,
        Part("Check rows by group", groups),
        Part("Not predicted", (Table(("because", "rows"), reasons, numbers=(1,)),)),
    )
    return Page("Validation", tuple(part for part in parts if part.sections))


def _target_rows(summary: Summary) -> Iterator[tuple[str, ...]]:
    for each in summary.targets:
        cells = _row(each.found)[1:] if each.found else ("-",) * len(_FIGURES)
        yield (each.target.name, *cells, each.target.limits(), each.verdict)
        if each.found is None and each.calibrated:
            yield ("  fitted networks (not a check)", *_row(each.calibrated)[1:], "", "")


def _row(score: Score) -> tuple[str, ...]:
    return (
        score.name,
        str(score.rows),
        str(score.networks),
        f"{score.ratio:.2f}",
        f"{score.mean_error:.0%}",
        f"{score.median_error:.0%}",
        f"{score.worst:.2f}x",
        f"{score.inside:.0%}",
        f"{score.width:.2f}",
        f"{score.interval_score:.2f}",
    )


def _remarks(summary: Summary) -> Iterator[str]:
    low, high = COVERAGE
    found = summary.overall
    said = "no check rows" if found is None else f"{found.inside:.0%} of {found.rows} check rows"
    yield f"inside the 90% interval: {said} (target {low:.0%} to {high:.0%}): {summary.coverage}"
    if summary.checked_only:
        yield (
            f"{len(summary.checked_only)} calibrate rows count as checks: their network is checked "
            "on their device, so they did not set what is scored"
        )
    fitted = {each.row.id for each in summary.outcomes if each.role == "fitted"}
    if fitted:
        yield (
            f"{_rows(len(fitted))} not scored, wholly or in part: their network set constants of "
            "their device"
        )
    vendor = [each for each in predictions(summary.outcomes) if each.prediction.note == VENDOR]
    if vendor:
        yield f"{_rows(len(vendor))} of a vendor's benchmark back end: scored, but in no group"
    refused = {each.row.id for each in summary.outcomes if isinstance(each.result, Refusal)}
    yield f"{_rows(len(refused))} not predicted, wholly or in part; reasons are listed"


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count} rows are"


def _pictures(summary: Summary) -> tuple[Picture, ...]:
    def draw_times(ax: Axes | None) -> Axes:
        from hw_models.plot.validation import plot_validation

        return plot_validation(summary, ax, unit="s")

    def draw_energies(ax: Axes | None) -> Axes:
        from hw_models.plot.validation import plot_validation

        return plot_validation(summary, ax, unit="J")

    return (
        Picture("Predicted against measured times, with 90% intervals", draw_times),
        Picture("Predicted against measured energies, with 90% intervals", draw_energies),
    )
