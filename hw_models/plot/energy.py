"""Energy per inference, stages stacked, devices below each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from hw_models.cost import SHARED
from hw_models.errors import ComparisonError
from hw_models.ops import STAGES
from hw_models.plot import style
from hw_models.report import EnergyReport
from hw_models.uncertainty import Interval
from hw_models.units import format_quantity

_SHARED_GREYS = ("#8C8C8C", "#A6A6A6", "#BFBFBF", "#737373")
_HATCHES = ("////", "\\\\\\\\", "....", "xxxx")


def energy_by_stage(
    reports: Sequence[EnergyReport], ax: Axes | None = None, *, with_idle: bool = False
) -> Axes:
    """Stack the energy of each stage, one bar per device, with the 5-95% interval of the sum.

    What belongs to no stage (link, dispatch, overheads of a chip, and last idle) is grey. Front
    ends alone stand below a line: they leave stages out and must not be ranked against whole
    pipelines.

    Parameters
    ----------
    reports
        At least one, all at one rate.
    ax
        Axes to draw on; ``None`` makes a figure.
    with_idle
        Whether idle power is added, spread over the inferences.

    Raises
    ------
    ComparisonError
        No report is given, their rates differ, or idle is asked for and unknown.
    """
    _check(reports, with_idle)
    ordered = sorted(reports, key=lambda report: report.front_end_only)
    n_whole = sum(not report.front_end_only for report in reports)
    gap = 0.35 if 0 < n_whole < len(reports) else 0.0
    places = [i + gap * report.front_end_only for i, report in enumerate(ordered)]
    totals = [report.energy_j if with_idle else report.energy_active_j for report in ordered]
    stacks = [_segments(report, with_idle) for report in ordered]
    factor, prefix = style.scale_of(max((t.high for t in totals if t), default=0.0))
    ax = style.axes_or_new(ax, 1.75 + 0.55 * (len(reports) + gap))
    colours = _colours(stacks)
    for place, stack in zip(places, stacks, strict=True):
        left = 0.0
        for name, joules in stack.items():
            colour, hatch = colours[name]
            width = joules * factor
            ax.barh(
                place,
                width,
                0.58,
                left,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.7,
            )
            left += width
    for place, report, total in zip(places, ordered, totals, strict=True):
        _total(ax, place, report, total, factor)
    if gap:
        ax.axhline(n_whole - 0.5 + gap / 2, color=style.GREY, linewidth=0.8, linestyle="dotted")
    names = [f"{r.device}\nfront end only" if r.front_end_only else r.device for r in ordered]
    ax.set_yticks(places, names)
    ax.set_ylim(places[-1] + 0.55, -0.55)
    ax.set_xlim(0, 1.32 * factor * max((t.high for t in totals if t), default=1.0) or 1.0)
    what = ", idle included" if with_idle else " above idle"
    style.dress(
        ax,
        title=f"Estimated energy{what}, 5-95%: {_workloads(reports)} at {reports[0].rate_hz:g} Hz",
        x=f"energy per inference{what} ({prefix}J)",
        grid="x",
    )
    for name, (colour, hatch) in colours.items():
        ax.barh([0], [0], color=colour, hatch=hatch, edgecolor="white", label=name)
    if colours:
        style.legend_below(ax, min(len(colours), 5))
    return ax


def _check(reports: Sequence[EnergyReport], with_idle: bool) -> None:
    if not reports:
        raise ComparisonError("energy_by_stage needs at least 1 report, got none")
    rates = {report.rate_hz for report in reports}
    if len(rates) > 1:
        raise ComparisonError(
            f"energy_by_stage: reports at different rates ({', '.join(map(str, sorted(rates)))} "
            f"Hz) do not go into one picture; estimate them at one rate_hz"
        )
    unknown = [report.device for report in reports if report.scope == "active"]
    if with_idle and unknown:
        raise ComparisonError(
            f"energy_by_stage: the idle power of {unknown[0]} is unknown; leave idle out"
        )


def _segments(report: EnergyReport, with_idle: bool) -> dict[str, float]:
    """Energy [J] of each stage in pipeline order, then of what is shared by its term, idle last."""
    found = {stage: q.value for stage, q in report.by_stage.items() if stage != SHARED}
    stages = {stage: found[stage] for stage in STAGES if stage in found}
    shared = {row.term: row.amount.value for row in report.rows if row.stage == SHARED}
    idle = shared.pop("idle", 0.0)
    joined = stages | shared | ({"idle": idle} if with_idle else {})
    return {name: joules for name, joules in joined.items() if joules > 0}


def _colours(stacks: Sequence[dict[str, float]]) -> dict[str, tuple[str, str | None]]:
    """Colour and hatch by name, in the order in which segments stand."""
    names = dict.fromkeys(name for stack in stacks for name in stack)
    shared = [name for name in names if name not in STAGES and name != "idle"]
    colours: dict[str, tuple[str, str | None]] = {
        stage: (style.STAGES[stage], None) for stage in STAGES if stage in names
    }
    for i, name in enumerate(shared):
        colours[name] = (_SHARED_GREYS[i % len(_SHARED_GREYS)], _HATCHES[i % len(_HATCHES)])
    if "idle" in names:
        colours["idle"] = (style.PALE, None)
    return colours


def _total(
    ax: Axes, place: float, report: EnergyReport, total: Interval | None, factor: float
) -> None:
    small = {"va": "center", "fontsize": style.SMALL_PT, "color": style.INK}
    if total is None:
        ax.text(0, place, "  nothing costed: see what is not covered", **small)  # type: ignore[arg-type]
        return
    value, low, high = (factor * each for each in (total.value, total.low, total.high))
    ax.errorbar(
        value,
        place,
        xerr=[[value - low], [high - value]],
        color=style.INK,
        elinewidth=1.3,
        capsize=3.5,
        capthick=1.3,
    )
    text = format_quantity(total, "J")
    ax.text(high, place, f"  {text.split(' (')[0]}", **small)  # type: ignore[arg-type]


def _workloads(reports: Sequence[EnergyReport]) -> str:
    return ", ".join(dict.fromkeys(report.workload_name for report in reports))
