"""What a run costs on devices, with the intervals of the estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.axes import Axes

from hw_models import EnergyReport, Interval
from hw_models.ops import STAGES
from neurovlm.core.errors import UsageError
from neurovlm.viz import style
from neurovlm.viz.protocols import Run

SHARED = "device"  # stage of rows that belong to no stage; their term says what they are


def energy_by_stage(reports: Mapping[str, EnergyReport], ax: Axes | None = None) -> Axes:
    """Energy per inference of each stage on each device, with 5-95% intervals, log scale.

    What belongs to no stage (idle, link, dispatch) stands below the stages, a row each.
    """
    _check(reports, "energy_by_stage")
    costs = {name: _stage_costs(report) for name, report in reports.items()}
    rows = _row_names(costs.values())
    ax = style.axes_or_new(ax, 1.3 + 0.36 * len(rows))
    step = 0.7 / len(costs)
    for i, (name, cost) in enumerate(costs.items()):
        places = [rows.index(row) + (i - (len(costs) - 1) / 2) * step for row in cost]
        ax.errorbar(
            [quantity.value * 1e3 for quantity in cost.values()],
            places,
            xerr=_arms(list(cost.values())),
            linestyle="none",
            marker=style.MARKERS[i % len(style.MARKERS)],
            markersize=4.5,
            color=style.DEVICES[i % len(style.DEVICES)],
            elinewidth=1.3,
            label=f"{name}, front end only" if reports[name].front_end_only else name,
        )
    n_stages = sum(row in STAGES for row in rows)
    if 0 < n_stages < len(rows):
        ax.axhline(n_stages - 0.5, color=style.GREY, linewidth=0.8, linestyle="dotted")
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xscale("log")
    style.dress(
        ax,
        title="Estimated energy by stage, 5-95%",
        x="energy per inference (mJ, log scale)",
        grid="x",
    )
    style.legend_below(ax, 2)
    return ax


def devices(reports: Mapping[str, EnergyReport], ax: Axes | None = None) -> Axes:
    """Energy above idle per inference, devices side by side, with 5-95% intervals.

    Front ends alone stand below a line: they leave stages out and must not be ranked against
    whole pipelines.
    """
    _check(reports, "devices")
    whole = [report for report in reports.values() if not report.front_end_only]
    parts = [report for report in reports.values() if report.front_end_only]
    gap = 0.5 if whole and parts else 0.0
    ax = style.axes_or_new(ax, 1.1 + 0.5 * (len(reports) + gap))
    for i, report in enumerate([*whole, *parts]):
        y = i + (gap if report.front_end_only else 0.0)
        _bar(ax, y, report)
    if gap:
        ax.axhline(len(whole) - 0.25, color=style.GREY, linewidth=0.8, linestyle="dotted")
    places = [i + (gap if i >= len(whole) else 0.0) for i in range(len(reports))]
    names = [r.device for r in whole] + [f"{r.device}\nfront end only" for r in parts]
    ax.set_yticks(places, names)
    ax.set_ylim(places[-1] + 0.6, -0.6)
    highest = max((q.high * 1e3 for r in reports.values() if (q := r.energy_active_j)), default=1.0)
    ax.set_xlim(0, 1.3 * highest)
    style.dress(
        ax,
        title="Estimated energy above idle, 5-95%",
        x="energy per inference (mJ)",
        grid="x",
    )
    return ax


def macs_dense_vs_sttf(run: Run, ax: Axes | None = None) -> Axes:
    """MACs per window of the ANN, by stage: what ran beside what a dense model would run."""
    stages = [stage for stage in run.workload.stages if run.workload.total("dense", stage).macs]
    ax = style.axes_or_new(ax, 1.2 + 0.5 * len(stages))
    per_m = 1e6 * run.workload.inferences
    for which, label, colour, shift in (
        ("dense", "dense twin", style.PALE, -0.19),
        ("executed", "this run", style.BLUE, 0.19),
    ):
        macs = [run.workload.total(which, stage).macs / per_m for stage in stages]  # type: ignore[arg-type]
        places = [i + shift for i in range(len(stages))]
        bars = ax.barh(places, macs, height=0.36, color=colour, edgecolor=style.GREY, label=label)
        ax.bar_label(bars, fmt="%.3g", fontsize=style.SMALL_PT, padding=3, color=style.INK)
    ax.set_yticks(range(len(stages)), stages)
    ax.set_ylim(len(stages) - 0.5, -0.5)
    ax.margins(x=0.12)
    style.dress(ax, title="Dense against STTF: MACs, counted", x="M MACs per window", grid="x")
    style.legend_below(ax, 2)
    return ax


def energy_dense_vs_sttf(reports: Mapping[str, EnergyReport], ax: Axes | None = None) -> Axes:
    """Energy above idle of each whole pipeline beside its dense twin, with 5-95% intervals."""
    whole = [r for r in reports.values() if not r.front_end_only and r.dense_twin is not None]
    if not whole:
        raise UsageError("energy_dense_vs_sttf: no report covers the whole pipeline")
    ax = style.axes_or_new(ax, 1.3 + 0.5 * len(whole))
    for label, colour, shift, marker in (
        ("dense twin", style.GREY, -0.14, "s"),
        ("this run", style.BLUE, 0.14, "o"),
    ):
        chosen = [r if label == "this run" else r.dense_twin for r in whole]
        costs = [r.energy_active_j for r in chosen if r is not None and r.energy_active_j]
        ax.errorbar(
            [cost.value * 1e3 for cost in costs],
            [i + shift for i in range(len(costs))],
            xerr=_arms(costs),
            linestyle="none",
            marker=marker,
            markersize=5,
            color=colour,
            elinewidth=1.5,
            label=label,
        )
    ax.set_yticks(range(len(whole)), [report.device for report in whole])
    ax.set_ylim(len(whole) - 0.5, -0.5)
    ax.set_xlim(left=0)
    style.dress(
        ax,
        title="Dense against STTF: estimated energy above idle, 5-95%",
        x="energy per inference (mJ)",
        grid="x",
    )
    style.legend_below(ax, 2)
    return ax


def _stage_costs(report: EnergyReport) -> dict[str, Interval]:
    """Energy by stage; the shared rows, which are one per term, by their term."""
    costs = {stage: cost for stage, cost in report.by_stage.items() if stage != SHARED}
    shared = {row.term: row.amount for row in report.rows if row.stage == SHARED}
    return {name: cost for name, cost in (costs | shared).items() if cost.value > 0}


def _row_names(costs: Iterable[Mapping[str, Interval]]) -> list[str]:
    """Stages in pipeline order, then what is shared; idle last."""
    names = dict.fromkeys(name for cost in costs for name in cost)
    order = {name: i for i, name in enumerate(STAGES)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name == "idle", name))


def _bar(ax: Axes, y: float, report: EnergyReport) -> None:
    cost = report.energy_active_j
    if cost is None:
        ax.text(0, y, " not costed", va="center", fontsize=style.SMALL_PT, color=style.INK)
        return
    alone = report.front_end_only
    ax.barh(
        y,
        cost.value * 1e3,
        height=0.55,
        color="white" if alone else style.SKY,
        edgecolor=style.GREY if alone else style.SKY,
        hatch="////" if alone else None,
    )
    ax.errorbar(cost.value * 1e3, y, xerr=_arms([cost]), color=style.INK, elinewidth=1.3, capsize=3)
    ax.text(
        cost.high * 1e3,
        y,
        f"  {cost.value * 1e3:.3g}",
        va="center",
        fontsize=style.SMALL_PT,
        color=style.INK,
    )


def _arms(costs: list[Interval]) -> list[list[float]]:
    """Error bars in mJ, left and right of the value."""
    return [
        [(cost.value - cost.low) * 1e3 for cost in costs],
        [(cost.high - cost.value) * 1e3 for cost in costs],
    ]


def _check(reports: Mapping[str, EnergyReport], who: str) -> None:
    if not reports:
        raise UsageError(f"{who}: needs at least one report, got none")
