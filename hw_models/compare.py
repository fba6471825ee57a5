"""Reports side by side, provided they say the same thing about the same stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw_models.errors import ComparisonError
from hw_models.page import Lines, Part, Table, to_html_fragment, to_markdown
from hw_models.report import EnergyReport
from hw_models.uncertainty import Interval, intervals_of
from hw_models.units import format_quantity, format_ratio

_COLUMNS = (
    ("energy above idle", "energy_active_j", "J"),
    ("energy of the device", "energy_j", "J"),
    ("power", "power_w", "W"),
    ("latency", "latency_s", "s"),
)


_RATIOS = ("energy_active_j", "energy_j", "latency_s")


@dataclass(frozen=True, slots=True)
class Ratios:
    """Figures of a device over those of the first; below 1 the device needs less.

    Draw by draw: constants that both have, such as those of one board in two modes, cancel.
    ``None`` where a figure is unknown or the first needs nothing.
    """

    device: str
    first: str
    energy_active: Interval | None
    energy: Interval | None
    latency: Interval | None


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

    def ratios(self) -> tuple[Ratios, ...]:
        """Return each further device over the first, with the 5-95% interval over paired draws.

        Raises
        ------
        ComparisonError
            The reports were made with other samples or another seed, so draws do not pair.
        """
        first, *others = self.reports
        for other in others:
            mine, theirs = (first.samples, first.seed), (other.samples, other.seed)
            if mine != theirs:
                raise ComparisonError(
                    f"cannot divide {other.device} by {first.device} draw by draw: samples and "
                    f"seed differ, {mine} and {theirs}; estimate both with the same"
                )
        return tuple(
            Ratios(other.device, first.device, *(_ratio(other, first, name) for name in _RATIOS))
            for other in others
        )

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
        return Part(title, (self.table(), *self._ratio_table(), *(e for e in lines if e.lines)))

    def _ratio_table(self) -> Iterator[Table]:
        """Yield the ratios as a table, where the reports pair."""
        if len({(report.samples, report.seed) for report in self.reports}) == 1:
            yield Table(
                ("device", "energy above idle", "energy of the device", "latency"),
                tuple(
                    (
                        each.device,
                        *map(format_ratio, (each.energy_active, each.energy, each.latency)),
                    )
                    for each in self.ratios()
                ),
                title=f"Over {self.reports[0].device}, draw by draw",
            )

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
        for what, mine, theirs, cure in (
            ("coverage", first.covers, other.covers, "complete the one to a system, as a+b"),
            ("scope", first.scope, other.scope, "compare energy_active_j, or give idle_w to both"),
            ("rate_hz", first.rate_hz, other.rate_hz, "estimate both at one rate_hz"),
        ):
            if mine != theirs:
                raise ComparisonError(
                    f"cannot compare {first.device} and {other.device}: {what} differs, "
                    f"{_words(mine)} and {_words(theirs)}; {cure}"
                )
    return Comparison(tuple(reports))


def _ratio(report: EnergyReport, first: EnergyReport, name: str) -> Interval | None:
    above, below = getattr(report, name), getattr(first, name)
    if above is None or below is None or not (below.value > 0 and first.draws[name].all()):
        return None
    draws = report.draws[name] / first.draws[name]
    (ratio,) = intervals_of(np.array([above.value / below.value]), draws[np.newaxis])
    return ratio


def _words(value: object) -> str:
    return "+".join(value) or "nothing" if isinstance(value, tuple) else str(value)
