"""Rows of processors -> predictions by the catalog's devices.

What a row measured decides what is predicted: its latency, and its energy twice, once with the
measured latency given and once end to end. The interval of an energy end to end holds the doubt
about time too: each draw of the constants has its own latency. Idle power and clocks that the row
notes replace those of the power mode. Energies are predicted at the boundary of the device only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hw_models.accelerator import Accelerator, at_clocks, with_own_idle
from hw_models.errors import EstimateError, UnknownDeviceError
from hw_models.evaluate import evaluate
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.plan import Plan, make_plan
from hw_models.sourced import Sourced
from hw_models.uncertainty import Interval
from hw_models.validate.facts import Facts, facts
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.question import (
    Network,
    device_of,
    doubt_of,
    mode_of,
    network_of,
    precision_of,
    runtime_refusal,
)
from hw_models.validate.rows import EdgeRow
from hw_models.validate.targets import ENERGY, ENERGY_GIVEN, LATENCY

NORMAL_95 = 1.645  # 95th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be predicted, with the device as the row describes it."""

    row: EdgeRow
    known: Facts
    device: Accelerator
    mode_stated: bool
    precision: Precision
    network: Network


def predict_edge(
    row: EdgeRow, *, samples: int = 1000, seed: int = 0
) -> tuple[Prediction | Refusal, ...]:
    """Predict what a row measured, or say why not.

    Parameters
    ----------
    row
        A measured row.
    samples, seed
        Of the Monte Carlo over the constants' ranges.
    """
    asked = _ask(row)
    if isinstance(asked, Refusal):
        return (asked,)
    try:
        plan = make_plan([asked.network.workload], asked.device, asked.precision, samples, seed)
    except EstimateError as error:
        return (Refusal(str(error)),)
    return tuple(_results(asked, plan))


def _ask(row: EdgeRow) -> _Asked | Refusal:
    known = facts(row)
    device = _device(row)
    if isinstance(device, Refusal):
        return device
    refusal = runtime_refusal(row, known, device.modes)
    if refusal:
        return refusal
    mode = mode_of(row, device.modes)
    if isinstance(mode, Refusal):
        return mode
    precision = precision_of(row)
    if isinstance(precision, Refusal):
        return precision
    network = network_of(row, known, precision)
    if isinstance(network, Refusal):
        return network
    try:
        measured = _as_measured(device if mode is None else replace(device, mode=mode), row, known)
    except EstimateError as error:
        return Refusal(str(error))
    return _Asked(row, known, measured, mode is not None, precision, network)


def _device(row: EdgeRow) -> Accelerator | Refusal:
    name = device_of(row)
    if isinstance(name, Refusal):
        return name
    try:
        device = load_device(name)
    except UnknownDeviceError:
        return Refusal(f"no device for {row.device!r} in the catalog")
    if not isinstance(device, Accelerator):
        return Refusal(f"{row.device}: the catalog's {name} is no processor")
    return device


def _as_measured(device: Accelerator, row: EdgeRow, known: Facts) -> Accelerator:
    """Put what the row notes about its board in place of the catalog's numbers."""
    clocks_hz = {
        name: float(known[fact]) * 1e6
        for name, fact in (("processor_hz", "gpu_mhz"), ("memory_hz", "emc_mhz"))
        if fact in known
    }
    device = at_clocks(device, **clocks_hz)
    if "idle_w" in known:
        idle_w = float(known["idle_w"])
        low, high = float(known.get("idle_w_low", idle_w)), float(known.get("idle_w_high", idle_w))
        device = with_own_idle(device, Sourced(idle_w, low, high, row.source, row.id, "measured"))
    return device


def _results(asked: _Asked, plan: Plan) -> Iterator[Prediction | Refusal]:
    row = asked.row
    if row.latency_ms is not None:
        columns = evaluate(plan, dense=False).latency_s[0]
        predicted = plan.constants.interval(columns)
        yield _prediction(asked, LATENCY, row.latency_ms / 1e3, predicted)
    if row.energy_mj_per_inf is not None:
        yield from _energies(asked, plan, row.energy_mj_per_inf / 1e3)
    elif row.latency_ms is None:
        yield Refusal("neither latency nor energy: only the throughput of many queries at once")


def _energies(asked: _Asked, plan: Plan, per_sample_j: float) -> Iterator[Prediction | Refusal]:
    """Energy of a query back to back with others: above idle, plus idle power times its time."""
    row, samples = asked.row, asked.network.samples
    boundary = _boundary(asked)
    if isinstance(boundary, Refusal):
        yield boundary
        return
    net = asked.known.get("energy") == "net"
    above = ", above idle" if net else ""
    idle = plan.idle_w()
    if idle is None and not net:
        yield Refusal("idle power unknown: only energy above idle is predicted", ENERGY)
        return

    def energy_j(latency_s: float | None) -> Interval:
        run = evaluate(plan, dense=False, latency_s=latency_s)
        columns = run.active_j[0]
        if idle is not None and not net:
            columns = columns + idle[0] * run.latency_s[0]
        return plan.constants.interval(columns)

    measured_j = per_sample_j * samples
    given_s = None
    if row.latency_ms is not None:
        given_s = row.latency_ms / 1e3
    elif row.throughput_per_s is not None:
        given_s = samples / row.throughput_per_s
    if given_s is not None:
        yield _prediction(asked, ENERGY_GIVEN + above, measured_j, energy_j(given_s), boundary)
    if asked.known.get("scenario") == "Offline":
        yield Refusal("Offline: queries overlap, on GPU and DLA where there are any", ENERGY)
    else:
        yield _prediction(asked, ENERGY + above, measured_j, energy_j(None), boundary)


def _boundary(asked: _Asked) -> str | Refusal:
    """Return the boundary that measurement and device share."""
    device = asked.device.boundary.split()[0].lower()
    measured = asked.known.get("boundary")
    if asked.known.get("energy") == "net":
        return f"{measured or device}, above idle"
    if measured is None:
        return Refusal(
            "the notes do not state what the energy includes (wall, module, rail)", ENERGY
        )
    if measured != device:
        return Refusal(
            f"energy measured at the {measured}; {asked.device.name} is modelled at the {device}",
            ENERGY,
        )
    return device


def _prediction(
    asked: _Asked, quantity: str, measured: float, predicted: Interval, boundary: str = ""
) -> Prediction:
    return Prediction(
        quantity=quantity,
        measured=measured,
        predicted=_widened(predicted, doubt_of(asked.row, asked.mode_stated)),
        unit="s" if quantity == LATENCY else "J",
        device=asked.device.full_name,
        precision=asked.precision,
        boundary=boundary,
        note=_note(asked),
    )


def _widened(interval: Interval, sigma: float) -> Interval:
    """Add an independent log-normal doubt to a 90% interval: the half widths in quadrature."""
    value = interval.value
    low = math.hypot(math.log(value / interval.low), NORMAL_95 * sigma)
    high = math.hypot(math.log(interval.high / value), NORMAL_95 * sigma)
    return Interval(value, value * math.exp(-low), value * math.exp(high))


def _note(asked: _Asked) -> str:
    if "QTI" in asked.row.runtime:
        return "vendor runtime"
    return "batch not stated" if asked.known.get("latency_basis") == "throughput" else ""
