"""What a law says about a device that breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hw_models.page import Lines, Part, Table

Severity = Literal["error", "warning"]
_KEYS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a device, or that its owner should know.

    Parameters
    ----------
    law
        Name of the law, one of ``hw_models.contract.LAWS``, or ``loads``.
    where
        Dotted key in the device file, or the name of the device in the mode that was tried.
    message
        What is wrong, what was got, what to do.
    severity
        A device passes when it has no ``error``.
    """

    law: str
    where: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.severity}: {self.law}: {self.where}: {self.message}"

    def to_dict(self) -> dict[str, str]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def passes(findings: Sequence[Finding]) -> bool:
    """Return whether no finding is an error."""
    return not any(finding.severity == "error" for finding in findings)


def record_of(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return verdict and findings as plain values."""
    return {"passes": passes(findings), "findings": [each.to_dict() for each in findings]}


def part_of(device: str, findings: Sequence[Finding]) -> Part:
    """Return verdict and findings as tables and text for the faces.

    Findings of one law that say the same of several keys share a row.
    """
    errors = sum(finding.severity == "error" for finding in findings)
    verdict = "passes" if not errors else "does not pass"
    warnings = len(findings) - errors
    lines = Lines("Verdict", (f"{device} {verdict}: {errors} errors, {warnings} warnings",))
    if not findings:
        return Part(f"Contract of {device}", (lines,))
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for each in sorted(findings, key=lambda finding: finding.severity):
        grouped.setdefault((each.severity, each.law, each.message), []).append(each.where)
    rows = tuple(
        (severity, law, _some(keys), message) for (severity, law, message), keys in grouped.items()
    )
    return Part(f"Contract of {device}", (lines, Table(("", "law", "where", "what"), rows)))


def _some(keys: Sequence[str]) -> str:
    more = len(keys) - _KEYS_SHOWN
    return ", ".join(keys[:_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
