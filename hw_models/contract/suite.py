"""All laws, and the two ways to hold a device to them: a function, and a test for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.contract import numbers
from hw_models.contract.behaviour import BEHAVIOUR, Subject, works
from hw_models.contract.finding import Finding, passes
from hw_models.contract.probes import probe_of, processor_layers, spiking_layers
from hw_models.device import ANN_STAGES, Device, Link, Placed, System
from hw_models.errors import CatalogError, UnknownDeviceError
from hw_models.loader import (
    Reference,
    load_device,
    load_file,
    references,
    references_of,
)
from hw_models.ops import PRECISIONS, SPIKING_STAGES, STAGES

NUMBERS = (
    ("cited", numbers.cited),
    ("filled in", numbers.filled_in),
    ("plausible", numbers.plausible),
    ("doubted", numbers.doubted),
    ("described", numbers.described),
    ("complete", numbers.complete),
)
LAWS = (*(name for name, _ in NUMBERS), "works", *(name for name, _ in BEHAVIOUR))


def check_device(device: str | Path | Device | Link) -> tuple[Finding, ...]:
    """Hold a device to every law.

    Parameters
    ----------
    device
        A device, link or system file ending in ``.toml``, a name as for ``load_device``, or a
        loaded device. All power modes of a processor are tried, unless the name selects one.

    Returns
    -------
    tuple of Finding
        In the order of the laws; the device passes when none is an error. A file that cannot be
        loaded is one finding of law ``loads``.

    Raises
    ------
    UnknownDeviceError
        No device of that name.
    """
    try:
        loaded, known = _load(device)
    except CatalogError as error:
        return (Finding("loads", str(device), str(error).removeprefix(f"{device}: ")),)
    found = [
        replace(finding, where=f"{prefix}{finding.where}")
        for prefix, part in _parts(loaded)
        for _, law in NUMBERS
        for finding in law(part, known)
    ]
    for subject in _subjects(loaded, one_mode=isinstance(device, str) and "@" in device):
        found += _behaviour_of(subject)
    return tuple(found)


def device_test(device: str | Path | Device | Link) -> Callable[..., None]:
    """Return a test that pytest runs once per law; put it in a file of tests.

    >>> from hw_models.contract import device_test
    >>> test_my_device = device_test("my-device.toml")  # doctest: +SKIP
    """
    import pytest  # only who tests needs it

    found = cache(lambda: check_device(device))

    @pytest.mark.parametrize("law", ("loads", *LAWS))
    def test(law: str) -> None:
        broken = [each for each in found() if each.law == law]
        assert passes(broken), "\n".join(map(str, broken))

    return test


def _load(
    device: str | Path | Device | Link,
) -> tuple[Device | Link, Mapping[str, Reference]]:
    if not isinstance(device, str | Path):
        return device, references()
    known = references_of(device)
    path = Path(device)
    if path.suffix != ".toml" or not path.is_file():
        return load_device(device), known
    try:
        return load_device(path), known
    except UnknownDeviceError:  # a link is no device by itself
        return load_file(path), known


def _parts(device: Device | Link) -> Iterator[tuple[str, Any]]:
    """Yield what holds numbers, with the prefix that tells parts of a system apart."""
    if isinstance(device, System):
        for part in device.parts:
            yield f"{part.device.name}.", part.device
        for link in dict.fromkeys(device.links):
            yield f"{link.name}.", link
    else:
        yield "", device


def _subjects(device: Device | Link, *, one_mode: bool) -> Iterator[Subject]:
    """Yield what runs the probe: every mode of a processor; a link between two devices."""
    if isinstance(device, Link):
        chip, processor = load_device("loihi1"), load_device("jetson-nano")
        assert isinstance(chip, NeuromorphicChip) and isinstance(processor, Accelerator)
        device = System((Placed(chip, SPIKING_STAGES), Placed(processor, ANN_STAGES)), (device,))
    if isinstance(device, NeuromorphicChip):
        yield Subject(device, probe_of(spiking_layers()))
        return
    parts = device.parts if isinstance(device, System) else (Placed(device, STAGES),)
    kinds = [frozenset(p.device.kinds) for p in parts if isinstance(p.device, Accelerator)]
    layers = processor_layers(frozenset.intersection(*kinds)) if kinds else ()
    workload = probe_of((*spiking_layers(), *layers))
    if isinstance(device, System):
        yield Subject(device, workload)
        return
    for mode in (device.mode,) if one_mode else device.modes:
        rates = device.modes[mode].mac_per_s
        usual = device.deploy_as in rates or "any" in rates
        other = next((precision for precision in PRECISIONS if precision in rates), None)
        asked = workload if usual else replace(workload, deploy_as=other)
        yield Subject(replace(device, mode=mode), asked)


def _behaviour_of(subject: Subject) -> list[Finding]:
    """Return what the behaviour breaks; a device without an estimate is asked nothing more."""
    report, found = works(subject)
    if report is not None and passes(found):
        found += [finding for _, law in BEHAVIOUR for finding in law(subject, report)]
    return found
