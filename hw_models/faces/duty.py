"""The duty cycle of a device inside an estimate: average power and battery life."""

from __future__ import annotations

from typing import Any

from hw_models.duty import DutyCycle, battery_life
from hw_models.page import Lines, Section, Table
from hw_models.uncertainty import Interval
from hw_models.units import format_quantity


def duty_sections(duty: DutyCycle, battery_wh: float | None) -> tuple[Section, ...]:
    """Return what faces show of a duty cycle.

    Raises
    ------
    EstimateError
        The capacity is not positive.
    """
    rows = [
        ("average power", format_quantity(duty.power_w, "W")),
        ("if it never slept", format_quantity(duty.idling_w, "W")),
        ("energy per inference", format_quantity(duty.energy_j, "J")),
    ]
    if battery_wh is not None:
        life = battery_life(duty.power_w, battery_wh)
        rows.append((f"battery of {battery_wh:g} Wh lasts", _hours(life)))
    rows += [
        (
            f"{each.device}",
            f"busy {each.busy_share.value:.2%}, {format_quantity(each.power_w, 'W')}, "
            f"{'sleeps' if each.sleeps else 'idles'} between inferences",
        )
        for each in duty.parts
    ]
    header = (f"duty cycle at {duty.rate_hz:g} Hz", "5-95%")
    table = Table(header, tuple(rows))
    return (table, Lines("Duty cycle", duty.notes)) if duty.notes else (table,)


def duty_record(duty: DutyCycle, battery_wh: float | None) -> dict[str, Any]:
    """Return plain values, battery life in hours."""
    life = None if battery_wh is None else battery_life(duty.power_w, battery_wh).scaled(1.0)
    return {**duty.to_dict(), "battery_wh": battery_wh, "battery_h": life}


def _hours(life: Interval) -> str:
    return f"{life.value:.3g} h ({life.low:.3g} to {life.high:.3g})"
