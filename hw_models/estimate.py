"""Workload x device -> report: counts times costs, in the open.

Definitions. One inference is one window step; counts are means over the recording, its first
dense step included. With energy above idle E_active and idle power P_idle,

    power = P_idle + rate * E_active        energy = power / rate

so leakage and idle are counted once, in P_idle. Another rate than one inference per window
replays the same counts per inference. ``rate * latency > 1`` is reported, never clipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw_models import neuromorphic, roofline
from hw_models.cost import SHARED, Cost, Line
from hw_models.device import BASES, Accelerator, Device, Sourced
from hw_models.errors import EstimateError
from hw_models.loader import load_device, references
from hw_models.notes import Situation, notes_on
from hw_models.ops import LayerOps, OpKind, Ops, Precision
from hw_models.plan import AcceleratorPart, ChipPart, LinkPart, Plan, make_plan
from hw_models.report import Dominant, EnergyReport, Row
from hw_models.uncertainty import Columns, Constants, Interval
from hw_models.workload import Workload

_SPARSE_ONLY = (OpKind.GATHER, OpKind.SCATTER)  # what a dense pass does not do at all
_N_DOMINANT = 3


@dataclass(frozen=True, slots=True)
class _Table:
    """Lines with their amounts stacked, shape (n_lines, n_columns)."""

    lines: tuple[Line, ...]
    amounts: Columns

    @classmethod
    def of(cls, lines: Sequence[Line], c: Constants) -> _Table:
        stacked = np.stack([line.amount for line in lines]) if lines else np.empty((0, c.n_columns))
        return cls(tuple(lines), stacked)

    def total(self) -> Columns:
        result: Columns = self.amounts.sum(axis=0)
        return result

    def rows(self, c: Constants) -> tuple[Row, ...]:
        """Summarise each line that is not zero throughout."""
        kept = np.flatnonzero(self.amounts.any(axis=1))
        intervals = c.intervals(self.amounts[kept])
        lines = (self.lines[index] for index in kept)
        return tuple(
            Row(line.stage, line.layer, line.term, interval)
            for line, interval in zip(lines, intervals, strict=True)
        )

    def by_stage(self, c: Constants) -> dict[str, Interval]:
        stages = np.array([line.stage for line in self.lines])
        names = dict.fromkeys(stages.tolist())
        return {name: c.interval(self.amounts[stages == name].sum(axis=0)) for name in names}


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """Energies and times of all parts for one set of counts, in columns."""

    energies: tuple[Line, ...]
    times: _Table
    active_j: Columns
    latency_s: Columns
    launch_share: float


def estimate(
    workload: Workload,
    device: str | Path | Device,
    *,
    rate_hz: float | None = None,
    deploy_as: Precision | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> EnergyReport:
    """Estimate energy, power and latency of a workload on a device.

    Parameters
    ----------
    workload
        What a run did.
    device
        A name (``loihi2``, ``jetson-orin-nano@15w``, ``loihi2+jetson-orin-nano``), a device file
        ending in ``.toml``, or a loaded device.
    rate_hz
        Inferences per second; defaults to one per window.
    deploy_as
        Precision to cost the ANN at; defaults to the workload's, then to the device's.
    samples, seed
        Of the Monte Carlo over the constants' ranges.

    Returns
    -------
    EnergyReport
        With 5-95% intervals and the dense twin.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        The rate is not positive, or the device lacks the precision.
    """
    target = load_device(device) if isinstance(device, str | Path) else device
    name = str(device) if isinstance(device, str | Path) else target.full_name
    rate = 1000 / workload.window_ms if rate_hz is None else float(rate_hz)
    if not (math.isfinite(rate) and rate > 0):
        raise EstimateError(f"rate_hz must be positive and finite, got {rate_hz}")
    plan = make_plan(workload, target, deploy_as, samples, seed)
    run, dense = _evaluate(plan, dense=False), _evaluate(plan, dense=True)
    summarise = _Summary(plan, target, name, rate, samples, seed, workload.hash())
    twin = summarise(dense, None, ())
    return summarise(run, twin, _notes(plan, run, dense, rate))


def _evaluate(plan: Plan, *, dense: bool) -> _Evaluation:
    """Add up chip, link and processor for one set of counts."""
    costs = []
    launch_share = 0.0
    if plan.chip is not None:
        costs.append(_chip_cost(plan, plan.chip, dense))
    if plan.chip is not None and plan.link is not None:
        costs.append(_link_cost(plan, plan.link, plan.chip, dense))
    if plan.accelerator is not None:
        cost = _accelerator_cost(plan, plan.accelerator, dense)
        costs.append(cost)
        own_s = sum(float(line.amount[0]) for line in cost.times)
        launch_s = sum(float(t.amount[0]) for t in cost.times if t.term in roofline.OVERHEADS)
        launch_share = launch_s / own_s if own_s else 0.0
    energies = tuple(line for cost in costs for line in cost.energies)
    times = _Table.of([line for cost in costs for line in cost.times], plan.constants)
    return _Evaluation(
        energies=energies,
        times=times,
        active_j=_Table.of(energies, plan.constants).total(),
        latency_s=times.total(),
        launch_share=launch_share,
    )


def _chip_cost(plan: Plan, part: ChipPart, dense: bool) -> Cost:
    inferences = plan.workload.inferences
    active = neuromorphic.activities(part.layers, part.mapping, inferences, dense=dense)
    ticks = plan.workload.ticks / inferences
    return neuromorphic.chip_cost(active, ticks, part.mapping.n_chips, part.c)


def _link_cost(plan: Plan, part: LinkPart, chip: ChipPart, dense: bool) -> Cost:
    """Carry the spikes of the last spiking layer over: bytes at a rate, after a latency."""
    if not chip.layers:
        return Cost((), ())
    last = chip.layers[-1]
    spikes = (last.dense if dense else last.executed).spikes / plan.workload.inferences
    n_bytes = spikes * part.c["bytes_per_spike"]
    energy = Line(SHARED, "", "link", n_bytes * part.c["energy_j_per_byte"])
    latency = Line(SHARED, "", "link latency", part.c["latency_s"])
    transfer = Line(SHARED, "", "link", n_bytes / part.c["byte_per_s"])
    return Cost((energy,), (latency, transfer))


def _accelerator_cost(plan: Plan, part: AcceleratorPart, dense: bool) -> Cost:
    inferences = plan.workload.inferences
    work = []
    for layer in part.layers:
        if dense and layer.kind in _SPARSE_ONLY:
            continue
        ops = _counts(layer, part.device, dense)
        if layer.is_spiking:
            work.append(roofline.spiking_work(layer, ops, inferences, part.c))
        else:
            work.append(roofline.ann_work(layer, ops, inferences, part.precision, part.c))
    return roofline.accelerator_cost(work, part.device.law, part.c)


def _counts(layer: LayerOps, device: Accelerator, dense: bool) -> Ops:
    if dense:
        return layer.dense
    return layer.padded if device.static_shapes else layer.executed


def _notes(plan: Plan, run: _Evaluation, dense: _Evaluation, rate: float) -> tuple[str, ...]:
    idle = plan.idle_w()
    idle_j = 0.0 if idle is None else float(idle[0]) / rate
    active_j = float(run.active_j[0])
    return notes_on(
        Situation(
            plan=plan,
            rate_hz=rate,
            latency_s=float(run.latency_s[0]),
            launch_share=run.launch_share,
            dense_launch_share=dense.launch_share,
            idle_share=idle_j / (idle_j + active_j) if idle_j + active_j else 0.0,
        )
    )


@dataclass(frozen=True, slots=True)
class _Summary:
    """Columns -> report; the same for the run and for its dense twin."""

    plan: Plan
    target: Device
    name: str
    rate_hz: float
    samples: int
    seed: int
    workload_hash: str

    def __call__(
        self, result: _Evaluation, twin: EnergyReport | None, notes: tuple[str, ...]
    ) -> EnergyReport:
        plan, c = self.plan, self.plan.constants
        costed = bool(plan.covers) or not plan.not_covered
        active, latency = result.active_j, result.latency_s
        idle = plan.idle_w()
        power = None if idle is None else idle + self.rate_hz * active
        energy = None if power is None else power / self.rate_hz
        lines = result.energies
        if idle is not None:
            lines = (*lines, Line(SHARED, "", "idle", idle / self.rate_hz))
        table = _Table.of(lines, c)
        in_play = _in_play(c, latency, active if energy is None else energy)

        def interval(columns: Columns | None) -> Interval | None:
            return c.interval(columns) if costed and columns is not None else None

        return EnergyReport(
            device=self.name,
            title=self.target.full_title,
            workload_name=plan.workload.name,
            workload_hash=self.workload_hash,
            scope="active" if idle is None else "device",
            boundary=self.target.boundary,
            covers=plan.covers,
            not_covered=plan.not_covered,
            rate_hz=self.rate_hz,
            deploy_as=plan.accelerator.precision if plan.accelerator else None,
            idle_w=interval(idle),
            energy_active_j=interval(active),
            energy_j=interval(energy),
            power_w=interval(power),
            latency_s=interval(latency),
            realtime=bool(self.rate_hz * latency[0] <= 1) if costed else None,
            fits=plan.chip.mapping.fits if plan.chip else None,
            rows=table.rows(c) if costed else (),
            times=result.times.rows(c) if costed else (),
            by_stage=table.by_stage(c) if costed else {},
            dense_twin=twin,
            notes=notes,
            dominant=tuple(
                Dominant(swing.name, swing.constant, swing.low, swing.high)
                for swing in c.tornado(active)[:_N_DOMINANT]
            ),
            basis=tuple(basis for basis in BASES if any(k.basis == basis for k in in_play)),
            sources=_sources(in_play),
            samples=self.samples,
            seed=self.seed,
        )


def _in_play(c: Constants, *results: Columns) -> list[Sourced]:
    """Constants that move one of the results; those with a range of one point move nothing."""
    names = {swing.name for result in results for swing in c.tornado(result)}
    return [c.sourced[name] for name in c.sourced if name in names]


def _sources(constants: Sequence[Sourced]) -> tuple[str, ...]:
    known = references()
    keys = sorted({constant.source for constant in constants})
    return tuple(str(known[key]) if key in known else f"[{key}]" for key in keys)
