"""Rows of processors -> predictions by the catalog's devices.

What a row measured decides what is predicted: its latency, and its energy twice, once with the
measured time given and once end to end, where each draw of the constants has its own time. Clocks
and idle power that the row notes replace those of the power mode. Queries run back to back, so
the total energy of one is energy above idle plus idle power times its time. Energies are
predicted at the boundary of the device, or not at all.

MLPerf's Offline scenario has no latency: many samples are in flight, on the GPU and, where the
row says so, on both DLAs (power mode ``dla`` of a Jetson). Rates add up; the time of a sample is
``1 / (1 / t_gpu + 1 / t_dla)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hw_models.accelerator import Accelerator, at_clocks, with_own_idle
from hw_models.errors import EstimateError, UnknownDeviceError, WorkloadError
from hw_models.loader import load_device
from hw_models.ops import Precision
from hw_models.sourced import Sourced
from hw_models.uncertainty import Columns
from hw_models.validate.draws import Costed, cost, interval
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
from hw_models.validate.targets import ENERGY, ENERGY_GIVEN, LATENCY, SAMPLE_TIME, VENDOR

OFFLINE_BATCH = 256
_UNTIMED = {
    "cloud-ai-100": "no law of its times holds for a network left out: energy at the measured time "
    "only"
}
"""Devices that have energies only, with the reason."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be predicted, with the device as the row describes it."""

    row: EdgeRow
    known: Facts
    device: Accelerator
    precision: Precision
    network: Network
    doubt: float

    @property
    def offline(self) -> bool:
        return self.known.get("scenario") == "Offline"

    @property
    def net(self) -> bool:
        """Whether the row's energy is above idle."""
        return self.known.get("energy") == "net"


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

    Raises
    ------
    RowsError
        The notes give no number where one is expected.
    """
    known = facts(row)
    try:
        asked = _ask(row, known)
        if isinstance(asked, Refusal):
            return (asked,)
        query = cost(asked.network.workload, asked.device, asked.precision, samples, seed)
        if asked.offline:
            return tuple(_offline(asked, query, samples, seed))
        return tuple(_timed(asked, query))
    except (EstimateError, WorkloadError) as error:
        return (Refusal(str(error)),)


def _ask(row: EdgeRow, known: Facts) -> _Asked | Refusal:
    """Read a row; the first reason against predicting it counts."""
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
    if known.get("scenario") == "Offline" and row.batch is None:
        row = replace(row, batch=OFFLINE_BATCH)
    network = network_of(row, known, precision)
    if isinstance(network, Refusal):
        return network
    device = device if mode is None else replace(device, mode=mode)
    doubt = doubt_of(row, mode_stated=mode is not None)
    return _Asked(row, known, _as_measured(device, row, known), precision, network, doubt)


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
    device = at_clocks(device, processor_hz=_hz(known, "gpu_mhz"), memory_hz=_hz(known, "emc_mhz"))
    idle_w = float(known.get("idle_w", 0))
    if idle_w:
        low, high = float(known.get("idle_w_low", idle_w)), float(known.get("idle_w_high", idle_w))
        source = row.source or "source not stated"
        device = with_own_idle(device, Sourced(idle_w, low, high, source, row.id, "measured"))
    return device


def _hz(known: Facts, name: str) -> float | None:
    """Return a clock of the notes, where 0 stands for one that is not set."""
    return float(known.get(name, 0)) * 1e6 or None


def _timed(asked: _Asked, query: Costed) -> Iterator[Prediction | Refusal]:
    """Predict a row whose queries run one after the other."""
    row = asked.row
    given_s = None if row.latency_ms is None else row.latency_ms / 1e3
    untimed = _UNTIMED.get(asked.device.name)
    if untimed:
        yield Refusal(untimed, LATENCY)
    elif given_s is not None:
        yield _prediction(asked, LATENCY, given_s, query.latency_s)
    if row.energy_mj_per_inf is not None:
        measured_j = row.energy_mj_per_inf / 1e3 * asked.network.samples
        predicted_s = None if untimed else query.latency_s
        yield from _energies(asked, query, measured_j, predicted_s, given_s)
    elif given_s is None:
        yield Refusal("neither latency nor energy was measured")


def _offline(
    asked: _Asked, query: Costed, samples: int, seed: int
) -> Iterator[Prediction | Refusal]:
    """Predict a row whose samples overlap; only their number per second was measured."""
    row, n_samples = asked.row, asked.network.samples
    untimed = _UNTIMED.get(asked.device.name)
    if row.throughput_per_s is None or not (untimed or row.device.startswith("Jetson")):
        yield Refusal("Offline: how many samples are in flight, and where, is not known")
        return
    given_s = 1 / row.throughput_per_s
    measured_j = (row.energy_mj_per_inf or 0.0) / 1e3 * n_samples
    if untimed:
        yield Refusal(untimed, SAMPLE_TIME)
        if measured_j:
            yield from _energies(asked, query, measured_j, None, given_s * n_samples)
        return
    sample_s = query.latency_s / n_samples
    if asked.known.get("engines") == "gpu+2dla" and asked.known.get("dla_mhz") != 0:
        if "dla" not in asked.device.modes:
            yield Refusal(f"Offline on GPU and DLA: the catalog has no DLA of {asked.device.name}")
            return
        beside = _dla_sample_s(asked, samples, seed)
        sample_s = 1 / (1 / sample_s + 1 / beside)
    yield _prediction(asked, SAMPLE_TIME, given_s, sample_s)
    if measured_j:
        yield from _energies(asked, query, measured_j, sample_s * n_samples, given_s * n_samples)


def _dla_sample_s(asked: _Asked, samples: int, seed: int) -> Columns:
    """Time of one sample on both DLAs together."""
    device = replace(asked.device, mode="dla")
    device = at_clocks(device, processor_hz=_hz(asked.known, "dla_mhz"))
    one = network_of(replace(asked.row, batch=1), asked.known, asked.precision)
    if isinstance(one, Refusal):
        raise EstimateError(one.reason)
    return cost(one.workload, device, asked.precision, samples, seed).latency_s


def _energies(
    asked: _Asked,
    query: Costed,
    measured_j: float,
    predicted_s: Columns | None,
    given_s: float | None,
) -> Iterator[Prediction | Refusal]:
    """Predict the energy of a query, at the measured and the predicted time if there is one."""
    boundary = _boundary(asked)
    if isinstance(boundary, Refusal):
        yield boundary
        return
    if query.idle_w is None and not asked.net:
        yield Refusal("idle power unknown: only energy above idle is predicted", ENERGY)
        return
    above = ", above idle" if asked.net else ""
    for quantity, time_s in ((ENERGY_GIVEN, given_s), (ENERGY, predicted_s)):
        if time_s is not None:
            energy_j = query.energy_j(time_s, above_idle=asked.net)
            yield _prediction(asked, quantity + above, measured_j, energy_j, boundary)


def _boundary(asked: _Asked) -> str | Refusal:
    """Return the boundary that measurement and device share."""
    device = re.split(r"\W", asked.device.boundary.lower())[0]
    measured = asked.known.get("boundary")
    if asked.net:
        return f"{measured or device}, above idle"
    if measured is None:
        return Refusal("the notes do not say what the energy includes (wall, module, rail)", ENERGY)
    if measured != device:
        return Refusal(
            f"energy measured at the {measured}; {asked.device.name} is modelled at the {device}",
            ENERGY,
        )
    return device


def _prediction(
    asked: _Asked, quantity: str, measured: float, draws: Columns, boundary: str = ""
) -> Prediction:
    return Prediction(
        quantity=quantity,
        measured=measured,
        predicted=interval(draws, asked.doubt),
        unit="J" if quantity.startswith("energy") else "s",
        device=asked.device.full_name,
        precision=asked.precision,
        boundary=boundary,
        note=_note(asked),
    )


def _note(asked: _Asked) -> str:
    if "QTI" in asked.row.runtime:
        return VENDOR
    return "batch not stated" if asked.known.get("latency_basis") == "throughput" else ""
