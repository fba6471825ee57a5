"""Command line: ``python -m hw_models estimate run.json --device loihi2``.

Exit codes: 0 done, 2 wrong usage (unknown device included), 3 bad file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from hw_models.accelerator import Accelerator
from hw_models.device import System
from hw_models.errors import CatalogError, EstimateError, UnknownDeviceError, WorkloadError
from hw_models.estimate import estimate
from hw_models.loader import device_names, load_device
from hw_models.ops import PRECISIONS
from hw_models.workload import Workload

_USAGE, _BAD_FILE = 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        text = arguments.run(arguments)
    except (UnknownDeviceError, EstimateError) as error:
        return _fail(error, _USAGE)
    except (WorkloadError, CatalogError) as error:
        return _fail(error, _BAD_FILE)
    print(text)
    return 0


def _fail(error: Exception, code: int) -> int:
    print(f"hw_models: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hw_models", description="Energy, latency and power from operation counts."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "estimate",
        help="estimate a workload file on devices",
        epilog="example: python -m hw_models estimate run.json --device loihi2+jetson-orin-nano",
    )
    one.add_argument("file", help="workload JSON")
    one.add_argument("--device", action="append", required=True, help="device name; repeatable")
    one.add_argument("--rate", type=float, metavar="HZ", help="inferences per second")
    one.add_argument("--deploy-precision", choices=PRECISIONS, help="precision of the ANN")
    one.add_argument("--samples", type=int, default=1000, help="of the Monte Carlo")
    one.add_argument("--seed", type=int, default=0, help="of the Monte Carlo")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one.set_defaults(run=_estimate)
    two = commands.add_parser("devices", help="list known devices, modes and systems")
    two.add_argument("--json", action="store_true", help="print one JSON object")
    two.set_defaults(run=_devices)
    return parser


def _estimate(arguments: argparse.Namespace) -> str:
    devices = {name: load_device(name) for name in arguments.device}
    workload = Workload.load(arguments.file)
    reports = {
        name: estimate(
            workload,
            device,
            rate_hz=arguments.rate,
            deploy_as=arguments.deploy_precision,
            samples=arguments.samples,
            seed=arguments.seed,
        )
        for name, device in devices.items()
    }
    if not arguments.json:
        return "\n".join(report.to_markdown() for report in reports.values())
    return json.dumps(
        {
            "schema_version": 1,
            "workload": workload.name,
            "workload_hash": workload.hash(),
            "inferences": workload.inferences,
            "devices": {name: report.to_dict() for name, report in reports.items()},
        },
        indent=2,
    )


def _devices(arguments: argparse.Namespace) -> str:
    described = {name: _describe(name) for name in device_names()}
    if arguments.json:
        return json.dumps({"schema_version": 1, "devices": described}, indent=2)
    width = max(map(len, described))
    return "\n".join(f"{name:<{width}}  {entry['title']}" for name, entry in described.items())


def _describe(name: str) -> dict[str, Any]:
    device = load_device(name)
    entry: dict[str, Any] = {
        "title": device.full_title,
        "boundary": device.boundary,
        "family": "system" if isinstance(device, System) else device.family,
    }
    if isinstance(device, Accelerator):
        entry |= {"mode": device.mode, "precisions": list(device.precisions)}
    return entry


if __name__ == "__main__":
    sys.exit(main())
