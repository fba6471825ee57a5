"""``python -m hw_models break-even``: from where on one device needs less energy than another."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hw_models.break_even import BreakEven, Over, break_even
from hw_models.estimate import rate_of
from hw_models.faces.options import add_run_options, add_workload_options, workload_of
from hw_models.faces.output import add_output_options, deliver
from hw_models.loader import load_device
from hw_models.page import Lines, Page, Part, Picture, Table
from hw_models.scaling import event_rate_hz
from hw_models.units import format_number, format_quantity
from hw_models.workload import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OVER: dict[str, Over] = {"rate": "rate", "event-rate": "event_rate", "activity": "activity"}
_SHOWN = 9  # rows of the table
_DOWN, _UP = 1e-3, 10.0  # default range around the run's own rate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "break-even",
        help="say at which rate, event rate or activity two devices change places",
        epilog="example: %(prog)s run.json --a jetson-orin-nano "
        "--b loihi2+jetson-orin-nano --over event-rate",
    )
    add_workload_options(parser)
    parser.add_argument("--a", required=True, metavar="DEVICE", help="one device")
    parser.add_argument("--b", required=True, metavar="DEVICE", help="the other")
    parser.add_argument("--over", choices=_OVER, required=True, help="what is varied")
    parser.add_argument("--low", type=float, help="start of the range; default depends on the run")
    parser.add_argument("--high", type=float, help="end of the range")
    parser.add_argument(
        "--scope",
        choices=("active", "device"),
        default="device",
        help="energy above idle, or of the device with its idle power (default)",
    )
    add_run_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print."""
    for name in (arguments.a, arguments.b):
        load_device(name)
    workload = workload_of(arguments)
    over = _OVER[arguments.over]
    low, high = _range(workload, over, arguments.rate)
    found = break_even(
        workload,
        arguments.a,
        arguments.b,
        over=over,
        low=low if arguments.low is None else arguments.low,
        high=high if arguments.high is None else arguments.high,
        scope=arguments.scope,
        rate_hz=arguments.rate,
        deploy_as=arguments.deploy_precision,
        samples=arguments.samples,
        seed=arguments.seed,
    )
    sections = (
        Lines("Answer", (found.verdict, _here(found))),
        Picture(f"{found.verdict}.", lambda ax: _draw(found, ax)),
        _table(found),
        Lines("Includes", (f"{found.a.device}: {found.a.boundary}",
                           f"{found.b.device}: {found.b.boundary}")),
        Lines("Notes", found.notes),
    )  # fmt: skip
    title = f"{found.workload_name}: {found.a.device} against {found.b.device}"
    return deliver(Page(title, (Part(title, sections),)), found.to_dict(), arguments)


def _range(workload: Workload, over: Over, rate_hz: float | None) -> tuple[float, float]:
    if over == "activity":
        return 0.0, 1.0
    own = rate_of(workload, rate_hz) if over == "rate" else event_rate_hz(workload)
    return own * _DOWN, own * _UP


def _draw(found: BreakEven, ax: Axes | None) -> Axes:
    from hw_models import plot

    return plot.break_even(found, ax)


def _here(found: BreakEven) -> str:
    return (
        f"at the run's own {_at(found, found.at)}, {found.a.device} needs less in "
        f"{found.a_wins_share:.0%} of draws"
    )


def _at(found: BreakEven, x: float) -> str:
    return f"{x:.3g}" if found.over == "activity" else format_number(x, "Hz")


def _table(found: BreakEven) -> Table:
    last = len(found.x) - 1
    indices = sorted({round(last * i / (_SHOWN - 1)) for i in range(_SHOWN)})
    rows = tuple(
        (
            _at(found, found.x[i]),
            format_quantity(found.a.energy_j[i], "J"),
            format_quantity(found.b.energy_j[i], "J"),
        )
        for i in indices
    )
    over = found.over.replace("_", " ")
    return Table((over, found.a.device, found.b.device), rows, "Energy per inference", (0,))
