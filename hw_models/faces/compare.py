"""``python -m hw_models compare``: one workload on several devices, side by side."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from hw_models.compare import compare
from hw_models.estimate import estimate
from hw_models.faces import pictures
from hw_models.faces.estimate import record_of
from hw_models.faces.options import add_run_options, add_workload_options, workload_of
from hw_models.faces.output import add_output_options, deliver
from hw_models.loader import load_device
from hw_models.page import Page, Part, Table


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="put devices side by side; unlike scopes or coverage are refused",
        epilog="example: %(prog)s run.json --device jetson-orin-nano "
        "--device loihi2+jetson-orin-nano",
    )
    add_workload_options(parser)
    parser.add_argument(
        "--device", action="append", required=True, help="name or TOML file; at least two"
    )
    add_run_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str:
    """Return the text to print."""
    names = dict.fromkeys(arguments.device)
    for name in names:
        load_device(name)
    workload = workload_of(arguments)
    reports = [
        estimate(
            workload,
            name,
            rate_hz=arguments.rate,
            deploy_as=arguments.deploy_precision,
            samples=arguments.samples,
            seed=arguments.seed,
        )
        for name in names
    ]
    comparison = compare(reports)
    part = comparison.part()
    tables = [section for section in part.sections if isinstance(section, Table)]
    rest = [section for section in part.sections if not isinstance(section, Table)]
    shown = Part(part.title, (*tables, *pictures.stages(reports), *rest))
    page = Page(f"{workload.name}: {' against '.join(names)}", (shown,))
    ratios = [asdict(each) for each in comparison.ratios()]
    return deliver(page, record_of(workload, reports) | {"ratios": ratios}, arguments)
