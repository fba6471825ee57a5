"""``python -m hw_models devices``: what is in the catalogue, and every constant of a device."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from hw_models import template as templates
from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.device import Device, System
from hw_models.faces.output import Failed, add_output_options, deliver
from hw_models.loader import device_names, link_names, load_device, references
from hw_models.page import Lines, Page, Part, Table
from hw_models.sourced import BASES, Sourced, sourced_items
from hw_models.units import format_constant, unit_of

FAMILIES = ("neuromorphic", "accelerator", "system")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "devices",
        help="list devices, or show every constant of some",
        epilog="example: %(prog)s jetson-orin-nano@7w",
    )
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="device, device@mode, system a+b or TOML file"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--family", choices=FAMILIES, help="list these only")
    what.add_argument(
        "--check", action="store_true", help="hold NAME to the laws that every device must keep"
    )
    what.add_argument(
        "--template",
        choices=templates.FAMILIES,
        help="write a device file to fill in to NAME, or to standard output",
    )
    add_output_options(parser, pictures=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> str | Failed:
    """Return the text to print."""
    if arguments.template:
        return _template(arguments)
    if arguments.check:
        return _check(arguments)
    if arguments.name:
        devices = {name: load_device(name) for name in arguments.name}
        parts = tuple(_part(device) for device in devices.values())
        record = {name: _record(device) | _constants(device) for name, device in devices.items()}
        page = Page(f"Constants of {', '.join(devices)}", parts)
        return deliver(page, {"devices": record}, arguments)
    devices = {name: load_device(name) for name in device_names()}
    if arguments.family:
        devices = {name: d for name, d in devices.items() if _family(d) == arguments.family}
    record = {name: _record(device) for name, device in devices.items()}
    parts = (_list(devices, systems=arguments.family == "system"),)
    return deliver(Page("Devices", parts), {"devices": record}, arguments)


def _template(arguments: argparse.Namespace) -> str:
    if not arguments.name:
        return templates.template(arguments.template).rstrip()
    paths = [templates.write_template(arguments.template, name) for name in arguments.name]
    return "\n".join(
        f"wrote {path}; fill it in, then: python -m hw_models devices --check {path}"
        for path in paths
    )


def _check(arguments: argparse.Namespace) -> str | Failed:
    from hw_models.contract import check_device, part_of, passes, record_of

    if not arguments.name:
        raise argparse.ArgumentError(None, "--check needs a NAME, for example my-device.toml")
    found = {name: check_device(name) for name in arguments.name}
    page = Page("Contract", tuple(part_of(name, findings) for name, findings in found.items()))
    record = {name: record_of(findings) for name, findings in found.items()}
    text = deliver(page, {"devices": record}, arguments)
    return text if all(map(passes, found.values())) else Failed(text)


def _family(device: Device) -> str:
    return "system" if isinstance(device, System) else device.family


def _record(device: Device) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "title": device.full_title,
        "boundary": device.boundary,
        "family": _family(device),
        "basis": _mix(device),
    }
    if isinstance(device, Accelerator):
        idle = device.modes[device.mode].idle_w
        entry |= {
            "mode": device.mode,
            "modes": list(device.modes),
            "precisions": list(device.precisions),
            "idle_w": None if idle is None else _plain(idle),
        }
    elif isinstance(device, NeuromorphicChip):
        entry["idle_w"] = _plain(device.constants.leak_w_per_chip)
    return entry


def _plain(number: Sourced) -> dict[str, float]:
    return {"value": number.value, "low": number.low, "high": number.high}


def _constants(device: Device) -> dict[str, Any]:
    constants = [
        {
            "key": key,
            **_plain(number),
            "unit": unit_of(key),
            "basis": number.basis,
            "source": number.source,
            "locator": number.locator,
            "shares": number.shares,
        }
        for key, number in _items(device)
    ]
    return {"constants": constants, "notes": list(_notes(device))}


def _items(device: Device) -> list[tuple[str, Sourced]]:
    if not isinstance(device, System):
        return list(sourced_items(device))
    parts = [part.device for part in device.parts] + list(dict.fromkeys(device.links))
    return [(f"{p.name}.{key}", number) for p in parts for key, number in sourced_items(p)]


def _notes(device: Device) -> tuple[str, ...]:
    if not isinstance(device, System):
        return device.notes
    parts = (*(part.device for part in device.parts), *device.links)
    return tuple(dict.fromkeys(note for part in parts for note in part.notes))


def _mix(device: Device) -> dict[str, int]:
    """Number of constants by basis."""
    counts = Counter(number.basis for _, number in _items(device))
    return {basis: counts[basis] for basis in BASES if counts[basis]}


def _list(devices: dict[str, Device], *, systems: bool) -> Part:
    """One row per device; modes stand in a column, and systems in a sentence unless asked for."""
    rows = tuple(
        _row(name, device)
        for name, device in devices.items()
        if "@" not in name and (systems or not isinstance(device, System))
    )
    header = ("name", "modes", "precisions", "idle", "basis of constants", "boundary")
    how = (
        "device@mode selects a power mode (* is the default)",
        "chip+processor is a system: the first runs the spiking stages, the second the rest; a "
        f"link may stand between them ({', '.join(link_names())}), else it is Ethernet",
        "a name behind the command shows all constants of that device",
    )
    return Part(f"Devices ({len(rows)})", (Table(header, rows), Lines("Names", how)))


def _row(name: str, device: Device) -> tuple[str, ...]:
    modes = precisions = idle = "-"
    if isinstance(device, Accelerator):
        modes = ", ".join(f"{mode}*" if mode == device.mode else mode for mode in device.modes)
        precisions = ", ".join(device.precisions)
        idle_w = device.modes[device.mode].idle_w
        idle = "not known" if idle_w is None else format_constant("idle_w", idle_w)
    elif isinstance(device, NeuromorphicChip):
        idle = format_constant("leak_w_per_chip", device.constants.leak_w_per_chip) + " a chip"
    mix = ", ".join(f"{count} {basis}" for basis, count in _mix(device).items())
    return name, modes, precisions, idle, mix, device.boundary


def _part(device: Device) -> Part:
    items = _items(device)
    rows = tuple(
        (
            key,
            format_constant(key, number),
            number.basis,
            f"{number.source}: {number.locator}",
            number.shares,
        )
        for key, number in items
    )
    known = references()
    sources = tuple(
        str(known.get(key, f"[{key}]")) for key in sorted({number.source for _, number in items})
    )
    header = ("constant", "value (low to high)", "basis", "source", "drawn with")
    facts = (f"name: {device.full_name}", f"family: {_family(device)}", f"scope: {device.boundary}")
    sections = (
        Lines("Device", facts),
        Lines("Notes", _notes(device)),
        Table(header, rows, "Constants"),
        Lines("Sources", sources),
    )
    return Part(device.full_title, tuple(s for s in sections if isinstance(s, Table) or s.lines))
