r"""Average power of a device that works now and then, and how long a battery lasts.

Between inferences, of which there is one every T = 1/rate, each part of a device idles; or it
sleeps and wakes in time for the next one. With the part's busy time t, energy above idle E, idle
power P_i, sleep power P_s, and wake time w at power P_w (idle, or what it draws while busy),

    idling    P = P_i + E / T
    sleeping  P = [ P_i t + E + P_w w + P_s (T - t - w) ] / T        where T - t > w

A part that may sleep does the cheaper of the two, draw by draw of the constants. Waking is timed
to end when the next inference begins, so it adds no latency. Where rate times latency exceeds 1
the device does not keep up and the power exceeds what it can sustain; it is not clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hw_models.accelerator import Accelerator
from hw_models.cost import Cost
from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.estimate import rate_of
from hw_models.evaluate import evaluate
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.plan import AcceleratorPart, ChipPart, Plan, make_plan
from hw_models.report import NotCovered
from hw_models.uncertainty import Columns, Constants, Interval
from hw_models.workload import Workload

WakeAt = Literal["idle", "active"]


@dataclass(frozen=True, slots=True)
class PartDuty:
    """One chip or processor: share of time it is busy, and its average power.

    ``sleeps`` says whether it sleeps between inferences, at nominal values.
    """

    device: str
    busy_share: Interval
    power_w: Interval
    sleeps: bool


@dataclass(frozen=True, slots=True)
class DutyCycle:
    """A device that makes ``rate_hz`` inferences per second.

    Parameters
    ----------
    workload_name, device, rate_hz
        What runs where, how often.
    covers, not_covered
        Stages in the figures and stages left out.
    power_w
        Average power.
    energy_j
        ``power_w / rate_hz``: energy per inference, what passes between two of them included.
    idling_w
        Average power if no part ever slept.
    latency_s
        Processing time of one inference.
    keeps_up
        ``rate_hz * latency_s <= 1``, at nominal values.
    parts
        Each chip or processor; their powers and that of links sum to ``power_w``.
    notes
        What a reader must know.
    samples, seed
        Of the Monte Carlo.
    """

    workload_name: str
    device: str
    rate_hz: float
    covers: tuple[str, ...]
    not_covered: tuple[NotCovered, ...]
    power_w: Interval
    energy_j: Interval
    idling_w: Interval
    latency_s: Interval
    keeps_up: bool
    parts: tuple[PartDuty, ...]
    notes: tuple[str, ...]
    samples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, power in mW, energy in mJ, latency in ms."""
        return {
            "workload": self.workload_name,
            "device": self.device,
            "rate_hz": self.rate_hz,
            "covers": list(self.covers),
            "not_covered": [
                {"stage": each.stage, "reason": each.reason} for each in self.not_covered
            ],
            "power_mw": self.power_w.scaled(1e3),
            "energy_mj": self.energy_j.scaled(1e3),
            "idling_mw": self.idling_w.scaled(1e3),
            "latency_ms": self.latency_s.scaled(1e3),
            "keeps_up": self.keeps_up,
            "parts": [
                {
                    "device": part.device,
                    "busy_share": part.busy_share.scaled(1.0),
                    "power_mw": part.power_w.scaled(1e3),
                    "sleeps": part.sleeps,
                }
                for part in self.parts
            ],
            "notes": list(self.notes),
        }


def duty_cycle(
    workload: Workload,
    device: str | Path | Device,
    *,
    rate_hz: float | None = None,
    sleep: bool = False,
    wake_at: WakeAt = "active",
    deploy_as: Precision | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> DutyCycle:
    """Return the average power of a device that makes an inference now and then.

    Parameters
    ----------
    workload, device, deploy_as, samples, seed
        As for :func:`hw_models.estimate`.
    rate_hz
        Inferences per second; defaults to one per window.
    sleep
        Whether parts sleep between inferences where that is cheaper. Needs their ``sleep_w`` and
        ``wake_s``; of a system, parts without them idle.
    wake_at
        Power while waking: ``idle``, or ``active``, the part's mean power while busy.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        Idle power, or for sleep the sleep power or wake time, is unknown (names the key to give);
        nothing of the workload runs there; a number is out of range.
    """
    if wake_at not in get_args(WakeAt):
        raise EstimateError(f"wake_at must be idle or active, got {wake_at!r}")
    target = load_device(device) if isinstance(device, str | Path) else device
    rate = rate_of(workload, rate_hz)
    plan = make_plan([workload], target, deploy_as, samples, seed)
    if not plan.covers:
        raise EstimateError(f"{target.full_name}: nothing of {workload.name!r} runs there")
    run = evaluate(plan, dense=False)
    c = plan.constants
    works = [_work(*each, c.n_columns) for each in zip(plan.parts, run.costs[::2], strict=True)]
    cannot = [work for work in works if work.missing] if sleep else []
    if sleep and len(cannot) == len(works):
        keys = ", ".join(f"{' and '.join(work.missing)} of {work.device}" for work in works)
        raise EstimateError(f"{target.full_name} cannot sleep: no cited number; give {keys}")
    powers = [_average(work, rate, sleep and not work.missing, wake_at) for work in works]
    links_w = rate * sum((cost.energy_j(c.n_columns)[0] for cost in run.costs[1::2]), c.zeros())
    power_w = sum((power for power, _ in powers), links_w)
    keeps_up = bool(rate * run.latency_s[0, 0] <= 1)
    return DutyCycle(
        workload_name=workload.name,
        device=str(device) if isinstance(device, str | Path) else target.full_name,
        rate_hz=rate,
        covers=plan.covers,
        not_covered=plan.not_covered,
        power_w=c.interval(power_w),
        energy_j=c.interval(power_w / rate),
        idling_w=c.interval(sum((work.idling_w(rate) for work in works), links_w)),
        latency_s=c.interval(run.latency_s[0]),
        keeps_up=keeps_up,
        parts=tuple(
            PartDuty(work.device, c.interval(rate * work.busy_s), c.interval(power), sleeps)
            for work, (power, sleeps) in zip(works, powers, strict=True)
        ),
        notes=tuple(_notes(plan, keeps_up, rate, float(run.latency_s[0, 0]), cannot)),
        samples=samples,
        seed=seed,
    )


def battery_life(power_w: Interval, capacity_wh: float) -> Interval:
    """Return the hours that a battery lasts at an average power.

    Parameters
    ----------
    power_w
        Average power; more power, fewer hours, so the ends change places.
    capacity_wh
        Energy that the battery gives, in watt-hours.

    Raises
    ------
    EstimateError
        The capacity or the power is not positive and finite.
    """
    if not (math.isfinite(capacity_wh) and capacity_wh > 0):
        raise EstimateError(f"capacity_wh must be positive and finite, got {capacity_wh}")
    if not (power_w.low > 0 and math.isfinite(power_w.high)):
        raise EstimateError(f"power_w must be positive and finite, got {power_w}")
    return Interval(
        capacity_wh / power_w.value, capacity_wh / power_w.high, capacity_wh / power_w.low
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What a part does per inference, and its powers; columns of shape (n_columns,)."""

    device: str
    c: Constants
    idle_w: Columns
    busy_s: Columns
    active_j: Columns
    missing: tuple[str, ...]

    def idling_w(self, rate_hz: float) -> Columns:
        power: Columns = self.idle_w + rate_hz * self.active_j
        return power


def _work(part: ChipPart | AcceleratorPart, cost: Cost, n_columns: int) -> _Work:
    device = part.device
    table = f"modes.{device.mode}" if isinstance(device, Accelerator) else "constants"
    idle_w = part.idle_w()
    if idle_w is None:
        raise EstimateError(
            f"{device.full_name}: no cited idle power, so no average power; give {table}.idle_w"
        )
    return _Work(
        device=device.full_name,
        c=part.c,
        idle_w=np.broadcast_to(idle_w[0], (n_columns,)),
        busy_s=cost.time_s(n_columns)[0],
        active_j=cost.energy_j(n_columns)[0],
        missing=tuple(f"{table}.{key}" for key in ("sleep_w", "wake_s") if key not in part.c),
    )


def _average(work: _Work, rate_hz: float, may_sleep: bool, wake_at: WakeAt) -> tuple[Columns, bool]:
    """Return the average power, and whether the part sleeps at nominal values."""
    idling_w = work.idling_w(rate_hz)
    if not may_sleep:
        return idling_w, False
    sleep_w, wake_s = work.c["sleep_w"], work.c["wake_s"]
    wake_w = work.idle_w
    if wake_at == "active":
        busy_w = np.zeros_like(idling_w)
        np.divide(work.active_j, work.busy_s, out=busy_w, where=work.busy_s > 0)
        wake_w = wake_w + busy_w
    asleep_s = 1 / rate_hz - work.busy_s - wake_s
    period_j = work.idle_w * work.busy_s + work.active_j + wake_w * wake_s + sleep_w * asleep_s
    sleeping_w = rate_hz * period_j
    sleeps = (asleep_s > 0) & (sleeping_w < idling_w)
    return np.where(sleeps, sleeping_w, idling_w), bool(sleeps[0])


def _notes(
    plan: Plan, keeps_up: bool, rate_hz: float, latency_s: float, cannot: Sequence[_Work]
) -> Iterator[str]:
    if plan.not_covered:
        yield "front end only: do not rank against whole pipelines"
    if not keeps_up:
        yield (
            f"does not keep up: {rate_hz:g} inferences per second of {latency_s * 1e3:.3g} ms "
            f"each; the power exceeds what the device can sustain"
        )
    for work in cannot:
        yield (
            f"{work.device} idles between inferences: to let it sleep give "
            f"{' and '.join(work.missing)}"
        )
