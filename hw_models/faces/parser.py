"""The parser of ``python -m hw_models``: one command per face."""

from __future__ import annotations

import argparse

from hw_models.faces import break_even, compare, devices, estimate, mapping
from hw_models.validate import command as validate


def make_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser; each command sets ``run``, which returns the text to print."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Energy, latency and power from operation counts and cited constants.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for face in (devices, estimate, compare, mapping, break_even, validate):
        face.add_parser(commands)
    return parser
