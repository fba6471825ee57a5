"""``python -m hw_models estimate``: one workload on one or more devices."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from hw_models.duty import DutyCycle, duty_cycle
from hw_models.estimate import estimate
from hw_models.faces import pictures
from hw_models.faces.duty import duty_record, duty_sections
from hw_models.faces.options import add_run_options, add_workload_options, workload_of
from hw_models.faces.output import add_output_options, deliver
from hw_models.loader import load_device
from hw_models.page import Page, Part, Section, Table
from hw_models.report import EnergyReport, Row
from hw_models.units import format_quantity
from hw_models.workload import Workload


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "estimate",
        help="estimate a workload on devices",
        epilog="example: %(prog)s run.json --device loihi2+jetson-orin-nano",
    )
    add_workload_options(parser)
    parser.add_argument(
        "--device", action="append", required=True, help="name or TOML file; repeatable"
    )
    add_run_options(parser)
    parser.add_argument(
        "--latency-ms", type=float, metavar="MS", help="a measured latency; energies follow it"
    )
    parser.add_argument(
        "--battery-wh", type=float, metavar="WH", help="also say how long such a battery lasts"
    )
    parser.add_argument(
        "--sleep",
        action="store_true",
        help="let devices sleep between inferences where cheaper",
    )
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print."""
    names = dict.fromkeys(arguments.device)
    for name in names:
        load_device(name)  # an unknown device is said before a bad workload
    workload = workload_of(arguments)
    options = {
        "rate_hz": arguments.rate,
        "deploy_as": arguments.deploy_precision,
        "latency_s": None if arguments.latency_ms is None else arguments.latency_ms * 1e-3,
    }
    draws = {"samples": arguments.samples, "seed": arguments.seed}
    reports = [estimate(workload, name, **options, **draws) for name in names]
    record = record_of(workload, reports)
    parts = [] if len(reports) == 1 else [_overview(workload, reports)]
    for report in reports:
        extra: tuple[Section, ...] = tuple(pictures.stages(reports) if not parts else ())
        duty = _duty(workload, report, arguments)
        if duty:
            extra = (*duty_sections(duty, arguments.battery_wh), *extra)
            record["devices"][report.device]["duty_cycle"] = duty_record(duty, arguments.battery_wh)
        parts.append(_part(workload, report, options, extra))
    return deliver(Page(f"What {workload.name} costs", tuple(parts)), record, arguments)


def _duty(
    workload: Workload, report: EnergyReport, arguments: argparse.Namespace
) -> DutyCycle | None:
    if arguments.battery_wh is None and not arguments.sleep:
        return None
    if arguments.latency_ms is not None:
        raise argparse.ArgumentError(
            None, "--latency-ms goes with neither --battery-wh nor --sleep"
        )
    return duty_cycle(
        workload,
        report.device,
        rate_hz=arguments.rate,
        sleep=arguments.sleep,
        deploy_as=arguments.deploy_precision,
        samples=arguments.samples,
        seed=arguments.seed,
    )


def record_of(workload: Workload, reports: Sequence[EnergyReport]) -> dict[str, Any]:
    """Return what ``--json`` prints: energies in mJ, powers in mW, times in ms."""
    return {
        "workload": workload.name,
        "workload_hash": workload.hash(),
        "inferences": workload.inferences,
        "devices": {report.device: _detailed(report) for report in reports},
    }


def _detailed(report: EnergyReport) -> dict[str, Any]:
    def rows(of: Sequence[Row], name: str) -> list[dict[str, Any]]:
        return [
            {"stage": r.stage, "layer": r.layer, "term": r.term, name: r.amount.scaled(1e3)}
            for r in of
        ]

    return {
        **report.to_dict(),
        "rate_hz": report.rate_hz,
        "deploy_as": report.deploy_as,
        "idle_mw": None if report.idle_w is None else report.idle_w.scaled(1e3),
        "by_stage_mj": {stage: cost.scaled(1e3) for stage, cost in report.by_stage.items()},
        "rows": rows(report.rows, "energy_mj"),
        "times": rows(report.times, "time_ms"),
        "samples": report.samples,
        "seed": report.seed,
    }


def _overview(workload: Workload, reports: Sequence[EnergyReport]) -> Part:
    """All devices in one table, whole pipelines first; front ends are marked."""
    words = {True: "yes", False: "no", None: "-"}
    rows = tuple(
        (
            f"{report.device} (front end only)" if report.front_end_only else report.device,
            format_quantity(report.energy_active_j, "J"),
            format_quantity(report.energy_j, "J"),
            format_quantity(report.power_w, "W"),
            format_quantity(report.latency_s, "s"),
            words[report.realtime],
            words[report.fits],
        )
        for report in sorted(reports, key=lambda report: report.front_end_only)
    )
    header = ("device", "above idle", "with idle", "power", "latency", "keeps up", "fits")
    title = f"{workload.name} at {reports[0].rate_hz:g} Hz, per inference, 5-95%"
    return Part(title, (Table(header, rows), *pictures.stages(reports)))


def _part(
    workload: Workload, report: EnergyReport, options: dict[str, Any], extra: Sequence[Section]
) -> Part:
    """The report, with ``extra`` behind its totals, pictures behind its tables, every row last."""
    part = report.part()
    drawn = [
        *pictures.tornado(workload, report, options),
        *pictures.roofline(workload, report, options),
    ]
    first, *tables = (section for section in part.sections if isinstance(section, Table))
    remarks = [section for section in part.sections if not isinstance(section, Table)]
    rows = [_rows("Energy", report.rows, "J"), _rows("Time", report.times, "s")]
    rows = [each for each in rows if each.rows]
    return Part(part.title, (first, *extra, *tables, *drawn, *remarks, *rows))


def _rows(what: str, rows: Sequence[Row], unit: str) -> Table:
    texts = tuple((r.stage, r.layer, r.term, format_quantity(r.amount, unit)) for r in rows)
    header = ("stage", "layer", "term", f"{what.lower()} per inference")
    return Table(header, texts, f"{what}, row by row", (3,), folded=True)
