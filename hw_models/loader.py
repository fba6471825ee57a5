"""Device files: TOML -> validated devices, by name, mode and system."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.device import ANN_STAGES, Device, Link, Placed, System
from hw_models.errors import CatalogError, UnknownDeviceError, first_error
from hw_models.ops import SPIKING_STAGES
from hw_models.sourced import sourced_items

_ADAPTERS: Mapping[str, TypeAdapter[NeuromorphicChip | Accelerator | Link]] = {
    "neuromorphic": TypeAdapter(NeuromorphicChip),
    "accelerator": TypeAdapter(Accelerator),
    "link": TypeAdapter(Link),
}
DEFAULT_LINK = "ethernet"
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of the bibliography."""

    key: str
    author: str
    title: str
    year: str
    note: str = ""

    def __str__(self) -> str:
        note = f" {self.note}." if self.note else ""
        return f"[{self.key}] {self.author} ({self.year}). {self.title}.{note}"


def load_references(path: Path) -> dict[str, Reference]:
    """Read a BibTeX file of flat entries with brace-delimited fields.

    Raises
    ------
    CatalogError
        An entry lacks author, title or year.
    """
    references = {}
    text = path.read_text(encoding="utf-8")
    for entry in re.finditer(r"@\w+\{(\w+),(.*?)\n\}", text, flags=re.DOTALL):
        key, body = entry.groups()
        found = dict(re.findall(r"(\w+)\s*=\s*\{(.*)\}", body))
        missing = [name for name in ("author", "title", "year") if name not in found]
        if missing:
            raise CatalogError(f"{path.name}: {key}: field {missing[0]} is missing")
        known = {name: found.get(name, "") for name in ("author", "title", "year", "note")}
        references[key] = Reference(key, **known)
    return references


def load_file(path: str | Path) -> NeuromorphicChip | Accelerator | Link:
    """Read and validate one device file.

    A ``references.bib`` beside the file adds to the package's own.

    Raises
    ------
    CatalogError
        The file cannot be read, is not TOML, or breaks a rule; names file, key, expectation.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CatalogError(f"{path}: cannot read the device file: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path}: not TOML: {error}") from error
    family = data.get("family")
    if not isinstance(family, str) or family not in _ADAPTERS:
        raise CatalogError(
            f"{path}: family: expected one of {', '.join(_ADAPTERS)}, got {family!r}"
        )
    try:
        device = _ADAPTERS[family].validate_python(data)
    except ValidationError as error:
        raise CatalogError(first_error(error, str(path))) from error
    known = dict(references())
    beside = path.parent / "references.bib"
    if beside.is_file():
        known |= load_references(beside)
    for key, number in sourced_items(device):
        if number.source not in known:
            raise CatalogError(
                f"{path}: {key}.source: expected a key of references.bib, got {number.source!r}"
            )
    return device


@cache
def references() -> Mapping[str, Reference]:
    """Return the package's bibliography by key."""
    return load_references(_PACKAGE / "references.bib")


@cache
def _catalog() -> Mapping[str, NeuromorphicChip | Accelerator | Link]:
    files = sorted((_PACKAGE / "catalog").glob("*.toml"))
    devices = [load_file(path) for path in files]
    for path, device in zip(files, devices, strict=True):
        if device.name != path.stem:
            raise CatalogError(f"{path}: name: expected {path.stem!r}, got {device.name!r}")
    return {device.name: device for device in devices}


def device_names() -> tuple[str, ...]:
    """Return the names of all devices, their modes, and the systems of two of them."""
    chips, accelerators = [], []
    for name, device in _catalog().items():
        if isinstance(device, Accelerator):
            accelerators.append(name)
            if len(device.modes) > 1:
                accelerators += [f"{name}@{mode}" for mode in device.modes]
        elif isinstance(device, NeuromorphicChip):
            chips.append(name)
    systems = [f"{chip}+{name}" for chip in chips for name in accelerators]
    return (*chips, *accelerators, *systems)


def load_device(name: str | Path) -> Device:
    """Find a device by name, or read one from a file ending in ``.toml``.

    Names are ``jetson-orin-nano``, with a power mode ``jetson-orin-nano@15w``, or a system
    ``loihi2+jetson-orin-nano``: the first runs the spiking stages, the second the rest.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system; lists what is known.
    CatalogError
        A device file breaks a rule.
    """
    if str(name).endswith(".toml"):
        device = load_file(name)
        if isinstance(device, Link):
            raise UnknownDeviceError(f"{name}: a link is not a device by itself")
        return device
    parts = str(name).split("+")
    if len(parts) == 1:
        return _load_part(parts[0])
    if len(parts) == 2:
        chip, accelerator = _load_part(parts[0]), _load_part(parts[1])
        if isinstance(chip, NeuromorphicChip) and isinstance(accelerator, Accelerator):
            link = _catalog()[DEFAULT_LINK]
            if not isinstance(link, Link):
                raise CatalogError(f"catalog: {DEFAULT_LINK} is not a link")
            placed = (Placed(chip, SPIKING_STAGES), Placed(accelerator, ANN_STAGES))
            return System(placed, (link,))
    raise UnknownDeviceError(
        f"system {name!r}: expected a neuromorphic chip, '+', a processor, "
        f"for example loihi2+jetson-orin-nano"
    )


def _load_part(name: str) -> NeuromorphicChip | Accelerator:
    base, at, mode = name.partition("@")
    devices = {key: device for key, device in _catalog().items() if not isinstance(device, Link)}
    if base not in devices:
        raise UnknownDeviceError(
            f"unknown device {base!r}{_suggestion(base, devices)}; known: {', '.join(devices)}"
        )
    device = devices[base]
    if not at:
        return device
    modes = device.modes if isinstance(device, Accelerator) else {}
    if not isinstance(device, Accelerator) or mode not in modes:
        known = ", ".join(modes) if modes else "none"
        raise UnknownDeviceError(
            f"device {base!r} has no power mode {mode!r}{_suggestion(mode, modes)}; known: {known}"
        )
    return replace(device, mode=mode)


def _suggestion(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
