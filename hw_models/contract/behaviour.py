"""Laws about what comes out: estimates of small workloads on the device, mode by mode."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import TypeAdapter

from hw_models.accelerator import Accelerator
from hw_models.contract.finding import Finding
from hw_models.contract.probes import grown, networks, times
from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.estimate import estimate
from hw_models.many import estimate_many
from hw_models.ops import PRECISIONS, Precision
from hw_models.report import EnergyReport
from hw_models.uncertainty import Interval
from hw_models.workload import Workload

_SAMPLES = 40
_RELATIVE = 1e-9  # of rounding: sums in another order
_ADAPTER: TypeAdapter[Device] = TypeAdapter(Device)
_NARROW_AND_WIDE: tuple[Precision, Precision] = ("int8", "fp32")
_QUANTITIES = ("energy_active_j", "energy_j", "power_w", "latency_s")


@dataclass(frozen=True, slots=True)
class Subject:
    """A device in one mode, and a workload that every equation of it has something to cost in."""

    device: Device
    workload: Workload

    @property
    def name(self) -> str:
        """Name of the device with its mode."""
        return self.device.full_name

    def report(
        self,
        workload: Workload | None = None,
        rate_hz: float | None = None,
        seed: int = 0,
    ) -> EnergyReport:
        """Estimate the probe, or another workload."""
        return estimate(
            workload or self.workload,
            self.device,
            rate_hz=rate_hz,
            samples=_SAMPLES,
            seed=seed,
        )

    def broken(self, law: str, message: str) -> Finding:
        """Return a finding about this device as a whole."""
        return Finding(law, self.name, message)


def works(subject: Subject) -> tuple[EnergyReport | None, list[Finding]]:
    """The probe gets a finite energy and a time above 0, also at the ends of every range."""
    try:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            report = subject.report()
    except (EstimateError, FloatingPointError) as error:
        return None, [subject.broken("works", f"the probe has no estimate: {error}")]
    return report, list(_sound(subject, report))


def _sound(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    for name, quantity in _quantities(report):
        if not all(map(math.isfinite, (quantity.value, quantity.low, quantity.high))):
            yield subject.broken("works", f"{name} is not finite: {quantity}")
    if report.latency_s is None or report.latency_s.value <= 0:
        yield subject.broken("works", f"latency is not above 0: {report.latency_s}")


def every_precision(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Layers and networks get a time above 0 in every precision, or one line that refuses."""
    if not isinstance(subject.device, Accelerator):
        return
    known = frozenset(subject.device.kinds)
    named = subject.device.precisions
    works = 0
    for precision in (p for p in PRECISIONS if p in named or "any" in named):
        for name, workload in {"probe": subject.workload, **networks(known)}.items():
            try:
                many = estimate_many([workload], subject.device, deploy_as=precision)
            except EstimateError as error:
                if precision not in str(error):
                    yield subject.broken(
                        "every precision",
                        f"{name} at {precision} is refused without its name: {error}",
                    )
                continue
            works += 1
            amounts = float(many.latency_s[0]), float(many.energy_active_j[0])
            if not (math.isfinite(sum(amounts)) and amounts[0] > 0 and amounts[1] >= 0):
                yield subject.broken(
                    "every precision",
                    f"{name} at {precision} takes {amounts[0]} s and {amounts[1]} J",
                )
    if not works:
        yield subject.broken("every precision", "nothing can be estimated at any precision")


def rows_add_up(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Energies of rows and stages sum to the total, times to the latency."""
    total = report.energy_j or report.energy_active_j
    assert total is not None and report.latency_s is not None
    for what, rows, expected in (
        ("energies of rows", (row.amount for row in report.rows), total),
        ("energies of stages", report.by_stage.values(), total),
        ("times of rows", (row.amount for row in report.times), report.latency_s),
    ):
        added = sum(amount.value for amount in rows)
        if not _same(added, expected.value):
            yield subject.broken("rows add up", f"{what} sum to {added}, not {expected.value}")


def idle_alone(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """A run of nothing costs idle power and no time."""
    nothing = subject.report(replace(subject.workload, layers=(), ticks=0))
    active, latency, power, idle = (
        nothing.energy_active_j, nothing.latency_s, nothing.power_w, nothing.idle_w
    )  # fmt: skip
    if active is None or latency is None or active.high or latency.high:
        yield subject.broken("idle alone", f"a run of nothing takes {active} and {latency}")
    if power != idle:
        yield subject.broken("idle alone", f"a run of nothing draws {power}, idle is {idle}")


def linear(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Counts and energy grow in step; the same counts in twice the inferences cost half each."""
    two, three = (subject.report(times(subject.workload, n)) for n in (2, 3))
    for name in ("energy_active_j", "latency_s"):
        amounts = [getattr(each, name).value for each in (report, two, three)]
        if not _same(amounts[2] - amounts[1], amounts[1] - amounts[0], amounts[2]):
            yield subject.broken("linear", f"{name} of 1, 2 and 3 times the counts: {amounts}")
    doubled = times(subject.workload, 2)
    again = subject.report(replace(doubled, inferences=2 * doubled.inferences))
    for name, quantity in _quantities(report):
        other: Interval = getattr(again, name)
        if not _same(other.value, quantity.value):
            yield subject.broken(
                "linear",
                f"{name} per inference of twice the recording: {other.value}, not {quantity.value}",
            )


def more_costs_more(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Half as much again of one count costs no less energy and no less time."""
    larger = grown(subject.workload)
    many = estimate_many([subject.workload, *larger.values()], subject.device)
    for name, amounts in (("energy", many.energy_active_j), ("latency", many.latency_s)):
        for what, amount in zip(larger, amounts[1:].tolist(), strict=True):
            if amount < amounts[0] * (1 - _RELATIVE):
                yield subject.broken(
                    "more costs more", f"{name} falls from {amounts[0]} to {amount} with {what}"
                )


def intervals_hold(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Low <= value <= high, the same again with the seed; another seed leaves the value alone."""
    again, other = (subject.report(seed=seed) for seed in (0, 1))
    for name, quantity in _quantities(report):
        if not quantity.low <= quantity.value <= quantity.high:
            yield subject.broken("intervals hold", f"{name} is outside of its interval: {quantity}")
        if getattr(again, name) != quantity:
            yield subject.broken("intervals hold", f"{name} differs between two runs of a seed")
        if getattr(other, name).value != quantity.value:
            yield subject.broken("intervals hold", f"the value of {name} depends on the seed")


def dense_costs_more(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Where executed <= dense, the dense twin takes no less energy and no less time."""
    twin = report.dense_twin
    assert twin is not None
    for name, quantity in _quantities(report):
        dense: Interval = getattr(twin, name)
        if dense.value < quantity.value * (1 - _RELATIVE):
            yield subject.broken(
                "dense costs more",
                f"{name} of the dense twin is {dense.value}, of the run {quantity.value}",
            )


def narrow_is_not_slower(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """The probe at int8 takes no longer than at fp32, where the device has both."""
    device = subject.device
    if not isinstance(device, Accelerator) or not set(_NARROW_AND_WIDE) <= set(device.precisions):
        return
    narrow, wide = (
        float(estimate_many([subject.workload], device, deploy_as=precision).latency_s[0])
        for precision in _NARROW_AND_WIDE
    )
    if narrow > wide * (1 + _RELATIVE):
        yield subject.broken("int8 is not slower", f"int8 takes {narrow} s, fp32 {wide} s")


def definitions(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Power = idle + rate x active, energy = power / rate, at any rate."""
    if report.idle_w is None:
        if report.scope != "active" or report.energy_j or report.power_w:
            yield subject.broken("definitions", "without idle power only scope active is known")
        return
    for each in (report, subject.report(rate_hz=37.0)):
        active, power, energy, rate_hz = (
            each.energy_active_j, each.power_w, each.energy_j, each.rate_hz
        )  # fmt: skip
        assert active is not None and power is not None and energy is not None
        if active != report.energy_active_j:
            yield subject.broken("definitions", f"energy above idle changes at {rate_hz:g} Hz")
        if not _same(power.value, report.idle_w.value + rate_hz * active.value):
            yield subject.broken("definitions", f"power at {rate_hz:g} Hz is {power.value} W")
        if not _same(energy.value, power.value / rate_hz):
            yield subject.broken("definitions", f"energy at {rate_hz:g} Hz is {energy.value} J")


def survives_saving(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """Device, workload and report come back from JSON as they were, without NaN."""
    if _ADAPTER.validate_json(_ADAPTER.dump_json(subject.device)) != subject.device:
        yield subject.broken("survives saving", "the device differs once read back from JSON")
    try:
        text = json.dumps(report.to_dict(), allow_nan=False)
    except ValueError as error:
        yield subject.broken("survives saving", f"the report cannot be saved: {error}")
        return
    back = Workload.from_json(subject.workload.to_json())
    if json.dumps(subject.report(back).to_dict()) != text:
        yield subject.broken("survives saving", "the saved workload gives another report")


def says_what_it_rests_on(subject: Subject, report: EnergyReport) -> Iterator[Finding]:
    """The report names the boundary, the stages it covers and its sources."""
    if not report.boundary.strip():
        yield subject.broken("says what it rests on", "the report names no boundary")
    left = {each.stage for each in report.not_covered}
    if set(report.covers) | left != set(subject.workload.stages) or left & set(report.covers):
        yield subject.broken("says what it rests on", f"covers {report.covers}, not {left}")
    if not report.sources and report.energy_active_j != report.energy_j:
        yield subject.broken("says what it rests on", "the report names no source")


BEHAVIOUR: tuple[tuple[str, Callable[[Subject, EnergyReport], Iterator[Finding]]], ...] = (
    ("every precision", every_precision),
    ("rows add up", rows_add_up),
    ("idle alone", idle_alone),
    ("linear", linear),
    ("more costs more", more_costs_more),
    ("intervals hold", intervals_hold),
    ("dense costs more", dense_costs_more),
    ("int8 is not slower", narrow_is_not_slower),
    ("definitions", definitions),
    ("survives saving", survives_saving),
    ("says what it rests on", says_what_it_rests_on),
)


def _quantities(report: EnergyReport) -> Iterator[tuple[str, Interval]]:
    for name in _QUANTITIES:
        quantity = getattr(report, name)
        if quantity is not None:
            yield name, quantity


def _same(got: float, expected: float, scale: float = 0.0) -> bool:
    return abs(got - expected) <= _RELATIVE * max(abs(got), abs(expected), abs(scale))
