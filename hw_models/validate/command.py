"""``python -m hw_models validate``: published measurements against predictions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hw_models.errors import RowsError
from hw_models.faces.output import add_output_options, deliver
from hw_models.uncertainty import sample
from hw_models.validate.edge import predict_edge
from hw_models.validate.loihi import predict_loihi
from hw_models.validate.loihi_setups import PUBLISHED, setup_of
from hw_models.validate.outcome import Outcome, Prediction, Refusal
from hw_models.validate.rows import EdgeRow, LoihiRow, Row, effective_roles, read_rows
from hw_models.validate.summary import Summary, summarise
from hw_models.validate.table import page_of

SHIPPED = (PUBLISHED / "edge.csv", PUBLISHED / "loihi.csv")


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add the subcommand; its ``run`` is :func:`run`."""
    parser = subparsers.add_parser(
        "validate",
        help="predict published measurements and score the predictions",
        epilog="example: %(prog)s --rows mine.csv --json",
    )
    parser.add_argument(
        "--rows", action="append", type=Path, metavar="FILE.csv",
        help="a table with the columns of published/edge.csv or published/loihi.csv; repeatable; "
        "default: both of these",
    )  # fmt: skip
    parser.add_argument("--short", action="store_true", help="targets and verdicts only")
    parser.add_argument("--samples", type=int, default=1000, help="of the Monte Carlo")
    parser.add_argument("--seed", type=int, default=0, help="of the Monte Carlo")
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print."""
    files = arguments.rows or SHIPPED
    summary = validate(files, samples=arguments.samples, seed=arguments.seed)
    return deliver(page_of(summary, short=arguments.short), summary.to_dict(), arguments)


def validate(files: Sequence[Path], *, samples: int = 1000, seed: int = 0) -> Summary:
    """Read tables, predict their rows, score the predictions.

    Parameters
    ----------
    files
        Tables of either kind.
    samples, seed
        Of the Monte Carlo over the constants' ranges.

    Raises
    ------
    RowsError
        A table breaks a rule.
    EstimateError
        The sampling parameters are out of range.
    """
    sample({}, samples, seed)  # refuses bad parameters once, not row by row
    outcomes: list[Outcome] = []
    shipped = [row for path in SHIPPED for row in read_rows(path)]
    for path in files:
        rows = read_rows(path)
        roles = effective_roles(rows, shipped)
        for row in rows:
            if row.role != "exclude":
                try:
                    results = _predict(row, samples=samples, seed=seed)
                except RowsError as error:
                    raise RowsError(f"{path}: {error}") from error
                outcomes += [
                    Outcome(row, _role(row, roles[row.id], result), result) for result in results
                ]
    return summarise([path.name for path in files], outcomes)


def _role(row: Row, role: str, result: Prediction | Refusal) -> str:
    """Return ``fitted`` for a check of what another run of that network on that chip has set."""
    if isinstance(row, LoihiRow) and role == "check":
        set_here = setup_of(row).set_by.values()
        if any(result.quantity in quantities for quantities in set_here):
            return "fitted"
    return role


def _predict(row: Row, *, samples: int, seed: int) -> tuple[Prediction | Refusal, ...]:
    if isinstance(row, EdgeRow):
        return predict_edge(row, samples=samples, seed=seed)
    if "loihi" not in row.chip.lower():
        return (Refusal(f"no device for {row.chip!r} in the catalog"),)
    return predict_loihi(row, samples=samples, seed=seed)
