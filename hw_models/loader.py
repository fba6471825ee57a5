"""Device files: TOML -> validated devices, by name, mode and system.

Names: ``loihi2``, ``jetson-orin-nano``, with a power mode ``jetson-orin-nano@15w``, or a system of
devices with ``+`` between them, ``loihi2+usb+jetson-orin-nano``. A link may be named between two
devices, else it is Ethernet. Of a system, a neuromorphic chip comes first and runs the spiking
stages; of two processors the last runs the decoder and the other the rest. A file ending in
``.toml`` may stand for a device. Any other placement is a system file::

    family = "system"
    name = "split"
    title = "Encoder on a Jetson, decoder on a phone"
    links = ["usb"]
    [[parts]]
    device = "jetson-orin-nano@15w"
    stages = ["frontend", "change", "router", "encoder", "memory", "fusion"]
    [[parts]]
    device = "snapdragon-8-gen-3"
    stages = ["decoder"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hw_models.accelerator import Accelerator, KindConstants, PowerMode, SpikingKernel
from hw_models.chip import ChipConstants, ChipLimits, NeuromorphicChip
from hw_models.device import ANN_STAGES, DEFAULT_LINK, Device, Link, Placed, System
from hw_models.errors import CatalogError, UnknownDeviceError, first_error, suggestion
from hw_models.ops import SPIKING_STAGES, STAGES
from hw_models.sourced import STRICT_KEYS, Sourced, sourced_items

_ADAPTERS: Mapping[str, TypeAdapter[NeuromorphicChip | Accelerator | Link]] = {
    "neuromorphic": TypeAdapter(NeuromorphicChip),
    "accelerator": TypeAdapter(Accelerator),
    "link": TypeAdapter(Link),
}
_PACKAGE = Path(__file__).parent
# name = {value}, with braces inside it up to two deep; name = "value"; name = 2026
_FIELD = re.compile(
    r"(\w+)\s*=\s*(?:\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}|\"([^\"]*)\"|(\d+))"
)
_NO_BRACES = str.maketrans("", "", "{}")
_LAST_STAGE = "decoder"  # what the last of two processors runs


@dataclass(frozen=True, slots=True)
class _PartOfFile:
    device: str
    stages: tuple[str, ...]

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class _SystemFile:
    family: Literal["system"]
    name: str
    title: str
    parts: tuple[_PartOfFile, ...]
    links: tuple[str, ...]

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


_SYSTEM_ADAPTER = TypeAdapter(_SystemFile)
_RECORDS = (
    *(NeuromorphicChip, ChipLimits, ChipConstants),
    *(Accelerator, PowerMode, KindConstants, SpikingKernel),
    *(Link, _SystemFile, _PartOfFile, Sourced),
)
_KEYS = frozenset(field.name for record in _RECORDS for field in fields(record))


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of the bibliography."""

    key: str
    author: str
    title: str
    year: str
    url: str = ""
    doi: str = ""
    note: str = ""

    @property
    def locator(self) -> str:
        """Where to find it: doi, address and note, as far as given."""
        doi = f"doi {self.doi}" if self.doi else ""
        return "; ".join(each for each in (self.note, doi, self.url) if each)

    def __str__(self) -> str:
        locator = f" {self.locator}." if self.locator else ""
        return f"[{self.key}] {self.author} ({self.year}). {self.title}.{locator}"


def load_references(path: Path) -> dict[str, Reference]:
    """Read a BibTeX file; fields may stand in braces, in quotes or, as numbers, bare.

    Raises
    ------
    CatalogError
        The file cannot be read, or an entry lacks author, title or year or appears twice.
    """
    found: dict[str, Reference] = {}
    _, *entries = re.split(r"^[ \t]*@(?=\w+\s*\{)", _text(path, "bibliography"), flags=re.MULTILINE)
    for entry in entries:
        key, _, body = entry.partition("{")[2].partition(",")
        key = key.strip()
        given = {
            name.lower(): " ".join((braced or quoted or bare).translate(_NO_BRACES).split())
            for name, braced, quoted, bare in _FIELD.findall(body)
        }
        missing = [name for name in ("author", "title", "year") if not given.get(name)]
        if missing:
            raise CatalogError(f"{path.name}: {key}: field {missing[0]} is missing")
        if key in found:
            raise CatalogError(f"{path.name}: {key}: appears twice; rename one")
        known = {field.name: given.get(field.name, "") for field in fields(Reference)}
        found[key] = Reference(**{**known, "key": key})
    return found


def load_file(path: str | Path) -> NeuromorphicChip | Accelerator | Link:
    """Read and validate one device file.

    A ``references.bib`` beside the file adds to the package's own.

    Raises
    ------
    CatalogError
        The file cannot be read, is not TOML, or breaks a rule; names file, key, expectation.
    """
    path = Path(path)
    return _validated(path, _read(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path, "device file"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path}: not TOML: {error}") from error


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise CatalogError(f"{path}: cannot read the {what}: {reason}") from error


def _validated(path: Path, data: Mapping[str, Any]) -> NeuromorphicChip | Accelerator | Link:
    family = data.get("family")
    if not isinstance(family, str) or family not in _ADAPTERS:
        raise CatalogError(
            f"{path}: family: expected one of {', '.join(_ADAPTERS)}, or system where a whole "
            f"device is wanted, got {family!r}"
        )
    try:
        device = _ADAPTERS[family].validate_python(data)
    except ValidationError as error:
        raise CatalogError(first_error(error, str(path), _KEYS)) from error
    known = references_of(path)
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


def references_of(device: object) -> Mapping[str, Reference]:
    """Return the package's bibliography and, for a device file, the one beside it."""
    beside = Path(str(device)).parent / "references.bib"
    if not str(device).endswith(".toml") or not beside.is_file():
        return references()
    return {**references(), **load_references(beside)}


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


def link_names() -> tuple[str, ...]:
    """Return the names of the links that a system can be joined by."""
    return tuple(name for name, device in _catalog().items() if isinstance(device, Link))


def load_device(name: str | Path) -> Device:
    """Find a device or system by name, or read one from a file ending in ``.toml``.

    Raises
    ------
    UnknownDeviceError
        No such device, mode, link or system; lists what is known.
    CatalogError
        A device file breaks a rule.
    """
    text = str(name)
    if text.endswith(".toml") and ("+" not in text or Path(text).is_file()):
        path = Path(text)
        data = _read(path)
        return _system(path, data) if data.get("family") == "system" else _a_device(path, data)
    return _named_system(text) if "+" in text else _load_part(text)


def _a_device(path: Path, data: Mapping[str, Any]) -> NeuromorphicChip | Accelerator:
    device = _validated(path, data)
    if isinstance(device, Link):
        raise UnknownDeviceError(f"{path}: a link is not a device by itself")
    return device


def _named_system(name: str) -> System:
    """Read ``device[+link]+device``; a link stands between two devices, at most one."""
    parts: list[NeuromorphicChip | Accelerator] = []
    links: list[Link] = []
    for word in name.split("+"):
        if word in link_names():
            if len(links) >= len(parts):
                raise UnknownDeviceError(
                    f"system {name!r}: link {word!r} must stand between two devices"
                )
            links.append(_load_link(word))
        else:
            if parts and len(links) < len(parts):
                links.append(_load_link(DEFAULT_LINK))
            parts.append(_load_part(word))
    if len(links) >= len(parts):
        raise UnknownDeviceError(f"system {name!r}: a device must follow the last link")
    stages = _stages_of(name, parts)
    placed = tuple(Placed(*each) for each in zip(parts, stages, strict=True))
    return System(placed, tuple(links))


def _stages_of(
    name: str, parts: Sequence[NeuromorphicChip | Accelerator]
) -> tuple[tuple[str, ...], ...]:
    """Return what runs where in a system that is only named."""
    processors = [part for part in parts if isinstance(part, Accelerator)]
    chips = len(parts) - len(processors)
    in_order = chips == 0 or (chips == 1 and not isinstance(parts[0], Accelerator))
    if not in_order or len(processors) not in (1, 2):
        raise UnknownDeviceError(
            f"system {name!r}: expected a neuromorphic chip, '+', a processor, or two processors "
            f"(the last runs the {_LAST_STAGE}), for example loihi2+usb+jetson-orin-nano; any "
            f"other placement is a file of family system"
        )
    spiking = (SPIKING_STAGES,) if chips else ()
    rest = ANN_STAGES if chips else STAGES
    if len(processors) == 1:
        return (*spiking, rest)
    return (*spiking, tuple(stage for stage in rest if stage != _LAST_STAGE), (_LAST_STAGE,))


def _system(path: Path, data: Mapping[str, Any]) -> System:
    """Read a system file; device and link files it names are looked for beside it."""
    try:
        file = _SYSTEM_ADAPTER.validate_python(data)
    except ValidationError as error:
        raise CatalogError(first_error(error, str(path), _KEYS)) from error
    key = ""
    try:
        placed = []
        for index, part in enumerate(file.parts):
            key = f"parts[{index}].device: "
            placed.append(Placed(_load_part(part.device, path.parent), part.stages))
        links = []
        for index, name in enumerate(file.links):
            key = f"links[{index}]: "
            links.append(_load_link(name, path.parent))
        key = ""
        return System(tuple(placed), tuple(links), file.name, file.title)
    except (UnknownDeviceError, CatalogError) as error:
        raise CatalogError(f"{path}: {key}{error}") from error


def _load_link(name: str, beside: Path = Path()) -> Link:
    link = load_file(beside / name) if name.endswith(".toml") else _catalog().get(name)
    if not isinstance(link, Link):
        raise UnknownDeviceError(
            f"unknown link {name!r}{suggestion(name, link_names())}; "
            f"known: {', '.join(link_names())}"
        )
    return link


def _load_part(name: str, beside: Path = Path()) -> NeuromorphicChip | Accelerator:
    if name.endswith(".toml"):
        path = beside / name
        return _a_device(path, _read(path))
    base, at, mode = name.partition("@")
    devices = {key: device for key, device in _catalog().items() if not isinstance(device, Link)}
    if base not in devices:
        if base in _catalog():
            raise UnknownDeviceError(
                f"unknown device {base!r}: it is a link, to stand between two devices as in "
                f"loihi2+{base}+jetson-orin-nano"
            )
        close = suggestion(base, _catalog())
        raise UnknownDeviceError(f"unknown device {base!r}{close}; known: {', '.join(devices)}")
    device = devices[base]
    if not at:
        return device
    modes = device.modes if isinstance(device, Accelerator) else {}
    if not isinstance(device, Accelerator) or mode not in modes:
        known = ", ".join(modes) if modes else "none"
        raise UnknownDeviceError(
            f"device {base!r} has no power mode {mode!r}{suggestion(mode, modes)}; known: {known}"
        )
    return replace(device, mode=mode)
