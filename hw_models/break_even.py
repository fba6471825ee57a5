r"""Where one device needs less energy than another: at which rate, event rate or activity.

Both devices are costed over a range of x with the same draws of shared constants, and the sign of
the difference tells who needs less. Over the inference rate, with idle power P and energy above
idle E, the energies per inference P/x + E are equal at

    x = (P_a - P_b) / (E_b - E_a)

in every draw. Over event rate and activity (rules in :mod:`hw_models.scaling`) the energies are
computed at points of the range and the difference is taken as straight between two of them, which
is exact where energy is linear in counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hw_models.accelerator import Accelerator
from hw_models.crossing import Crossing, crossing_of
from hw_models.device import Device, System
from hw_models.errors import ComparisonError, EstimateError, suggestion
from hw_models.estimate import rate_of
from hw_models.evaluate import evaluate
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.plan import make_plan
from hw_models.scaling import activity_of, event_rate_hz, with_activity, with_event_rate
from hw_models.uncertainty import Columns, Interval, intervals_of
from hw_models.units import format_quantity, format_ratio
from hw_models.workload import Workload

Over = Literal["rate", "event_rate", "activity"]
Scope = Literal["active", "device"]
_NAMES = {"rate": "inference rate", "event_rate": "event rate", "activity": "activity"}
_OWN: Mapping[str, Callable[[Workload], float]] = {
    "event_rate": event_rate_hz,
    "activity": activity_of,
}
_VARY: Mapping[str, Callable[[Workload, float], Workload]] = {
    "event_rate": with_event_rate,
    "activity": with_activity,
}
_RULES = {
    "rate": "the counts per inference are those of the run at every inference rate",
    "event_rate": "an event rate multiplies spikes and synops; neuron updates and the ANN stay",
    "activity": "an activity moves the counts that the run skipped a part of, in proportion",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """Energy per inference of one device, one interval per x; ``boundary`` is what it includes."""

    device: str
    boundary: str
    energy_j: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Who needs less energy per inference, and where that changes.

    Parameters
    ----------
    workload_name, over, scope
        What was varied of which run; ``active`` is energy above idle, ``device`` includes idle.
    covers
        Stages in the figures, the same on both devices.
    x
        Rates [Hz] or activities, ascending.
    a, b
        The two devices at each x, ready to draw.
    crossing
        Where the two need the same; a draw that crosses beyond the range counts at its end.
        ``None`` where nominal values do not cross.
    below, above
        Who needs less below and above the crossing (the first, if there are several); the same
        where there is none. ``None`` where both need the same throughout.
    agreement
        Share of draws with the same verdict: a crossing within the range, the same device below;
        or none, the same device throughout.
    at, a_wins_share
        The run's own x, and the share of draws in which ``a`` needs less there.
    notes
        What a reader must know.
    samples, seed
        Of the Monte Carlo.
    """

    workload_name: str
    over: Over
    scope: Scope
    covers: tuple[str, ...]
    x: tuple[float, ...]
    a: Curve
    b: Curve
    crossing: Interval | None
    below: str | None
    above: str | None
    agreement: float
    at: float
    a_wins_share: float
    notes: tuple[str, ...]
    samples: int
    seed: int

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        what = _NAMES[self.over]
        low, high = (_shown(self.over, end) for end in (self.x[0], self.x[-1]))
        between = f"from {what} {low} to {high}"
        if self.below is None:
            return f"{self.a.device} and {self.b.device} need the same energy {between}"
        agree = f"{self.agreement:.0%} of draws agree"
        if self.crossing is None:
            return f"{self.below} needs less energy everywhere {between} ({agree})"
        return (
            f"{self.below} needs less energy below {what} {_shown(self.over, self.crossing)}, "
            f"{self.above} above it ({agree}; looked at {between})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, energies in mJ."""
        return {
            "workload": self.workload_name,
            "over": self.over,
            "scope": self.scope,
            "covers": list(self.covers),
            "a": self.a.device,
            "b": self.b.device,
            "verdict": self.verdict,
            "crossing": None if self.crossing is None else self.crossing.scaled(1.0),
            "below": self.below,
            "above": self.above,
            "agreement": self.agreement,
            "at": self.at,
            "a_wins_share": self.a_wins_share,
            "x": list(self.x),
            "a_mj": [each.scaled(1e3) for each in self.a.energy_j],
            "b_mj": [each.scaled(1e3) for each in self.b.energy_j],
            "notes": list(self.notes),
        }


def break_even(
    workload: Workload,
    a: str | Path | Device,
    b: str | Path | Device,
    *,
    over: Over,
    low: float,
    high: float,
    scope: Scope = "device",
    rate_hz: float | None = None,
    deploy_as: Precision | None = None,
    points: int = 41,
    samples: int = 1000,
    seed: int = 0,
) -> BreakEven:
    """Say where ``a`` needs less energy per inference than ``b``.

    Parameters
    ----------
    workload
        A run; its own rate, event rate or activity is where the question starts.
    a, b
        As for :func:`hw_models.estimate`.
    over
        ``rate`` (inferences per second), ``event_rate`` (injected spikes per second) or
        ``activity`` (executed share of what can be skipped).
    low, high
        Range of it.
    scope
        ``active`` (above idle) or ``device``.
    rate_hz
        Inferences per second, one per window by default; over the rate, where the run stands.
    deploy_as, samples, seed
        As for :func:`hw_models.estimate`.
    points
        Points of the range.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    ComparisonError
        The devices run different stages of the workload (a front end against a pipeline).
    EstimateError
        A range or number makes no sense, the workload cannot be varied so, or the scope needs an
        idle power that is unknown.
    """
    _check(over, scope, low, high, points)
    targets = [load_device(each) if isinstance(each, str | Path) else each for each in (a, b)]
    names = _names(a, b, targets)
    rate = rate_of(workload, rate_hz)
    at = rate if over == "rate" else _OWN[over](workload)
    x = _grid(over, low, high, points, at)
    # row 0 is the run itself, row i + 1 the run at x[i]
    runs = [workload] if over == "rate" else [workload, *(_VARY[over](workload, v) for v in x)]
    rates = np.array([rate, *x]) if over == "rate" else np.full(len(x) + 1, rate)
    sides = [_side(target, runs, rates, deploy_as, samples, seed) for target in targets]
    _check_alike(names, targets, sides, scope)
    energy_a, energy_b = (side.energy_j(scope, rates) for side in sides)
    difference = energy_a - energy_b
    # over the rate it is the power, rate times energy, that is straight between two points
    straight = difference[1:] * (rates[1:, np.newaxis] if over == "rate" else 1.0)
    crossing = crossing_of(x, straight)
    below, above = _order(straight[:, 0], crossing, names)
    return BreakEven(
        workload_name=workload.name,
        over=over,
        scope=scope,
        covers=sides[0].covers,
        x=tuple(x.tolist()),
        a=Curve(names[0], targets[0].boundary, _intervals(energy_a[1:])),
        b=Curve(names[1], targets[1].boundary, _intervals(energy_b[1:])),
        crossing=crossing.at,
        below=below,
        above=above,
        agreement=crossing.agreement,
        at=at,
        a_wins_share=float(np.mean(difference[0, 1:] < 0)),
        notes=tuple(_notes(over, x, rates[1:], names, sides, crossing)),
        samples=samples,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One device over the runs; column 0 is nominal, the others are the draws."""

    covers: tuple[str, ...]
    complete: bool
    idle_w: Columns | None
    active_j: Columns
    latency_s: Columns

    def energy_j(self, scope: Scope, rates: Columns) -> Columns:
        """Energy per inference, shape (n_rates, 1 + n_samples)."""
        active = np.broadcast_to(self.active_j, (len(rates), self.active_j.shape[1]))
        if scope == "active" or self.idle_w is None:
            return active
        energy: Columns = self.idle_w / rates[:, np.newaxis] + active
        return energy


def _side(
    target: Device,
    runs: Sequence[Workload],
    rates: Columns,
    deploy_as: Precision | None,
    samples: int,
    seed: int,
) -> _Side:
    active, idle, latency = [], [], []
    for run in runs:
        plan = make_plan([run], target, deploy_as, samples, seed)
        result = evaluate(plan, dense=False)
        draws = plan.constants.draws
        active.append([*result.active_j[0, :1], *draws(result.active_j[0])])
        latency.append(result.latency_s[0, 0])
        idle_w = plan.idle_w()
        if idle_w is not None:
            idle.append([*idle_w[0, :1], *draws(idle_w[0])])
    return _Side(
        covers=plan.covers,
        complete=not plan.not_covered,
        idle_w=np.array(idle) if idle else None,
        active_j=np.array(active),
        latency_s=np.broadcast_to(latency, rates.shape),
    )


def _order(
    difference: Columns, crossing: Crossing, names: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return who needs less below and above the crossing, at nominal values."""
    a, b = names
    if crossing.at is not None:
        return (a, b) if difference[0] < 0 else (b, a)
    winner = a if difference.min() < 0 else b if difference.max() > 0 else None
    return winner, winner


def _intervals(energies: Columns) -> tuple[Interval, ...]:
    return tuple(intervals_of(energies[:, 0], energies[:, 1:]))


def _grid(over: Over, low: float, high: float, points: int, at: float) -> Columns:
    """Points of the range, the run's own among them: beside it energies may bend."""
    even = over == "activity" or low == 0
    x: Columns = np.linspace(low, high, points) if even else np.geomspace(low, high, points)
    return np.unique(np.append(x, at)) if low < at < high else x


def _check(over: str, scope: str, low: float, high: float, points: int) -> None:
    for what, value, known in (("over", over, _NAMES), ("scope", scope, get_args(Scope))):
        if value not in known:
            raise EstimateError(
                f"{what} must be one of {', '.join(known)}, got {value!r}{suggestion(value, known)}"
            )
    if over == "rate" and scope == "active":
        raise EstimateError(
            "energy above idle per inference does not depend on the inference rate; "
            "take scope='device'"
        )
    top = 1.0 if over == "activity" else math.inf
    if not (0 <= low < high <= top and math.isfinite(high)) or (over == "rate" and low == 0):
        least = "0 <" if over == "rate" else "0 <="
        most = " <= 1" if over == "activity" else ", finite"
        raise EstimateError(f"{over}: expected {least} low < high{most}, got {low} and {high}")
    if points < 2:
        raise EstimateError(f"points must be at least 2, got {points}")


def _check_alike(
    names: Sequence[str], targets: Sequence[Device], sides: Sequence[_Side], scope: Scope
) -> None:
    mine, theirs = ("+".join(side.covers) or "nothing" for side in sides)
    if mine != theirs or mine == "nothing":
        raise ComparisonError(
            f"cannot compare {names[0]} and {names[1]}: coverage differs or is empty, "
            f"{mine} and {theirs}"
        )
    for name, target, side in zip(names, targets, sides, strict=True):
        if scope == "device" and side.idle_w is None:
            raise EstimateError(
                f"{name}: no cited idle power, so no energy of the device; give "
                f"{_idle_keys(target)}, or take scope='active'"
            )


def _idle_keys(target: Device) -> str:
    parts = [part.device for part in target.parts] if isinstance(target, System) else [target]
    return " and ".join(
        f"modes.{part.mode}.idle_w of {part.full_name}"
        for part in parts
        if isinstance(part, Accelerator) and part.modes[part.mode].idle_w is None
    )


def _names(a: object, b: object, targets: Sequence[Device]) -> tuple[str, str]:
    first, second = (
        str(asked) if isinstance(asked, str | Path) else target.full_name
        for asked, target in zip((a, b), targets, strict=True)
    )
    return (f"{first} (a)", f"{second} (b)") if first == second else (first, second)


def _notes(
    over: Over,
    x: Columns,
    rates: Columns,
    names: Sequence[str],
    sides: Sequence[_Side],
    crossing: Crossing,
) -> Iterator[str]:
    if not sides[0].complete:
        yield "front end only: do not rank against whole pipelines"
    yield _RULES[over]
    reach = math.inf
    for name, side in zip(names, sides, strict=True):
        late = rates * side.latency_s[1:] > 1
        if late.any():
            most = 1 / side.latency_s[0] if over == "rate" else x[late.argmax()]
            reach = min(reach, float(max(most, x[0])))
            yield f"{name} does not keep up from {_NAMES[over]} {_shown(over, max(most, x[0]))} on"
    if crossing.at is not None and crossing.at.value > reach:
        yield "the crossing lies where not both keep up: within reach nobody changes places"
    if crossing.n_changes > 1:
        yield f"they change places {crossing.n_changes} times; the crossing is the lowest"
    if crossing.at is not None and (crossing.at.low == x[0] or crossing.at.high == x[-1]):
        yield "the interval of the crossing reaches an end of the range: a wider one may hold it"


def _shown(over: Over, x: Interval | float) -> str:
    if not isinstance(x, Interval):
        return _shown(over, Interval(x, x, x)).split(" (")[0]
    return format_ratio(x) if over == "activity" else format_quantity(x, "Hz")
