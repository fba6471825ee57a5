"""What the calibration scripts of processors share: their options, fits beside the catalog."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from hw_models.loader import load_device
from hw_models.sourced import sourced_items
from hw_models.validate.rows import EdgeRow, read_rows

ROWS = Path(__file__).parents[1] / "hw_models" / "published" / "edge.csv"
ROUNDING = 0.006  # catalogue values have three digits


def parser_of(doc: str, left_out: str) -> argparse.ArgumentParser:
    """Return the parser of a script; ``left_out`` says what ``--leave-one-out`` prints."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--rows", type=Path, default=ROWS, help="table of measurements")
    parser.add_argument("--leave-one-out", action="store_true", help=left_out)
    return parser


def edge_rows(path: Path) -> list[EdgeRow]:
    """Read the rows of processors."""
    return [row for row in read_rows(path) if isinstance(row, EdgeRow)]


def print_heading() -> None:
    print(f"{'device':26} {'constant':40} {'fitted':>11} {'catalog':>11}")


def compare(fitted: Mapping[str, Mapping[str, float]]) -> int:
    """Print fitted beside catalogued values; return how many differ."""
    wrong = 0
    for device, values in fitted.items():
        held = dict(sourced_items(load_device(device)))
        for key, value in values.items():
            wrong += differs(device, key, value, held[key].value)
    return wrong


def differs(device: str, what: str, fitted: float, catalogued: float) -> bool:
    """Print one line; return whether the values differ by more than rounding."""
    wrong = abs(catalogued / fitted - 1) > ROUNDING
    mark = "   differs" if wrong else ""
    print(f"{device:26} {what:40} {fitted:11.4g} {catalogued:11.4g}{mark}")
    return wrong


def verdict(wrong: int) -> int:
    """Print the verdict on all constants; return the exit status."""
    print(f"{wrong} constants differ from the catalog" if wrong else "the catalog holds the fit")
    return 1 if wrong else 0
