r"""Energy and time of layers on a GPU or NPU.

Per inference and layer, with MACs m, elements e, bytes moved b and launches n::

    compute = m / (R eta(kind)) + e / V         b = weights + share (read + written)
    memory  = b / B
    busy    = max(compute, memory)                                    law "per-layer" (Jetson)
    busy    = share of hypot(sum m / (R eta), sum b / B) + e / V      law "network" (Hexagon)
    t       = f (c + sum over layers [ n l + busy ])
    E       = P_overhead f (c + sum n l) + P_active f sum busy
              + sum over layers [ e_mac m + e_element e + e_byte b ]

R is the dense peak at the deployed precision, eta the share of it that a class of operator
reaches, V the rate of scalar elements, B the achieved bandwidth, l the time of a launch (or of a
graph layer), c the fixed time of a graph, f the doubt about the whole. The per-layer law is the
roofline; the network law is the four-constant fit to published Hexagon runs, where layers overlap.
Sources of all constants are in the catalog.

A spiking layer has no MACs. It is costed as a kernel that reads and writes the state of each
updated neuron and adds each synop at a scattered address: elements = updates + synops,
bytes = updates * bytes_per_update + synops * bytes_per_synop. All of that is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from hw_models.cost import SHARED, Cost, Line
from hw_models.device import Accelerator, Sourced, at_precision
from hw_models.ops import ACTIVATION_BYTES, WEIGHT_BYTES, LayerOps, OpKind, Ops, Precision
from hw_models.uncertainty import Columns, Constants, total

OVERHEADS = ("launch", "dispatch")  # terms of time that start work rather than do it
_MOVES = {OpKind.GATHER: "gather", OpKind.SCATTER: "scatter", OpKind.EMBEDDING: "embedding"}


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What one layer asks of the processor in one inference, at the deployed precision."""

    stage: str
    layer: str
    kind: OpKind
    macs: float
    elements: float
    bytes_moved: Columns
    launches: Columns
    energies: tuple[Line, ...]


def accelerator_constants(device: Accelerator, precision: Precision) -> dict[str, Sourced]:
    """Return the constants that this device's equations use at a precision, by name.

    Raises
    ------
    EstimateError
        The device has no arithmetic of that precision.
    """
    mode = device.modes[device.mode]
    what = device.full_name
    picked = {
        "active_w": mode.active_w,
        "overhead_w": mode.overhead_w,
        "mac_per_s": at_precision(mode.mac_per_s, precision, what),
        "byte_per_s": at_precision(mode.byte_per_s, precision, what),
        "element_per_s": at_precision(mode.element_per_s, precision, what),
        "launch_s": at_precision(mode.launch_s, precision, what),
        "mac_j": at_precision(device.mac_j, precision, what),
        "byte_j": device.byte_j,
        "element_j": device.element_j,
        "activation_share": device.activation_share,
        "time_factor": device.time_factor,
    }
    if mode.idle_w is not None:
        picked["idle_w"] = mode.idle_w
    if mode.dispatch_s is not None:
        picked["dispatch_s"] = at_precision(mode.dispatch_s, precision, what)
    for field in fields(device.efficiency):
        table = getattr(device.efficiency, field.name)
        picked[f"efficiency.{field.name}"] = at_precision(table, precision, what)
    for field in fields(device.spiking):
        picked[f"spiking.{field.name}"] = getattr(device.spiking, field.name)
    return picked


def ann_work(
    layer: LayerOps, ops: Ops, inferences: int, precision: Precision, c: Constants
) -> LayerWork:
    """Work of an ANN layer; byte counts are rescaled from the precision it ran in."""
    weight_scale = WEIGHT_BYTES[precision] / WEIGHT_BYTES[layer.ran_as] / inferences
    scale = ACTIVATION_BYTES[precision] / ACTIVATION_BYTES[layer.ran_as] / inferences
    activations = (ops.read_bytes + ops.write_bytes) * scale * c["activation_share"]
    moved = ops.weight_bytes * weight_scale + activations
    macs, elements = ops.macs / inferences, ops.elements / inferences
    traffic = _MOVES.get(layer.kind, "memory traffic")
    energies = (
        Line(layer.stage, layer.layer, "arithmetic", macs * c["mac_j"] + elements * c["element_j"]),
        Line(layer.stage, layer.layer, traffic, moved * c["byte_j"]),
    )
    launches = ops.launches / inferences + c.zeros()
    return LayerWork(
        layer.stage, layer.layer, layer.kind, macs, elements, moved, launches, energies
    )


def spiking_work(layer: LayerOps, ops: Ops, inferences: int, c: Constants) -> LayerWork:
    """Work of a spiking layer on a processor without spiking hardware."""
    updates = ops.neuron_updates / inferences
    synops = (ops.spikes if layer.is_input else ops.synops) / inferences
    update_bytes = updates * c["spiking.bytes_per_update"]
    synop_bytes = synops * c["spiking.bytes_per_synop"]
    updating = updates * c["element_j"] + update_bytes * c["byte_j"]
    adding = synops * c["element_j"] + synop_bytes * c["byte_j"]
    energies = (
        Line(layer.stage, layer.layer, "neuron update", updating),
        Line(layer.stage, layer.layer, "synapse", adding),
    )
    works = bool(updates or synops)
    launches = works * c["spiking.launches_per_layer"]
    moved = update_bytes + synop_bytes
    elements = updates + synops
    return LayerWork(layer.stage, layer.layer, layer.kind, 0.0, elements, moved, launches, energies)


def accelerator_cost(work: Sequence[LayerWork], law: str, c: Constants) -> Cost:
    """Energy above idle and latency of one inference under a law."""
    if not work:
        return Cost((), ())
    busy = _network_busy(work, c) if law == "network" else [_layer_busy(each, c) for each in work]
    energies: list[Line] = []
    times: list[Line] = []
    for each, busy_s in zip(work, busy, strict=True):
        launch_s = c["time_factor"] * each.launches * c["launch_s"]
        work_s = c["time_factor"] * busy_s
        energies += each.energies
        energies.append(Line(each.stage, each.layer, "active power", c["active_w"] * work_s))
        energies.append(Line(each.stage, each.layer, "launch", c["overhead_w"] * launch_s))
        times.append(Line(each.stage, each.layer, _MOVES.get(each.kind, "work"), work_s))
        times.append(Line(each.stage, each.layer, "launch", launch_s))
    if "dispatch_s" in c and any(_has_work(each) for each in work):
        dispatch_s = c["time_factor"] * c["dispatch_s"]
        energies.append(Line(SHARED, "", "dispatch", c["overhead_w"] * dispatch_s))
        times.append(Line(SHARED, "", "dispatch", dispatch_s))
    return Cost(tuple(energies), tuple(times))


def _has_work(work: LayerWork) -> bool:
    return bool(work.macs or work.elements or work.bytes_moved[0] or work.launches[0])


def _mac_s(work: LayerWork, c: Constants) -> Columns:
    if not work.macs:
        return c.zeros()
    return work.macs / (c["mac_per_s"] * c[f"efficiency.{work.kind}"])


def _layer_busy(work: LayerWork, c: Constants) -> Columns:
    compute = _mac_s(work, c) + work.elements / c["element_per_s"]
    return np.maximum(compute, work.bytes_moved / c["byte_per_s"])


def _network_busy(work: Sequence[LayerWork], c: Constants) -> list[Columns]:
    """Share the overlapped time of the network out to its layers, by their separate times."""
    compute = [_mac_s(each, c) for each in work]
    memory = [each.bytes_moved / c["byte_per_s"] for each in work]
    all_compute, all_memory = total(compute, c.zeros()), total(memory, c.zeros())
    alone = all_compute + all_memory
    overlapped = np.hypot(all_compute, all_memory)
    factor = np.divide(overlapped, alone, out=c.zeros(), where=alone > 0)
    return [
        (mac_s + byte_s) * factor + each.elements / c["element_per_s"]
        for each, mac_s, byte_s in zip(work, compute, memory, strict=True)
    ]
