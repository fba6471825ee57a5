"""Laws about the numbers of a device file, one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.contract.finding import Finding
from hw_models.contract.windows import Window, window_of
from hw_models.device import Link
from hw_models.loader import Reference
from hw_models.ops import MAC_KINDS
from hw_models.sourced import Sourced, sourced_items

Part = NeuromorphicChip | Accelerator | Link

PLACEHOLDER = "placeholder"  # how the locator of a number begins that a template put there
_ASSUMPTION = "assumption"  # the entry of the bibliography for what has no source
_PEAK_W = 2000.0
_PREFIXES = {1e-15: "f", 1e-12: "p", 1e-9: "n", 1e-6: "u", 1e-3: "m", 1e3: "k", 1e6: "M"} | {
    1e9: "G",
    1e12: "T",
}


def cited(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """Every number names an entry of the bibliography, which says where to find it."""
    unfindable = {}
    for key, number in sourced_items(part):
        if number.source not in references:
            yield Finding(
                "cited",
                f"{key}.source",
                f"{number.source!r} is in no references.bib; add an entry to the one beside the "
                f"device file",
            )
        elif number.basis != "assumed" and not references[number.source].locator:
            unfindable[number.source] = key
        if number.source == _ASSUMPTION and number.basis in ("measured", "simulated"):
            yield Finding(
                "cited",
                f"{key}.basis",
                f"says {number.basis}, but its source is an assumption: name who {number.basis} it",
            )
    for source, key in unfindable.items():
        yield Finding(
            "cited",
            f"{key}.source",
            f"references.bib: {source} has no url, doi or note, so nobody can look the number up; "
            f"add one",
            "warning",
        )


def filled_in(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """No number is the placeholder of a template."""
    del references
    for key, number in sourced_items(part):
        if number.locator.lower().startswith(PLACEHOLDER):
            yield Finding(
                "filled in",
                key,
                "placeholder: results rest on a guess of the template; put a number with its "
                "source here, the constants that a tornado lists first",
                "warning",
            )


def plausible(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """Every number and both ends of its range lie where the quantity can lie at all."""
    del references
    for key, number in sourced_items(part):
        window = window_of(key, part.family)
        outside = [end for end in (number.low, number.value, number.high) if not _in(end, window)]
        if outside:
            yield Finding("plausible", key, _out_of(window, outside[0]))
    if isinstance(part, Accelerator):
        yield from _peak_power(part)


def doubted(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """What is assumed has a range; a range that spans four orders of magnitude says nothing."""
    del references
    for key, number in sourced_items(part):
        sampled = not key.startswith("limits.") and not key.endswith("_chips")  # counts are exact
        certain = sampled and number.low == number.high not in (0.0, 1.0)
        if certain and number.basis == "assumed":
            yield Finding(
                "doubted",
                key,
                "is assumed and has no range: give low and high, else the interval claims to "
                "know it",
                "warning",
            )
        elif number.low > 0 and number.high > 1e4 * number.low:
            message = f"spans a factor of {number.high / number.low:.2g} from low to high"
            yield Finding("doubted", key, f"{message}: no result can follow from it", "warning")


def described(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """A name that systems and modes can be written with, a title, and a boundary in words."""
    del references
    names = [("name", part.name)]
    if isinstance(part, Accelerator):
        names += [("modes", mode) for mode in part.modes]
    for key, name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            yield Finding(
                "described",
                key,
                f"expected small letters, digits, '-', '.' and '_' ('+' and '@' join names), got "
                f"{name!r}",
            )
    if not part.title.strip():
        yield Finding("described", "title", "is empty: say what a reader would call the device")
    if not isinstance(part, Link) and len(part.boundary.split()) < 3:
        yield Finding(
            "described",
            "boundary",
            f"say in words what idle power and energy include (chip, module, wall) and what they "
            f"leave out, got {part.boundary!r}",
        )


def complete(part: Part, references: Mapping[str, Reference]) -> Iterator[Finding]:
    """A processor knows every kind of layer with MACs, and its usual precision in every mode."""
    del references
    if not isinstance(part, Accelerator):
        return
    missing = [str(kind) for kind in MAC_KINDS if kind not in part.kinds]
    if missing:
        yield Finding(
            "complete",
            "kinds",
            f"no constants for {', '.join(missing)}: workloads with such layers are refused",
            "warning",
        )
    for name, mode in part.modes.items():
        known = sorted(mode.mac_per_s)
        if part.deploy_as not in known and "any" not in known:
            yield Finding(
                "complete",
                f"modes.{name}.mac_per_s",
                f"has no {part.deploy_as}, the precision of deploy_as: give it, or ask for one of "
                f"{', '.join(known)} each time",
                "warning",
            )


def _in(end: float, window: Window) -> bool:
    return (end == 0 and window.zero) or window.low <= end <= window.high


def _out_of(window: Window, got: float) -> str:
    """Say what was expected and, where a prefix explains the value, which."""
    expected = f"expected {window.low:g} to {window.high:g} in SI units ({window.why})"
    middle = (window.low * window.high) ** 0.5
    fitting = [scale for scale in _PREFIXES if got > 0 and _in(got * scale, window)]
    hint = ""
    if fitting:
        scale = min(fitting, key=lambda each: abs(math.log(got * each / middle)))
        hint = f"; if that is in {_PREFIXES[scale]}-units, write {got * scale:g}"
    return f"{expected}, got {got:g}{hint}"


def _peak_power(part: Accelerator) -> Iterator[Finding]:
    """Arithmetic and memory at their peaks together draw what a machine can draw."""
    for name, mode in part.modes.items():
        for precision, rate in mode.mac_per_s.items():
            energy: Sourced | None = part.mac_j.get(precision) or part.mac_j.get("any")
            if energy is None:
                continue
            power = rate.value * energy.value + mode.active_w.value
            if power > _PEAK_W:
                yield Finding(
                    "plausible",
                    f"modes.{name}.mac_per_s.{precision}",
                    f"at its peak, mac_per_s x mac_j + active_w is {power:.3g} W, more than "
                    f"{_PEAK_W:g} W: one of them is off by orders of magnitude",
                )
