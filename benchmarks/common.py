"""What the benchmarks share: timing in turn, tables, the machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

K = TypeVar("K")


def in_turn(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, one after the other in every round."""
    clocked = {name: partial(seconds_of, call) for name, call in work.items()}
    return {name: statistics.median(each) for name, each in take_turns(clocked, rounds).items()}


def take_turns(work: Mapping[K, Callable[[], float]], rounds: int) -> dict[K, list[float]]:
    """What each call returns in every round; in a round each is called once, in this order."""
    values: dict[K, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, call in work.items():
            values[name].append(call())
    return values


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Median over the rounds of theirs / ours: what slows a whole round cancels."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def seconds_of(
    call: Callable[[], Any], times: int = 1, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Mean seconds of ``times`` calls."""
    start = clock()
    for _ in range(times):
        call()
    return (clock() - start) / times


def show(title: str, rows: Sequence[dict[str, Any]], console: Console) -> None:
    """Print rows that share their keys as a table; columns of numbers stand to the right."""
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        words = any(isinstance(row[column], str) for row in rows)
        table.add_column(column, justify="left" if words else "right")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine(packages: Sequence[str]) -> dict[str, str]:
    """Processor, cores, Python and the versions of ``packages``."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
