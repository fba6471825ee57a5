"""A summary as text: rich tables for a terminal, Markdown for a file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence

from hw_models.validate.score import COVERAGE, Score
from hw_models.validate.summary import Summary

_FIGURES = ("rows", "networks", "ratio", "mean", "median", "worst", "inside", "width", "score")
_LEGEND = (
    "ratio: geometric mean of predicted / measured; mean, median: of |ratio - 1|; worst: largest "
    "factor; inside: share of measurements in the 90% interval; width: median of its upper / lower "
    "end; score: mean interval score (natural logarithm, 90%). Rows that repeat a measurement are "
    "averaged first."
)


def to_markdown(summary: Summary) -> str:
    """Return targets, scores by device and the rows left out, as Markdown."""
    lines = _markdown(_target_header(), _target_rows(summary, calibrated=False))
    lines += ["", _LEGEND, "", _overall(summary), ""]
    lines += _markdown(_header("by device"), map(_row, summary.by["device"]))
    reasons = ([f"{reason}", str(count)] for reason, count in summary.refused)
    lines += ["", *_markdown(["not predicted, because", "rows"], reasons)]
    return "\n".join(lines)


def to_terminal(summary: Summary, *, colour: bool) -> str:
    """Return all tables as rich would print them."""
    from rich.console import Console
    from rich.table import Table

    stream = io.StringIO()
    width = max(shutil.get_terminal_size().columns, 120)
    console = Console(file=stream, force_terminal=colour, no_color=not colour, width=width)

    def show(header: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> None:
        table = Table(header_style="bold")
        for name in header:
            number = name in _FIGURES
            table.add_column(name, justify="right" if number else "left", no_wrap=number)
        for row in rows:
            table.add_row(*row)
        console.print(table)

    show(_target_header(), _target_rows(summary, calibrated=True))
    for name, scores in summary.by.items():
        if scores:
            show(_header(f"by {name}"), [_row(each) for each in scores])
    show(["not predicted, because", "rows"], [[text, str(n)] for text, n in summary.refused])
    console.print(f"{_overall(summary)}\n{_LEGEND}", highlight=False, markup=False)
    return stream.getvalue().rstrip()


def _overall(summary: Summary) -> str:
    low, high = COVERAGE
    found = summary.overall
    said = "no check rows" if found is None else f"{found.inside:.0%} of {found.rows} check rows"
    text = f"Inside the 90% interval: {said} (target {low:.0%} to {high:.0%}): {summary.coverage}."
    if summary.checked_only:
        text += (
            f" {len(summary.checked_only)} calibrate rows count as checks: their network is "
            "checked on their device, so they set no constant."
        )
    fitted = {each.row.id for each in summary.outcomes if each.role == "fitted"}
    if fitted:
        text += (
            f" {len(fitted)} check rows are not scored: their network set constants of their "
            "device."
        )
    return text


def _header(title: str) -> list[str]:
    return [title, *_FIGURES]


def _target_header() -> list[str]:
    return [*_header("group"), "at most", "verdict"]


def _target_rows(summary: Summary, *, calibrated: bool) -> Iterator[list[str]]:
    for each in summary.targets:
        empty = ["-"] * len(_FIGURES)
        cells = _row(each.found)[1:] if each.found else empty
        yield [each.target.name, *cells, each.target.limits(), each.verdict]
        if each.calibrated and (calibrated or each.found is None):
            yield ["  calibrate (not a check)", *_row(each.calibrated)[1:], "", ""]


def _row(score: Score) -> list[str]:
    return [
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
    ]


def _markdown(header: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
