"""Reports side by side, provided they say the same thing about the same stages."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw_models.errors import ComparisonError
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

    def table(self) -> list[list[str]]:
        """Return the comparison as text, header first."""
        rows = [["device", *(label for label, _, _ in _COLUMNS), "keeps up"]]
        for report in self.reports:
            cells = [format_quantity(getattr(report, name), unit) for _, name, unit in _COLUMNS]
            rows.append([report.device, *cells, "yes" if report.realtime else "no"])
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the reports by device name, as plain values."""
        return {report.device: report.to_dict() for report in self.reports}

    def to_markdown(self) -> str:
        """Return the comparison as a Markdown table, with the boundary of each device below."""
        head, *rows = self.table()
        lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", *(f"- {report.device}: {report.boundary}" for report in self.reports)]
        return "\n".join(lines) + "\n"

    def _repr_html_(self) -> str:
        head, *rows = self.table()
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        titles = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        return f"<table><tr>{titles}</tr>{body}</table>"


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
