"""Layers on the roofline of a processor: MACs per byte against MACs per second reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hw_models.device import Device
from hw_models.errors import EstimateError
from hw_models.loader import load_device
from hw_models.ops import OpKind, Precision
from hw_models.plan import make_plan
from hw_models.roofline import accelerator_cost, work_of
from hw_models.table import table_of
from hw_models.workload import Workload

Bound = Literal["compute", "memory", "launch"]
BOUNDS: tuple[Bound, ...] = ("compute", "memory", "launch")


@dataclass(frozen=True, slots=True)
class LayerPoint:
    """A layer with MACs: intensity [MAC/B], rate reached [MAC/s], time [s], what takes longest."""

    stage: str
    layer: str
    kind: OpKind
    mac_per_byte: float
    mac_per_s: float
    time_s: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class LayerRoofline:
    """A processor's ceilings, and where the layers of a workload stand below them.

    Parameters
    ----------
    workload_name, device, precision
        What was costed where, and at which precision.
    peak_mac_per_s, byte_per_s
        Dense peak of the power mode, and the memory bandwidth.
    points
        Layers with MACs that move bytes.
    other_layers, other_s
        Number and time of layers that have no place here: without MACs, or without bytes.
    """

    workload_name: str
    device: str
    precision: Precision
    peak_mac_per_s: float
    byte_per_s: float
    points: tuple[LayerPoint, ...]
    other_layers: int
    other_s: float

    @property
    def ridge_mac_per_byte(self) -> float:
        """Intensity from which the peak, and not the bandwidth, is the ceiling."""
        return self.peak_mac_per_s / self.byte_per_s


def layer_roofline(
    workload: Workload,
    device: str | Path | Device,
    *,
    deploy_as: Precision | None = None,
    processor: int = -1,
) -> LayerRoofline:
    """Place the layers of a workload under the ceilings of a processor, at nominal constants.

    The rate reached is MACs over the whole time of the layer, launches included, so that a point
    lies below the ceilings by what efficiency, scalar elements and launches cost.

    Parameters
    ----------
    workload, device, deploy_as
        As for :func:`hw_models.estimate`.
    processor
        Which one of a system of several, by its place among the processors; the last by default.

    Raises
    ------
    UnknownDeviceError
        No such device, mode or system.
    EstimateError
        The device has no such processor, or lacks the precision or a kind of layer.
    """
    target = load_device(device) if isinstance(device, str | Path) else device
    plan = make_plan([workload], target, deploy_as, None, seed=0)
    if not plan.processors:
        raise EstimateError(f"{target.full_name}: a roofline needs a processor (GPU or NPU)")
    if not -len(plan.processors) <= processor < len(plan.processors):
        raise EstimateError(
            f"{target.full_name} has {len(plan.processors)} processors, got processor={processor}"
        )
    part = plan.processors[processor]
    which: Literal["padded", "executed"] = "padded" if part.device.static_shapes else "executed"
    table = table_of(part.layers, [workload.inferences], which, part.precision)
    points = []
    other_s = 0.0
    if table.layers:
        work = work_of(table, part.device, part.c)
        cost = accelerator_cost(table, part.device, part.c)
        times_s = np.sum([amount[:, 0] for amount in cost.times.values()], axis=0)
        for i, layer in enumerate(table.layers):
            macs, n_bytes = float(table.macs[i, 0]), float(work.n_bytes[i, 0])
            time_s = float(times_s[i])
            if not (macs and n_bytes):
                other_s += time_s
                continue
            asked_s = [
                float(amount[i, 0]) for amount in (work.compute_s, work.memory_s, work.launch_s)
            ]
            bound = BOUNDS[asked_s.index(max(asked_s))]
            points.append(
                LayerPoint(*layer.key, layer.kind, macs / n_bytes, macs / time_s, time_s, bound)
            )
    return LayerRoofline(
        workload_name=workload.name,
        device=part.device.full_name,
        precision=part.precision,
        peak_mac_per_s=float(part.c["mac_per_s"][0]),
        byte_per_s=float(part.c["byte_per_s"][0]),
        points=tuple(points),
        other_layers=len(table.layers) - len(points),
        other_s=other_s,
    )
