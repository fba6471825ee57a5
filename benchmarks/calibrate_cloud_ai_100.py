"""Fit Qualcomm Cloud AI 100 edge boards to published runs, and hold the catalog to the fit.

    python -m benchmarks.calibrate_cloud_ai_100 [--rows FILE.csv] [--leave-one-out]

Energy at the wall of one sample that takes t, at the measured time and the idle power P_idle that
was noted around the run::

    E = (P_idle + P_active) t + e_mac MACs + e_element elements

Least squares of log energy under a soft loss, with a pull towards ``START`` as a prior of a factor
of two: three networks alone do not tell MACs from elements. Time of a query of n samples, where
latency was measured::

    t = c + n MACs / R

That law does not hold for a network left out (a factor of three either way), so ``hw_models
validate`` predicts energy at the measured time only.

Everything is fitted on runs of the development kit (AEDK), of which none is a check; the boxes with
the same chips (Gloria, Heimdall, EB6, RB6) are checks. Only rows of role ``calibrate`` are read.
From the runs of Gloria that check nothing comes the idle power of a box, and nothing else.

The ranges are residuals of left-out networks, boards and rounds, all together: a new run differs in
one of them. Prints fitted beside catalogued numbers; exit status 1 where they differ by more than
the catalog's rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from benchmarks.catalog_fit import (
    compare,
    differs,
    edge_rows,
    parser_of,
    print_heading,
    verdict,
)
from hw_models import load_device
from hw_models.sourced import sourced_items
from hw_models.validate.facts import facts
from hw_models.validate.question import device_of
from hw_models.validate.rows import EdgeRow, effective_roles

DEVICE = "cloud-ai-100"
KIT, BOX = "AEDK", "Gloria"
START = {"active_w": 5.0, "mac_j": 0.5e-12, "element_j": 200e-12}
"""An edge GPU of a node before (AGX Orin, Samsung 8 nm), rounded."""
START_TIME = {"dispatch_s": 0.5e-3, "mac_per_s": 20e12}
SOFT = 0.15
PULL = SOFT / math.log(2)  # a factor of two weighs as much as a typical residual
NETWORKS = ("cnn", "grouped-cnn", "dw-cnn", "vit", "hybrid")
REACH = 1 - math.sqrt(0.1)  # 5% and 95% of a symmetric triangle over its half width

Law = Callable[["Run", Mapping[str, float]], float]


@dataclass(frozen=True, slots=True)
class Run:
    """One measured sample; ``query_s`` is NaN where many were in flight."""

    network: str
    board: str
    source: str
    idle_w: float
    sample_s: float
    query_s: float
    samples: int
    macs: float
    elements: float
    energy_j: float


def law_j(run: Run, q: Mapping[str, float]) -> float:
    """Energy of one sample, idle power included."""
    work_j = q["mac_j"] * run.macs + q["element_j"] * run.elements
    return (run.idle_w + q["active_w"]) * run.sample_s + work_j


def law_s(run: Run, q: Mapping[str, float]) -> float:
    """Time of one query."""
    return q["dispatch_s"] + run.samples * run.macs / q["mac_per_s"]


def fit_energy(runs: Sequence[Run]) -> dict[str, float]:
    """Fit power above idle, energy per MAC and per element."""
    return _fit(START, runs, off_j)


def fit_time(runs: Sequence[Run]) -> dict[str, float]:
    """Fit the fixed time of a query and the rate of MACs."""
    return _fit(START_TIME, [run for run in runs if not math.isnan(run.query_s)], off_s)


def off_j(run: Run, q: Mapping[str, float]) -> float:
    """Logarithm of predicted over measured energy."""
    return math.log(law_j(run, q) / run.energy_j)


def off_above_idle(run: Run, q: Mapping[str, float]) -> float:
    """The same for energy above idle, which alone is fitted."""
    idle_j = run.idle_w * run.sample_s
    return math.log((law_j(run, q) - idle_j) / (run.energy_j - idle_j))


def off_s(run: Run, q: Mapping[str, float]) -> float:
    """Logarithm of predicted over measured time."""
    return math.log(law_s(run, q) / run.query_s)


def _fit(start: Mapping[str, float], runs: Sequence[Run], off: Law) -> dict[str, float]:
    centre = np.log(list(start.values()))

    def residuals(theta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        q = dict(zip(start, np.exp(theta).tolist(), strict=True))
        return np.concatenate([[off(run, q) for run in runs], PULL * (theta - centre)])

    found = least_squares(residuals, centre, loss="soft_l1", f_scale=SOFT)
    return dict(zip(start, np.exp(found.x).tolist(), strict=True))


def runs_of(rows: Sequence[EdgeRow], board: str) -> list[Run]:
    """Return the metered runs on a board that may set a constant."""
    roles = effective_roles(rows)
    return [
        _run(row)
        for row in rows
        if device_of(row) == DEVICE and board in row.device and roles[row.id] == "calibrate"
    ]


def _run(row: EdgeRow) -> Run:
    samples = row.batch or 1
    query_s = math.nan if row.latency_ms is None else row.latency_ms * 1e-3
    offline_s = 1 / (row.throughput_per_s or math.nan)
    return Run(
        network=row.network,
        board=row.device,
        source=row.source,
        idle_w=float(facts(row)["idle_w"]),
        sample_s=offline_s if row.latency_ms is None else query_s / samples,
        query_s=query_s,
        samples=samples,
        macs=(row.gmacs or math.nan) * 1e9,
        elements=(row.act_melems or math.nan) * 1e6,
        energy_j=(row.energy_mj_per_inf or math.nan) * 1e-3,
    )


def left_out(
    runs: Sequence[Run],
    fit: Callable[[Sequence[Run]], dict[str, float]],
    off: Law,
    group: Callable[[Run], str],
) -> list[float]:
    """Return residuals of each group, predicted from the others."""
    found: list[float] = []
    for name in sorted({group(run) for run in runs}):
        q = fit([run for run in runs if group(run) != name])
        found += [off(run, q) for run in runs if group(run) == name]
    return found


GROUPS: Mapping[str, Callable[[Run], str]] = {
    "network": lambda run: run.network,
    "board": lambda run: run.board,
    "round": lambda run: run.source,
}


def fit_all(rows: Sequence[EdgeRow]) -> dict[str, float]:
    """Return key in the device file -> fitted value."""
    kit = runs_of(rows, KIT)
    energy, time = fit_energy(kit), fit_time(kit)
    found = {"mac_j.int8": energy["mac_j"]}
    found |= {f"kinds.{kind}.element_j.int8": energy["element_j"] for kind in NETWORKS}
    for mode, board in (("aedk", KIT), ("box", BOX)):
        found |= {
            f"modes.{mode}.idle_w": median(run.idle_w for run in runs_of(rows, board)),
            f"modes.{mode}.active_w": energy["active_w"],
            f"modes.{mode}.overhead_w": energy["active_w"],
            f"modes.{mode}.mac_per_s.int8": time["mac_per_s"],
            f"modes.{mode}.dispatch_s.any": time["dispatch_s"],
        }
    return found


def fit_ranges(rows: Sequence[EdgeRow]) -> dict[str, tuple[float, float]]:
    """Return key in the device file -> ends of a triangle whose 5-95% holds 90% of residuals."""
    kit = runs_of(rows, KIT)
    timed = [run for run in kit if not math.isnan(run.query_s)]
    above = [off for group in GROUPS.values()
             for off in left_out(kit, fit_energy, off_above_idle, group)]  # fmt: skip
    times = left_out(timed, fit_time, off_s, GROUPS["network"])
    return {"energy_factor": _ends(above), "kinds.cnn.time_factor.any": _ends(times)}


def _ends(off: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(off, [0.05, 0.95])
    return math.exp(-high / REACH), math.exp(-low / REACH)  # measured over predicted


def compare_ranges(fitted: Mapping[str, tuple[float, float]]) -> int:
    """Print fitted beside catalogued ends; return how many differ."""
    held, wrong = dict(sourced_items(load_device(DEVICE))), 0
    for key, (low, high) in fitted.items():
        wrong += differs(DEVICE, f"{key}, low", low, held[key].low)
        wrong += differs(DEVICE, f"{key}, high", high, held[key].high)
    return wrong


def leave_one_out(runs: Sequence[Run]) -> None:
    """Print how well groups of runs are predicted from the others."""
    timed = [run for run in runs if not math.isnan(run.query_s)]
    for name, group in GROUPS.items():
        _say(f"energy, {name} left out", left_out(runs, fit_energy, off_j, group))
    _say("time, network left out", left_out(timed, fit_time, off_s, GROUPS["network"]))


def _say(what: str, off: Sequence[float]) -> None:
    low, high = np.quantile(off, [0.05, 0.95])
    error = fmean(abs(math.exp(each) - 1) for each in off)
    print(f"{what}: {len(off)} rows, mean error {error:.1%}, log residual 5-95% "
          f"{low:+.2f} to {high:+.2f}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the fit with the catalog; return the exit status."""
    parser = parser_of(__doc__, "residuals of runs left out")
    options = parser.parse_args(arguments)
    rows = edge_rows(options.rows)
    for board in (KIT, BOX):
        if not runs_of(rows, board):
            parser.error(f"{options.rows}: no calibrate rows of a Cloud AI 100 {board}")
    print_heading()
    wrong = compare({DEVICE: fit_all(rows)}) + compare_ranges(fit_ranges(rows))
    if options.leave_one_out:
        leave_one_out(runs_of(rows, KIT))
    return verdict(wrong)


if __name__ == "__main__":
    sys.exit(main())
