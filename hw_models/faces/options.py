"""Options that several commands share: the workload, how it runs, how intervals are drawn."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hw_models.errors import WorkloadError
from hw_models.ops import PRECISIONS
from hw_models.published import load_published
from hw_models.workload import Workload

_EXAMPLE = "gmacs=4.1,params_m=25.6,op_class=cnn,n_layers=120,batch=1"


def _millions(text: str) -> int:
    return round(float(text) * 1e6)


_TOTALS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "gmacs": ("macs", lambda text: round(float(text) * 1e9)),
    "params_m": ("params", _millions),
    "op_class": ("op_class", str),
    "n_layers": ("n_layers", int),
    "act_melems": ("act_elements", _millions),
    "kv_melems": ("kv_elements", _millions),
    "batch": ("batch", int),
    "window_ms": ("window_ms", float),
    "name": ("name", str),
}


def add_workload_options(parser: argparse.ArgumentParser) -> None:
    """Add what to cost: a file, a published workload, or totals of a network."""
    parser.add_argument(
        "workload",
        nargs="?",
        metavar="FILE",
        help="workload JSON, or the name of a published workload",
    )
    parser.add_argument(
        "--totals",
        type=_totals,
        metavar="KEY=VALUE,...",
        help=f"a network by its totals instead of a file: {_EXAMPLE}; keys {', '.join(_TOTALS)}",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add rate, precision and the Monte Carlo."""
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="inferences per second; default one per window"
    )
    parser.add_argument("--deploy-precision", choices=PRECISIONS, help="precision of the ANN")
    parser.add_argument("--samples", type=int, default=1000, help="of the Monte Carlo")
    parser.add_argument("--seed", type=int, default=0, help="of the Monte Carlo")


def workload_of(arguments: argparse.Namespace) -> Workload:
    """Return the workload that was asked for.

    Raises
    ------
    WorkloadError
        Not exactly one of a file and totals is given, the file is bad, or no such workload is
        published.
    """
    name, totals = arguments.workload, arguments.totals
    if (name is None) == (totals is None):
        raise argparse.ArgumentError(None, "give either FILE or --totals")
    if totals is not None:
        return totals  # type: ignore[no-any-return]
    if Path(name).suffix == ".json" or Path(name).exists():
        return Workload.load(name)
    return load_published(name)


def _totals(text: str) -> Workload:
    given: dict[str, Any] = {}
    for pair in text.split(","):
        key, equals, value = pair.strip().partition("=")
        if not equals or key not in _TOTALS:
            raise argparse.ArgumentTypeError(
                f"expected KEY=VALUE with a key of {', '.join(_TOTALS)}, got {pair!r}"
            )
        name, convert = _TOTALS[key]
        try:
            given[name] = convert(value)
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{key}: expected a number, got {value!r}") from None
    missing = [key for key in ("gmacs", "params_m") if _TOTALS[key][0] not in given]
    if missing:
        raise argparse.ArgumentTypeError(f"{missing[0]} is missing, for example {_EXAMPLE}")
    try:
        return Workload.from_totals(**given)
    except WorkloadError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
