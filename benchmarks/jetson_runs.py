"""Published runs of Jetsons as counts and rates, and the laws of whole networks on them.

The same equations as in ``hw_models.roofline``, in the terms that ``calibrate_jetson`` fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hw_models import Accelerator, load_device
from hw_models.accelerator import at_clocks
from hw_models.ops import WEIGHT_BYTES, OpKind, Ops, Precision
from hw_models.sourced import Sourced, at_precision
from hw_models.validate.facts import Facts, facts
from hw_models.validate.question import Network, device_of, mode_of, network_of, precision_of
from hw_models.validate.rows import EdgeRow

AMPERE = ("jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin")
VOLTA = ("jetson-agx-xavier", "jetson-xavier-nx")
OFFLINE_BATCH = 256
_RATES = ("mac_per_s", "byte_per_s", "element_per_s", "launch_s")


@dataclass(frozen=True, slots=True)
class Run:
    """One measured query: counts, the rates of the mode and clocks it ran at, its time."""

    row: EdgeRow
    device: str
    mode: str
    kind: OpKind
    precision: Precision
    ops: Ops
    samples: int
    mac_per_s: float
    byte_per_s: float
    element_per_s: float
    launch_s: float
    time_s: float

    @property
    def known(self) -> Facts:
        """What the notes of the row say."""
        return facts(self.row)

    @property
    def weight_bytes(self) -> float:
        """Bytes of weights that a query reads."""
        return self.ops.weight_bytes * WEIGHT_BYTES[self.precision]

    @property
    def energy_j(self) -> float:
        """Measured energy of the query; NaN where none was measured."""
        return (self.row.energy_mj_per_inf or math.nan) * 1e-3 * self.samples


def processor(name: str) -> Accelerator:
    """Return a catalogued processor."""
    device = load_device(name)
    if not isinstance(device, Accelerator):
        raise TypeError(f"{name} is no processor")
    return device


def known(number: Sourced | None) -> float:
    """Return a number that the file of a Jetson must hold."""
    if number is None:
        raise ValueError("the catalog lacks a number that the fits start from")
    return number.value


def run_of(row: EdgeRow) -> Run | None:
    """Return what a row measured, or nothing where it is no Jetson's or lacks a number."""
    name, precision = device_of(row), precision_of(row)
    if name not in (*AMPERE, *VOLTA) or not isinstance(precision, str):
        return None
    notes = facts(row)
    if notes.get("scenario") == "Offline" and row.batch is None:
        row = replace(row, batch=OFFLINE_BATCH)
    device = processor(name)
    network, mode = network_of(row, notes, precision), mode_of(row, device.modes)
    if not isinstance(network, Network) or not isinstance(mode, str):
        return None
    device = at_clocks(
        replace(device, mode=mode),
        processor_hz=float(notes.get("gpu_mhz", 0)) * 1e6 or None,
        memory_hz=float(notes.get("emc_mhz", 0)) * 1e6 or None,
    )
    held = device.modes[mode]
    rates = {table: at_precision(getattr(held, table), precision, table).value for table in _RATES}
    if row.latency_ms is not None:
        time_s = row.latency_ms * 1e-3
    else:
        time_s = network.samples / (row.throughput_per_s or math.nan)
    layer = network.workload.layers[0]
    return Run(
        row=row,
        device=name,
        mode=mode,
        kind=layer.kind,
        precision=precision,
        ops=layer.executed,
        samples=network.samples,
        time_s=time_s,
        **rates,
    )


def network_runs(rows: Sequence[EdgeRow], devices: Sequence[str]) -> list[Run]:
    """Return the TensorRT runs of convolutional networks on some devices."""
    classes = ("cnn", "dw-cnn")
    runs = [run_of(row) for row in rows if row.op_class in classes and "TensorRT" in row.runtime]
    return [run for run in runs if run is not None and run.device in devices]


def shares(run: Run, q: Mapping[str, float]) -> tuple[float, float, float]:
    """Launch share, efficiency and element share of a network."""
    kind = "depthwise" if run.kind == OpKind.DW_CNN else "plain"
    eta = q["eta.fp32"] if run.precision == "fp32" else q["eta"]
    eta = q["eta.grouped"] if run.kind == OpKind.GROUPED_CNN else eta
    return q[f"launch.{run.precision}"], eta, q[f"{kind}.{run.precision}"]


def law_s(run: Run, q: Mapping[str, float]) -> float:
    """Time of one query by the law."""
    launch, eta, element = shares(run, q)
    fixed_s = run.ops.launches * launch * run.launch_s + run.weight_bytes / run.byte_per_s
    compute_s = run.ops.macs / (run.mac_per_s * eta)
    return fixed_s + compute_s + run.ops.elements / (run.element_per_s * element)


def law_j(run: Run, q: Mapping[str, float]) -> float:
    """Energy of one query by the law, at the measured time and the board's own idle power."""
    device = processor(run.device)
    own_w = float(run.known["idle_w"])
    beta = 0.0 if device.idle_exponent is None else device.idle_exponent.value
    scale = (own_w / known(device.modes[run.mode].idle_w)) ** beta
    work_j = q["mac_j"] * run.ops.macs + q["element_j"] * run.ops.elements
    return own_w * run.time_s + scale * (q["active_w"] * run.time_s + work_j)
