"""The answer: totals with intervals, rows that sum to them, what they cover and rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hw_models.ops import STAGES
from hw_models.page import Lines, Part, Table, to_html_fragment, to_markdown
from hw_models.sourced import Sourced
from hw_models.uncertainty import Columns, Interval
from hw_models.units import format_number, format_quantity

_WORDS = {True: "yes", False: "no", None: "-"}
_LAYERS_SHOWN = 8


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
        Whether spiking layers fit their chips and parameters the memory of their processor;
        ``None`` where neither is known.
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
    draws
        The samples behind ``energy_active_j``, ``energy_j`` and ``latency_s``, by name, shape
        (samples,): reports with the same seed can be divided draw by draw.

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
    draws: Mapping[str, Columns] = field(default_factory=dict, repr=False, compare=False)

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
        return to_markdown([self.part()])

    def __repr__(self) -> str:
        energy = format_quantity(self.energy_active_j, "J")
        return f"EnergyReport({self.heading}: {energy} above idle per inference)"

    def _repr_html_(self) -> str:
        return to_html_fragment([self.part()])

    @property
    def heading(self) -> str:
        """Workload, device, and whether only the front end is covered."""
        only = " (front end only)" if self.front_end_only else ""
        return f"{self.workload_name} on {self.title}{only}"

    def part(self) -> Part:
        """Return what faces show of the report, as tables and lists of text."""
        sections = [self.summary(), self.stages(), self.layers(), *self.remarks()]
        return Part(self.heading, tuple(section for section in sections if section))

    def summary(self) -> Table:
        """Return the table of totals, the dense twin beside the run."""
        reports = [self, *([self.dense_twin] if self.dense_twin else [])]
        rows = [
            (label, *(format_quantity(getattr(report, name), unit) for report in reports))
            for label, name, unit in (
                ("energy above idle", "energy_active_j", "J"),
                ("energy of the device", "energy_j", "J"),
                (f"power at {self.rate_hz:g} Hz", "power_w", "W"),
                ("latency", "latency_s", "s"),
            )
        ]
        rows.append(("keeps up", *(_WORDS[report.realtime] for report in reports)))
        if self.fits is not None:
            rows.append(("fits", *(_WORDS[report.fits] for report in reports)))
        header = ("per inference", "this run", "dense twin")
        return Table(header[: 1 + len(reports)], tuple(rows))

    def stages(self) -> Table | None:
        """Return energy by stage, then what belongs to no stage by its term; ``None`` if none."""
        costs = {stage: self.by_stage[stage] for stage in STAGES if stage in self.by_stage}
        shared = [row for row in self.rows if row.stage not in costs]
        costs |= {f"{row.stage}: {row.term}": row.amount for row in shared}
        if not costs:
            return None
        total = sum(cost.value for cost in costs.values())
        rows = tuple(
            (name, format_quantity(cost, "J"), _share(cost.value, total))
            for name, cost in costs.items()
        )
        return Table(("stage", "energy per inference", "share"), rows, numbers=(2,))

    def layers(self, at_most: int = _LAYERS_SHOWN) -> Table | None:
        """Return the layers that take most energy above idle, nominal values; ``None`` if none."""
        energies, times = _by_layer(self.rows), _by_layer(self.times)
        ordered = sorted(energies, key=lambda key: -energies[key])
        if not ordered:
            return None
        active_j, latency_s = self.energy_active_j, self.latency_s
        assert active_j is not None and latency_s is not None
        rows = tuple(
            (
                "/".join(key),
                format_number(energies[key], "J"),
                _share(energies[key], active_j.value),
                format_number(times[key], "s") if key in times else "-",
                _share(times[key], latency_s.value) if key in times else "-",
            )
            for key in ordered[:at_most]
        )
        header = ("layer", "energy above idle", "share", "time", "share of latency")
        title = "Layers that take most energy"
        if len(ordered) > at_most:
            title += f", {at_most} of {len(ordered)}"
        return Table(header, rows, title, numbers=(1, 2, 3, 4))

    def remarks(self) -> tuple[Lines, ...]:
        """Return lists of text: boundary and coverage, notes, constants, sources."""
        coverage = [f"device scope: {self.boundary}", f"covers: {', '.join(self.covers) or '-'}"]
        coverage += [f"not covered: {each.stage}: {each.reason}" for each in self.not_covered]
        constants = [
            f"{each.name}: alone moves energy above idle from "
            f"{format_number(each.energy_active_low_j, 'J')} to "
            f"{format_number(each.energy_active_high_j, 'J')} "
            f"({each.constant.basis}; {each.constant.source}, {each.constant.locator})"
            for each in self.dominant
        ]
        sections = [
            Lines("Coverage", tuple(coverage)),
            Lines("Notes", self.notes),
            Lines("Constants that dominate the interval", tuple(constants)),
            Lines(f"Sources ({', '.join(self.basis)})", self.sources),
        ]
        return tuple(section for section in sections if section.lines)


def _by_layer(rows: tuple[Row, ...]) -> dict[tuple[str, str], float]:
    """Nominal amounts of layers, summed over terms."""
    amounts: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.stage in STAGES:
            key = row.stage, row.layer
            amounts[key] = amounts.get(key, 0.0) + row.amount.value
    return amounts


def _share(value: float, total: float) -> str:
    if not total:
        return "-"
    share = f"{value / total:.0%}"
    return "<1%" if share == "0%" and value else share


def _milli(quantity: Interval | None) -> dict[str, float] | None:
    return None if quantity is None else quantity.scaled(1e3)
