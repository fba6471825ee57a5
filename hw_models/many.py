"""Many workloads at once on one device: points for sweeps, intervals where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.estimate import rate_of
from hw_models.evaluate import evaluate
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.plan import Plan, make_plan
from hw_models.uncertainty import Columns, Interval
from hw_models.workload import Workload

_AT_ONCE = 512  # workloads per array: large enough to amortise calls, small enough for the cache


@dataclass(frozen=True, slots=True)
class Estimates:
    """Results for many workloads on one device, in the order given.

    Parameters
    ----------
    device
        Full name of the device.
    rate_hz
        Inferences per second that power is stated for, shape (n,).
    energy_active_j, energy_j, power_w, latency_s
        Per inference, as in :class:`EnergyReport`; shape (n,) for points, and (n, 3) with value,
        low and high of the 5-95% interval where intervals were asked for. ``energy_j`` and
        ``power_w`` are ``None`` where idle power is unknown.
    """

    device: str
    rate_hz: Columns
    energy_active_j: Columns
    energy_j: Columns | None
    power_w: Columns | None
    latency_s: Columns


def estimate_many(
    workloads: Sequence[Workload],
    device: str | Path | Device,
    *,
    rate_hz: float | None = None,
    deploy_as: Precision | None = None,
    samples: int | None = None,
    seed: int = 0,
) -> Estimates:
    """Estimate many workloads on one device; the equations are those of :func:`estimate`.

    Parameters
    ----------
    workloads
        What the runs did, at least one.
    device, rate_hz, deploy_as
        As for :func:`estimate`.
    samples
        Draws of the Monte Carlo; ``None`` gives nominal values only, which is much faster.
    seed
        Of the Monte Carlo; all workloads see the same draws.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        The rate is not positive, or the device lacks the precision or a kind of layer.
    """
    if not workloads:
        raise EstimateError("estimate_many needs at least 1 workload, got none")
    target = load_device(device) if isinstance(device, str | Path) else device
    rates = np.array([rate_of(workload, rate_hz) for workload in workloads])
    at_once = _AT_ONCE if samples is None else 1
    blocks = []
    for start in range(0, len(workloads), at_once):
        block = workloads[start : start + at_once]
        plan = make_plan(block, target, deploy_as, samples, seed)
        blocks.append(_results(plan, rates[start : start + at_once]))
    active, energy, power, latency = (_joined(parts) for parts in zip(*blocks, strict=True))
    assert active is not None and latency is not None
    return Estimates(target.full_name, rates, active, energy, power, latency)


def _joined(parts: Sequence[Columns | None]) -> Columns | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _results(plan: Plan, rates: Columns) -> tuple[Columns | None, ...]:
    result = evaluate(plan, dense=False)
    idle = plan.idle_w()
    rate = rates[:, np.newaxis]
    power = None if idle is None else idle + rate * result.active_j
    energy = None if power is None else power / rate
    return tuple(
        None if amounts is None else _summary(plan, amounts)
        for amounts in (result.active_j, energy, power, result.latency_s)
    )


def _summary(plan: Plan, amounts: Columns) -> Columns:
    if plan.constants.n_columns == 1:
        return amounts[:, 0]
    intervals: list[Interval] = plan.constants.intervals(amounts)
    return np.array([[each.value, each.low, each.high] for each in intervals])
