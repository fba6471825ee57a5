"""The answer: totals with intervals, rows that sum to them, what they cover and rest on."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hw_models.sourced import Sourced
from hw_models.uncertainty import Interval
from hw_models.units import format_quantity


@dataclass(frozen=True, slots=True)
class Row:
    """Energy [J] or time [s] of one term of one layer, per inference.

    Stage ``device`` holds what belongs to no stage: idle, link, dispatch, chip overheads.
    """

    stage: str
    layer: str
    term: str
    amount: Interval


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A stage that the figures leave out, and why."""

    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dominant:
    """A constant that widens the interval: energy above idle [J] at the ends of its range."""

    name: str
    constant: Sourced
    energy_active_low_j: float
    energy_active_high_j: float


@dataclass(frozen=True, slots=True)
class EnergyReport:
    """What a workload costs on a device; all quantities per inference (one window step).

    Parameters
    ----------
    device, title
        Name asked for; readable name.
    workload_name, workload_hash
        What was costed.
    scope
        ``device`` when idle power is known, else ``active`` (only ``energy_active_j`` is given).
    boundary
        What the device scope includes.
    covers, not_covered
        Stages in the figures and stages left out.
    rate_hz
        Inferences per second that power is stated for.
    deploy_as
        Precision the ANN is costed at; ``None`` where no ANN is costed.
    idle_w
        Power while nothing runs, leakage included.
    energy_active_j
        Energy above idle of one inference.
    power_w
        ``idle_w + rate_hz * energy_active_j``.
    energy_j
        ``power_w / rate_hz``.
    latency_s
        Processing time of one inference.
    realtime
        ``rate_hz * latency_s <= 1``, at nominal values.
    fits
        Whether the spiking network fits the chip; ``None`` where no chip limits it.
    rows
        Energy by stage, layer and term; they sum to ``energy_j`` (without the row ``idle``,
        which scope ``active`` does not have, to ``energy_active_j``).
    times
        Time by stage, layer and term; they sum to ``latency_s``.
    by_stage
        Energy by stage.
    dense_twin
        The same estimate on the dense counts, without gather and scatter, which a dense pass does
        not need. ``None`` in a twin.
    notes
        What a reader must know.
    dominant
        The three constants that move ``energy_active_j`` most over their ranges.
    basis, sources
        What the constants in play rest on.
    samples, seed
        Of the Monte Carlo.

    Quantities are ``None`` where nothing was costed.
    """

    device: str
    title: str
    workload_name: str
    workload_hash: str
    scope: Literal["device", "active"]
    boundary: str
    covers: tuple[str, ...]
    not_covered: tuple[NotCovered, ...]
    rate_hz: float
    deploy_as: str | None
    idle_w: Interval | None
    energy_active_j: Interval | None
    energy_j: Interval | None
    power_w: Interval | None
    latency_s: Interval | None
    realtime: bool | None
    fits: bool | None
    rows: tuple[Row, ...]
    times: tuple[Row, ...]
    by_stage: Mapping[str, Interval]
    dense_twin: EnergyReport | None
    notes: tuple[str, ...]
    dominant: tuple[Dominant, ...]
    basis: tuple[str, ...]
    sources: tuple[str, ...]
    samples: int
    seed: int

    @property
    def front_end_only(self) -> bool:
        """Whether stages of the workload are left out: never rank this against a pipeline."""
        return bool(self.not_covered)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, energies in mJ, power in mW, latency in ms."""
        return {
            "covers": list(self.covers),
            "not_covered": [
                {"stage": each.stage, "reason": each.reason} for each in self.not_covered
            ],
            "scope": self.scope,
            "boundary": self.boundary,
            "energy_active_mj": _milli(self.energy_active_j),
            "energy_mj": _milli(self.energy_j),
            "power_mw": _milli(self.power_w),
            "latency_ms": _milli(self.latency_s),
            "realtime": self.realtime,
            "fits": self.fits,
            "dense_twin": None if self.dense_twin is None else self.dense_twin.to_dict(),
            "notes": list(self.notes),
            "dominant": [
                {
                    "constant": each.name,
                    "energy_active_mj": {
                        "low": each.energy_active_low_j * 1e3,
                        "high": each.energy_active_high_j * 1e3,
                    },
                    "basis": each.constant.basis,
                    "source": f"{each.constant.source}: {each.constant.locator}",
                }
                for each in self.dominant
            ],
            "basis": list(self.basis),
            "sources": list(self.sources),
        }

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        parts = [f"## {self.heading}", "", *_markdown_table(self.summary())]
        if self.by_stage:
            stages = [["stage", "energy per inference"]]
            stages += [[stage, format_quantity(j, "J")] for stage, j in self.by_stage.items()]
            parts += ["", *_markdown_table(stages)]
        for title, lines in self.remarks():
            parts += ["", f"{title}:", "", *(f"- {line}" for line in lines)]
        return "\n".join(parts) + "\n"

    def __repr__(self) -> str:
        energy = format_quantity(self.energy_active_j, "J")
        return f"EnergyReport({self.heading}: {energy} above idle per inference)"

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(self.heading)}</h4>", _html_table(self.summary())]
        for title, lines in self.remarks():
            items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
            parts.append(f"<p>{html.escape(title)}</p><ul>{items}</ul>")
        return "\n".join(parts)

    @property
    def heading(self) -> str:
        """Workload, device, and whether only the front end is covered."""
        only = " (front end only)" if self.front_end_only else ""
        return f"{self.workload_name} on {self.title}{only}"

    def summary(self) -> list[list[str]]:
        """Return the table of totals as text, header first, the dense twin beside the run."""
        twin = self.dense_twin
        table = [["per inference", "this run", *(["dense twin"] if twin else [])]]
        for label, name, unit in (
            ("energy above idle", "energy_active_j", "J"),
            ("energy of the device", "energy_j", "J"),
            (f"power at {self.rate_hz:g} Hz", "power_w", "W"),
            ("latency", "latency_s", "s"),
        ):
            reports = [self, *([twin] if twin else [])]
            table.append([label, *(format_quantity(getattr(r, name), unit) for r in reports)])
        answers = [self.realtime, *([twin.realtime] if twin else [])]
        words = {True: "yes", False: "no", None: "-"}
        table.append(["keeps up", *(words[answer] for answer in answers)])
        return table

    def remarks(self) -> list[tuple[str, list[str]]]:
        """Return titled lists of text: boundary and coverage, notes, constants, sources."""
        coverage = [f"device scope: {self.boundary}", f"covers: {', '.join(self.covers) or '-'}"]
        coverage += [f"not covered: {each.stage}: {each.reason}" for each in self.not_covered]
        constants = [
            f"{each.name}: alone moves energy above idle from "
            f"{format_quantity(_point(each.energy_active_low_j), 'J').split(' (')[0]} to "
            f"{format_quantity(_point(each.energy_active_high_j), 'J').split(' (')[0]} "
            f"({each.constant.basis}; {each.constant.source}, {each.constant.locator})"
            for each in self.dominant
        ]
        sections = [
            ("Coverage", coverage),
            ("Notes", list(self.notes)),
            ("Constants that dominate the interval", constants),
            (f"Sources ({', '.join(self.basis)})", list(self.sources)),
        ]
        return [(title, lines) for title, lines in sections if lines]


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _milli(quantity: Interval | None) -> dict[str, float] | None:
    return None if quantity is None else quantity.scaled(1e3)


def _markdown_table(table: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in table]
    return [lines[0], f"|{'---|' * len(table[0])}", *lines[1:]]


def _html_table(table: Sequence[Sequence[str]]) -> str:
    rows = []
    for index, row in enumerate(table):
        tag = "td" if index else "th"
        rows.append("".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
