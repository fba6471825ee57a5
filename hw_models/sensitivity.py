"""Which constants widen a result: each alone moved over its range, the others nominal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.estimate import rate_of
from hw_models.evaluate import Evaluation, evaluate
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.plan import Plan, make_plan
from hw_models.uncertainty import Columns, Swing
from hw_models.workload import Workload

Quantity = Literal["energy_active_j", "energy_j", "power_w", "latency_s"]

_LEAST_DRAWS = 2  # swings stand beside the draws, of which none is used


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """A result and what moves it, largest swing first.

    Parameters
    ----------
    workload_name, device
        What was costed where.
    quantity, value
        Name and nominal value, in SI units, per inference.
    swings
        Constants that move it; constants of a common cause move together and stand once.
    """

    workload_name: str
    device: str
    quantity: Quantity
    value: float
    swings: tuple[Swing, ...]


def sensitivity(
    workload: Workload,
    device: str | Path | Device,
    quantity: Quantity = "energy_active_j",
    *,
    rate_hz: float | None = None,
    deploy_as: Precision | None = None,
    latency_s: float | None = None,
) -> Sensitivity:
    """Move every constant in play over its range, one at a time.

    Parameters
    ----------
    workload, device, rate_hz, deploy_as, latency_s
        As for :func:`hw_models.estimate`.
    quantity
        Energy above idle, energy with idle, power or latency of one inference.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        The rate is not positive, the device lacks the precision or a kind of layer, or its idle
        power is unknown and the quantity includes it.
    """
    target = load_device(device) if isinstance(device, str | Path) else device
    plan = make_plan([workload], target, deploy_as, _LEAST_DRAWS, seed=0)
    run = evaluate(plan, dense=False, latency_s=latency_s)
    result = _result(plan, run, quantity, rate_of(workload, rate_hz))
    return Sensitivity(
        workload_name=workload.name,
        device=str(device) if isinstance(device, str | Path) else target.full_name,
        quantity=quantity,
        value=float(result[0]),
        swings=tuple(plan.constants.tornado(result)),
    )


def _result(plan: Plan, run: Evaluation, quantity: Quantity, rate_hz: float) -> Columns:
    latency_s: Columns = run.latency_s[0]
    active_j: Columns = run.active_j[0]
    if quantity in ("latency_s", "energy_active_j"):
        return latency_s if quantity == "latency_s" else active_j
    idle = plan.idle_w()
    if idle is None:
        raise EstimateError(
            f"{quantity} needs idle power, which is unknown for a part of this device; "
            f"ask for energy_active_j"
        )
    power: Columns = idle[0] + rate_hz * active_j
    return power if quantity == "power_w" else power / rate_hz
