"""``neurovlm power``, and the commands of ``hw_models`` under this name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

# help of what hw_models answers; its own parser reads their options
_FACES = {
    "devices": "List devices, or show every constant of some.",
    "compare": "Put devices side by side for one workload.",
    "map": "Map spiking layers to the cores of a neuromorphic chip.",
    "break-even": "Say at which rate or activity two devices change places.",
    "validate": "Predict published measurements and score the predictions.",
}

Device = Annotated[
    list[str] | None,
    typer.Option("--device", help="Device, device@mode or system a+b; repeat for several."),
]
Rate = Annotated[
    float | None, typer.Option("--rate", help="Inferences per second; default 1000 / window-ms.")
]
Deploy = Annotated[
    str | None,
    typer.Option(
        "--deploy-precision",
        help="Precision the ANN is costed at: fp32, fp16, bf16, int8, w8a16, w4, q4k.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, help="Seed of device intervals and of simulated events; default 0."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``power`` and the faces of ``hw_models``."""
    app.command(
        epilog="Example: neurovlm power out/hand/workload.json --device loihi2+jetson-nano"
    )(power)
    for name, text in _FACES.items():
        app.command(
            name,
            help=text,
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_face)


def _face(context: typer.Context) -> None:
    from hw_models.__main__ import main

    raise typer.Exit(main([str(context.info_name), *context.args], prog="neurovlm"))


def power(
    workload: Annotated[
        Path, typer.Argument(help="workload.json of a run, or one written by hand.")
    ],
    device: Device = None,
    rate: Rate = None,
    deploy_precision: Deploy = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Estimate energy, power and latency of counted work on each device."""
    from hw_models import Workload, estimate
    from neurovlm.pipeline.config import DEFAULT_DEVICES
    from neurovlm.report.table import estimates

    counted = Workload.load(workload)
    precision: Any = deploy_precision  # estimate() refuses what it does not know
    reports = {
        name: estimate(counted, name, rate_hz=rate, deploy_as=precision, seed=seed or 0)
        for name in device or DEFAULT_DEVICES
    }
    if not as_json:
        Console().print(estimates(reports))
        return
    record = {
        "schema_version": 1,
        "workload_hash": counted.hash(),
        "devices": {name: report.to_dict() for name, report in reports.items()},
    }
    typer.echo(json.dumps(record, allow_nan=False))
