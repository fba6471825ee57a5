"""Reports side by side, provided they say the same thing about the same stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw_models.errors import ComparisonError
from hw_models.page import Lines, Part, Table, to_html_fragment, to_markdown
from hw_models.report import EnergyReport
from hw_models.units import format_quantity

_COLUMNS = (
    ("energy above idle", "energy_active_j", "J"),
    ("energy of the device", "energy_j", "J"),
    ("power", "power_w", "W"),
    ("latency", "latency_s", "s"),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparable reports, in the order given."""

    reports: tuple[EnergyReport, ...]

    def table(self) -> Table:
        """Return the devices as rows of text."""
        rows = tuple(
            (
                report.device,
                *(format_quantity(getattr(report, name), unit) for _, name, unit in _COLUMNS),
                "yes" if report.realtime else "no",
            )
            for report in self.reports
        )
        return Table(("device", *(label for label, _, _ in _COLUMNS), "keeps up"), rows)

    def part(self) -> Part:
        """Return what faces show: the table, then what each device includes and warns of."""
        first = self.reports[0]
        title = f"{first.workload_name} at {first.rate_hz:g} Hz, per inference, 5-95%"
        boundaries = tuple(f"{report.device}: {report.boundary}" for report in self.reports)
        notes: dict[str, list[str]] = {}
        for report in self.reports:
            for note in report.notes:
                notes.setdefault(note, []).append(report.device)
        everywhere = len(self.reports)
        said = tuple(
            note if len(devices) == everywhere else f"{', '.join(devices)}: {note}"
            for note, devices in notes.items()
        )
        lines = (Lines("Device scope", boundaries), Lines("Notes", said))
        return Part(title, (self.table(), *(each for each in lines if each.lines)))

    def to_dict(self) -> dict[str, Any]:
        """Return the reports by device name, as plain values."""
        return {report.device: report.to_dict() for report in self.reports}

    def to_markdown(self) -> str:
        """Return the comparison as Markdown."""
        return to_markdown([self.part()])

    def _repr_html_(self) -> str:
        return to_html_fragment([self.part()])


def compare(reports: Sequence[EnergyReport]) -> Comparison:
    """Put reports side by side.

    Raises
    ------
    ComparisonError
        Fewer than two reports, or they differ in coverage (a front end against a pipeline), in
        scope (one lacks idle power) or in rate.
    """
    if len(reports) < 2:
        raise ComparisonError(f"compare needs at least 2 reports, got {len(reports)}")
    first = reports[0]
    for other in reports[1:]:
        for what, mine, theirs in (
            ("coverage", first.covers, other.covers),
            ("scope", first.scope, other.scope),
            ("rate_hz", first.rate_hz, other.rate_hz),
        ):
            if mine != theirs:
                raise ComparisonError(
                    f"cannot compare {first.device} and {other.device}: {what} differs, "
                    f"{_words(mine)} and {_words(theirs)}"
                )
    return Comparison(tuple(reports))


def _words(value: object) -> str:
    return "+".join(value) or "nothing" if isinstance(value, tuple) else str(value)
