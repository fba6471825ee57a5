"""One workload on one processor as draws: time, and energy as a function of time.

Draws are arrays of shape (1 + samples,): the nominal result first, then the Monte Carlo. Energy
above idle is affine in the latency that it is stretched to (operations cost energy, power costs
time), so two evaluations give it at any latency, draw by draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hw_models.accelerator import Accelerator
from hw_models.evaluate import evaluate
from hw_models.ops import Precision
from hw_models.plan import make_plan
from hw_models.uncertainty import Columns, Interval
from hw_models.workload import Workload

NORMAL_95 = 1.645  # 95th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Costed:
    """A query: its latency [s], energy above idle ``work_j + power_w t``, and idle power [W]."""

    latency_s: Columns
    work_j: Columns
    power_w: Columns
    idle_w: Columns | None

    def energy_j(self, latency_s: Columns | float, *, above_idle: bool) -> Columns:
        """Return the energy of a query that takes that long, idle power included or not.

        Raises
        ------
        ValueError
            Idle power is asked for and unknown.
        """
        active = self.work_j + self.power_w * latency_s
        if above_idle:
            return active
        if self.idle_w is None:
            raise ValueError("idle power is unknown")
        return active + self.idle_w * latency_s


def cost(
    workload: Workload, device: Accelerator, precision: Precision, samples: int, seed: int
) -> Costed:
    """Cost one query of a workload on a processor.

    Raises
    ------
    EstimateError
        The device lacks the precision or a kind of layer.
    """
    plan = make_plan([workload], device, precision, samples, seed)

    def draws(columns: Columns) -> Columns:
        return np.concatenate([columns[:1], columns[-samples:]])

    latency_s = draws(evaluate(plan, dense=False).latency_s[0])
    unit_s = float(latency_s[0])
    once, twice = (
        draws(evaluate(plan, dense=False, latency_s=n * unit_s).active_j[0]) for n in (1, 2)
    )
    idle = plan.idle_w()
    return Costed(
        latency_s=latency_s,
        work_j=2 * once - twice,
        power_w=(twice - once) / unit_s,
        idle_w=None if idle is None else draws(idle[0]),
    )


def interval(draws: Columns, doubt: float = 0.0) -> Interval:
    """Summarise draws as nominal value and 5-95%, widened by an independent log-normal doubt.

    Parameters
    ----------
    draws
        Nominal result first.
    doubt
        Standard deviation of the logarithm; half widths add in quadrature.
    """
    value = float(draws[0])
    low, high = (float(end) for end in np.quantile(draws[1:], [0.05, 0.95]))
    below = math.log(value / min(low, value))
    above = math.log(max(high, value) / value)
    return Interval(
        value,
        value * math.exp(-math.hypot(below, NORMAL_95 * doubt)),
        value * math.exp(math.hypot(above, NORMAL_95 * doubt)),
    )
