"""Workload x device -> report: counts times costs, in the open.

Definitions. One inference is one window step; counts are means over the recording, its first
dense step included. With energy above idle E_active and idle power P_idle,

    power = P_idle + rate * E_active        energy = power / rate

so leakage and idle are counted once, in P_idle. Another rate than one inference per window
replays the same counts per inference. ``rate * latency > 1`` is reported, never clipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw_models.cost import SHARED
from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.evaluate import Evaluation, Line, evaluate
from hw_models.fit import fit_of
from hw_models.loader import Reference, load_device, references_of
from hw_models.notes import Situation, notes_on
from hw_models.ops import Precision
from hw_models.plan import ChipPart, Plan, make_plan
from hw_models.report import Dominant, EnergyReport, Row
from hw_models.sourced import BASES, Sourced
from hw_models.uncertainty import Columns, Constants, Interval
from hw_models.workload import Workload

_N_DOMINANT = 3


def estimate(
    workload: Workload,
    device: str | Path | Device,
    *,
    rate_hz: float | None = None,
    deploy_as: Precision | None = None,
    samples: int = 1000,
    seed: int = 0,
    latency_s: float | None = None,
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
    latency_s
        A measured latency of one inference, for a single processor: times are stretched to it and
        energies follow.

    Returns
    -------
    EnergyReport
        With 5-95% intervals and the dense twin.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        The rate or latency is not positive, the device lacks the precision or a kind of layer, or
        a latency is given for more than a processor.
    """
    target = load_device(device) if isinstance(device, str | Path) else device
    name = str(device) if isinstance(device, str | Path) else target.full_name
    rate = rate_of(workload, rate_hz)
    plan = make_plan([workload], target, deploy_as, samples, seed)
    _check_latency(plan, latency_s)
    run = evaluate(plan, dense=False, latency_s=latency_s)
    dense = evaluate(plan, dense=True, latency_s=latency_s)
    summarise = _Summary(plan, target, name, rate, samples, seed, workload.hash())
    twin = summarise(dense, None, ())
    return summarise(run, twin, _notes(plan, run, dense, rate))


def rate_of(workload: Workload, rate_hz: float | None) -> float:
    """Return the rate, by default one inference per window.

    Raises
    ------
    EstimateError
        It is not positive and finite.
    """
    rate = 1000 / workload.window_ms if rate_hz is None else float(rate_hz)
    if not (math.isfinite(rate) and rate > 0):
        raise EstimateError(f"rate_hz must be positive and finite, got {rate_hz}")
    return rate


def _check_latency(plan: Plan, latency_s: float | None) -> None:
    if latency_s is None:
        return
    if not (math.isfinite(latency_s) and latency_s > 0):
        raise EstimateError(f"latency_s must be positive and finite, got {latency_s}")
    if len(plan.parts) > 1 or isinstance(plan.parts[0], ChipPart):
        raise EstimateError("latency_s can be given for a single processor only")


def _notes(plan: Plan, run: Evaluation, dense: Evaluation, rate: float) -> tuple[str, ...]:
    idle = plan.idle_w()
    idle_j = 0.0 if idle is None else float(idle[0, 0]) / rate
    active_j = float(run.active_j[0, 0])
    return notes_on(
        Situation(
            plan=plan,
            rate_hz=rate,
            latency_s=float(run.latency_s[0, 0]),
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
        self, result: Evaluation, twin: EnergyReport | None, notes: tuple[str, ...]
    ) -> EnergyReport:
        plan, c = self.plan, self.plan.constants
        costed = bool(plan.covers) or not plan.not_covered
        active, latency = result.active_j[0], result.latency_s[0]
        idle_runs = plan.idle_w()
        idle = None if idle_runs is None else np.broadcast_to(idle_runs[0], active.shape)
        power = None if idle is None else idle + self.rate_hz * active
        energy = None if power is None else power / self.rate_hz
        lines = result.energies()
        if idle is not None:
            lines.append(Line(SHARED, "", "idle", idle / self.rate_hz))
        in_play = _in_play(c, latency, active if energy is None else energy)

        known = {"energy_active_j": active, "energy_j": energy, "latency_s": latency}

        def interval(columns: Columns | None) -> Interval | None:
            return c.interval(columns) if costed and columns is not None else None

        return EnergyReport(
            device=self.name,
            title=self.target.full_title,
            workload_name=plan.workloads[0].name,
            workload_hash=self.workload_hash,
            scope="active" if idle is None else "device",
            boundary=self.target.boundary,
            covers=plan.covers,
            not_covered=plan.not_covered,
            rate_hz=self.rate_hz,
            deploy_as=plan.processors[-1].precision if plan.processors else None,
            idle_w=interval(idle),
            energy_active_j=interval(active),
            energy_j=interval(energy),
            power_w=interval(power),
            latency_s=interval(latency),
            realtime=bool(self.rate_hz * latency[0] <= 1) if costed else None,
            fits=_fits(plan),
            rows=_rows(lines, c) if costed else (),
            times=_rows(result.times(), c) if costed else (),
            by_stage=_by_stage(lines, c) if costed else {},
            dense_twin=twin,
            notes=notes,
            dominant=tuple(
                Dominant(swing.name, swing.constant, swing.low, swing.high)
                for swing in c.tornado(active)[:_N_DOMINANT]
            ),
            basis=tuple(basis for basis in BASES if any(k.basis == basis for k in in_play)),
            sources=_sources(in_play, references_of(self.name)),
            samples=self.samples,
            seed=self.seed,
            draws={name: c.draws(each) for name, each in known.items() if each is not None}
            if costed
            else {},
        )


def _fits(plan: Plan) -> bool | None:
    """Whether each part holds what it runs of the first run; ``None`` where nothing is known."""
    fits = [chip.mappings[0].fits for chip in plan.chips if chip.layers[0]]
    held = (fit_of(plan, part) for part in plan.processors)
    fits += [each.fits for each in held if each is not None]
    return all(fits) if fits else None


def _rows(lines: Sequence[Line], c: Constants) -> tuple[Row, ...]:
    """Summarise each line that is not zero throughout."""
    kept = [line for line in lines if line.amount.any()]
    intervals = c.intervals(np.stack([line.amount for line in kept])) if kept else []
    return tuple(
        Row(line.stage, line.layer, line.term, interval)
        for line, interval in zip(kept, intervals, strict=True)
    )


def _by_stage(lines: Sequence[Line], c: Constants) -> dict[str, Interval]:
    totals: dict[str, Columns] = {}
    for line in lines:
        totals[line.stage] = totals.get(line.stage, 0.0) + line.amount
    return {stage: c.interval(amount) for stage, amount in totals.items()}


def _in_play(c: Constants, *results: Columns) -> list[Sourced]:
    """Constants that move one of the results; those with a range of one point move nothing."""
    names = {swing.name for result in results for swing in c.tornado(result)}
    return [c.sourced[name] for name in c.sourced if name in names]


def _sources(constants: Sequence[Sourced], known: Mapping[str, Reference]) -> tuple[str, ...]:
    keys = sorted({constant.source for constant in constants})
    return tuple(str(known[key]) if key in known else f"[{key}]" for key in keys)
