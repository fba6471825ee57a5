"""``python -m hw_models validate``: published measurements against predictions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hw_models.errors import RowsError
from hw_models.validate.edge import predict_edge
from hw_models.validate.outcome import Outcome, Prediction, Refusal
from hw_models.validate.rows import EdgeRow, Row, effective_roles, read_rows
from hw_models.validate.summary import Summary, summarise
from hw_models.validate.table import to_markdown, to_terminal
from hw_models.validate_loihi import predict_loihi

PUBLISHED = Path(__file__).parent.parent / "published"
SHIPPED = (PUBLISHED / "edge.csv", PUBLISHED / "loihi.csv")


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> argparse.ArgumentParser:
    """Add the subcommand; its ``run`` is :func:`run`."""
    parser = subparsers.add_parser(
        "validate",
        help="predict published measurements and score the predictions",
        epilog="example: python -m hw_models validate --rows mine.csv --json",
    )
    parser.add_argument(
        "--rows", action="append", type=Path, metavar="FILE.csv",
        help="a table with the columns of published/edge.csv or published/loihi.csv; repeatable; "
        "default: both of these",
    )  # fmt: skip
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw predicted / measured")
    parser.add_argument("--samples", type=int, default=1000, help="of the Monte Carlo")
    parser.add_argument("--seed", type=int, default=0, help="of the Monte Carlo")
    parser.set_defaults(run=run)
    return parser


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print; write the plot where one is asked for.

    Raises
    ------
    RowsError
        A table breaks a rule; names file, line and column.
    """
    summary = validate(arguments.rows or SHIPPED, samples=arguments.samples, seed=arguments.seed)
    if arguments.plot:
        _plot(summary, arguments.plot)
    if arguments.json:
        return json.dumps(summary.to_dict(), indent=2)
    if arguments.markdown:
        return to_markdown(summary)
    return to_terminal(summary, colour=sys.stdout.isatty())


def validate(files: Sequence[Path], *, samples: int = 1000, seed: int = 0) -> Summary:
    """Read tables, predict their rows, score the predictions.

    Parameters
    ----------
    files
        Tables of either kind.
    samples, seed
        Of the Monte Carlo over the constants' ranges.
    """
    outcomes: list[Outcome] = []
    shipped = [row for path in SHIPPED for row in read_rows(path)]
    for path in files:
        rows = read_rows(path)
        roles = effective_roles(rows, shipped)
        for row in rows:
            if row.role != "exclude":
                outcomes += [
                    Outcome(row, roles[row.id], result)
                    for result in _predict(row, samples=samples, seed=seed)
                ]
    return summarise([path.name for path in files], outcomes)


def _plot(summary: Summary, path: Path) -> None:
    from matplotlib.figure import Figure

    from hw_models.plot_validation import plot_validation

    figure = Figure(figsize=(9, 8), layout="constrained")
    plot_validation(summary, figure.subplots())
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise RowsError(f"--plot {path}: cannot write the picture: {error}") from error


def _predict(row: Row, *, samples: int, seed: int) -> tuple[Prediction | Refusal, ...]:
    if isinstance(row, EdgeRow):
        return predict_edge(row, samples=samples, seed=seed)
    if "loihi" not in row.chip.lower():
        return (Refusal(f"no device for {row.chip!r} in the catalog"),)
    return predict_loihi(row, samples=samples, seed=seed)
