"""What ``neurovlm run`` prints in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hw_models import EnergyReport, Interval
from neurovlm.pipeline import RunResult

WORDS = {True: "yes", False: "no", None: "-"}
ESTIMATED = (
    "spikes, tokens and MACs are counted on this run; energy, power and latency are estimates "
    "from these counts and cited constants, not measurements"
)
NOTES_SHOWN = 2  # of each device; reports put the most consequential first


def run_table(result: RunResult, reports: Mapping[str, EnergyReport]) -> RenderableType:
    """The run, the devices and the notes, for ``rich.console.Console.print``."""
    parts: list[RenderableType] = [_run(result)]
    if reports:
        parts += [Text(), estimates(reports)]
    return Group(*parts)


def estimates(reports: Mapping[str, EnergyReport]) -> RenderableType:
    """The devices and what must be known to read their figures."""
    return Group(devices_table(reports), Text(), _remarks(reports))


def run_rows(result: RunResult) -> list[tuple[str, str]]:
    """The run in words: pairs of what and how much."""
    recording, spiking, last = result.recording, result.spiking, result.predictions[-1]
    n_active = result.active.sum(axis=1)
    executed, dense = (result.workload.total(which).macs for which in ("executed", "dense"))
    width, height = recording.sensor
    rows = [
        (
            "recording",
            f"{recording.path}: {recording.format}, {width} x {height}, "
            f"{recording.n_events:,} events in {recording.duration_s:.3f} s",
        ),
        ("windows", f"{result.n_windows} of {result.config.window_ms:g} ms"),
        (
            "front end",
            f"{result.config.backend}, {result.config.precision} precision, "
            f"{spiking.neurons:,} neurons: {spiking.spikes:,} spikes, {spiking.synops:,} synops, "
            f"{spiking.neuron_updates:,} neuron updates",
        ),
        (
            "tokens",
            f"of {result.mask.grid.n_patches} a window: {result.mask.n_changed.mean():.1f} changed"
            f", {n_active.mean():.1f} computed, {result.refreshed.sum(axis=1).mean():.1f} of them "
            f"refreshed; {int(result.dense.sum())} dense "
            f"{'step' if result.dense.sum() == 1 else 'steps'}",
        ),
        (
            "ANN",
            f"{executed / 1e6:,.1f} M MACs executed, {dense / 1e6:,.1f} M dense: "
            f"ratio {result.mac_ratio:.2f}",
        ),
        (
            "captions",
            f"{len(result.predictions)}, of which {result.n_repeated} repeated: too little had "
            "moved to decode anew",
        ),
        ("last label", f"{last.label} ({last.confidence:.0%})"),
        ("last caption", last.caption or "(empty)"),
    ]
    return rows + [("note", note) for note in recording.notes]


def device_label(report: EnergyReport) -> str:
    """Name of the device, marked where it costs a part of the pipeline only."""
    return f"{report.device} (front end only)" if report.front_end_only else report.device


def pipelines_first(reports: Mapping[str, EnergyReport]) -> list[EnergyReport]:
    """Whole pipelines, then front ends, each in the order asked for."""
    return sorted(reports.values(), key=lambda report: report.front_end_only)


def _run(result: RunResult) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in run_rows(result):
        table.add_row(Text(name), Text(value))
    return table


def devices_table(reports: Mapping[str, EnergyReport]) -> Table:
    """One row per device, whole pipelines first; needs at least one report."""
    rate_hz = next(iter(reports.values())).rate_hz
    table = Table(
        title=f"Estimated cost of one inference (one window) at {rate_hz:g} Hz, 5-95% below",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("device", no_wrap=True)
    for name in ("above idle\nmJ", "dense\nmJ", "with idle\nmJ", "power\nmW", "latency\nms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("real\ntime")
    table.add_column("fits")
    after_pipelines = False
    for report in pipelines_first(reports):
        if report.front_end_only and after_pipelines:
            table.add_section()
        after_pipelines = not report.front_end_only
        table.add_row(*_device_row(report))
    return table


def _device_row(report: EnergyReport) -> list[RenderableType]:
    twin = report.dense_twin
    dense = None if twin is None or report.front_end_only else twin.energy_active_j
    return [
        Text(device_label(report).replace("+", "+\n").replace(" (", "\n(")),
        _milli(report.energy_active_j),
        "-" if dense is None else significant(dense.value * 1e3, 3),
        _milli(report.energy_j),
        _milli(report.power_w),
        _milli(report.latency_s),
        WORDS[report.realtime],
        WORDS[report.fits],
    ]


def _milli(quantity: Interval | None) -> RenderableType:
    """A quantity in thousandths with its interval below."""
    if quantity is None:
        return "-"
    value = significant(quantity.value * 1e3, 3)
    return Text.assemble(value, "\n", (interval_text(quantity, 1e3), "dim"))


def significant(value: float, digits: int) -> str:
    """``value`` rounded to so many significant digits, never with an exponent.

    >>> significant(0.06034, 3), significant(5374.3, 3), significant(0.999, 2)
    ('0.0603', '5,370', '1.0')
    """
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = int(f"{rounded:e}".split("e")[1])
    return f"{rounded:,.{max(digits - 1 - exponent, 0)}f}"


def interval_text(quantity: Interval, factor: float) -> str:
    """Ends of the interval times ``factor``, two significant digits, three from 100 on."""
    ends = (quantity.low * factor, quantity.high * factor)
    return "-".join(significant(end, 3 if end >= 100 else 2) for end in ends)


def notes_by_device(reports: Mapping[str, EnergyReport], at_most: int) -> dict[str, list[str]]:
    """The first ``at_most`` notes of each report, each once, with the devices it is about."""
    notes: dict[str, list[str]] = {}
    for report in pipelines_first(reports):
        for note in report.notes[:at_most]:
            notes.setdefault(note, []).append(report.device)
    return notes


def coverage_gaps(report: EnergyReport) -> list[str]:
    """One line per reason why stages are left out."""
    stages: dict[str, list[str]] = {}
    for each in report.not_covered:
        stages.setdefault(each.reason, []).append(each.stage)
    return [f"leaves out {', '.join(names)}: {reason}" for reason, names in stages.items()]


def _remarks(reports: Mapping[str, EnergyReport]) -> Table:
    lines = [Text(ESTIMATED)]
    for report in pipelines_first(reports):
        lines += [_about([report.device], gap) for gap in coverage_gaps(report)]
        if report.dominant:
            names = ", ".join(f"{each.name} ({each.constant.basis})" for each in report.dominant)
            lines.append(_about([report.device], f"rests most on {names}"))
    for note, devices in notes_by_device(reports, NOTES_SHOWN).items():
        lines.append(_about(["all"] if len(devices) == len(reports) else devices, note))
    left = sum(max(len(report.notes) - NOTES_SHOWN, 0) for report in reports.values())
    if left:
        lines.append(Text(f"{left} more notes, and all sources, are in the report"))
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row("-", line)
    return table


def _about(devices: Sequence[str], text: str) -> Text:
    return Text.assemble((f"{', '.join(devices)}: ", "bold"), text)
