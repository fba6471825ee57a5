r"""Energy and time of layers on a GPU or NPU.

Per inference and layer of kind k, with MACs m, elements e, bytes moved b and launches n::

    compute = m / (R eta_k)       memory = b / (B beta_k)      b = weights + share_k activations
    busy    = max(compute + e / V_k, memory)              law "per-layer" (TensorRT on Jetson)
    busy    = hypot(sum compute, sum memory), shared out, + e / V_k
                                                          law "network" (Hexagon), and one layer
                                                          that stands for a whole network
    t       = f_k a^u [ c + n l_k + busy ]
    E       = g a^u [ m e_mac,k + e e_element,k + b e_byte,k ]
              + P_overhead (share of t in c + n l_k) + P_active (share of t in busy)

R is the dense peak of the power mode at the deployed precision, eta the share of it that a kind of
layer reaches, B the bandwidth and beta the share of it, V the rate of scalar elements, l the time
of a launch (or of a graph layer), c the fixed time of a graph, f the doubt about the time as a
whole, g about the energy, and a the doubt for each of the u counts that are assumed. The first law
is the roofline; the second is a fit to published runs, where layers overlap. Sources of all
constants are in the catalog.

A spiking layer has no MACs. It is costed as a kernel that reads and writes the state of each
updated neuron and adds each synop at a scattered address: elements = updates + synops,
bytes = updates * bytes_per_update + synops * bytes_per_synop. All of that is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from hw_models.accelerator import Accelerator, KindConstants
from hw_models.cost import Cost
from hw_models.errors import EstimateError
from hw_models.ops import MAC_KINDS, NETWORK_KINDS, OpKind, Precision
from hw_models.sourced import Sourced, at_precision
from hw_models.table import LayerTable
from hw_models.uncertainty import Columns, Constants

OVERHEADS = ("launch", "dispatch")  # terms of time that start work rather than do it
_PER_PRECISION = ("mac_per_s", "byte_per_s", "element_per_s", "launch_s", "dispatch_s")


def accelerator_constants(
    device: Accelerator, precision: Precision, kinds: Iterable[OpKind]
) -> dict[str, Sourced]:
    """Return the constants that this device's equations use for these kinds, by name.

    Raises
    ------
    EstimateError
        The device has no arithmetic of that precision, or no constants for a kind with MACs.
    """
    mode = device.modes[device.mode]
    what = device.full_name
    picked = {"active_w": mode.active_w, "overhead_w": mode.overhead_w}
    for name in _PER_PRECISION:
        table = getattr(mode, name)
        if table is not None:
            picked[name] = at_precision(table, precision, f"{what}: {name}")
    picked["mac_j"] = at_precision(device.mac_j, precision, f"{what}: mac_j")
    for name in ("byte_j", "element_j", "activation_share", "time_factor", "assumed_factor"):
        picked[name] = getattr(device, name)
    if device.energy_factor is not None:
        picked["energy_factor"] = device.energy_factor
    if mode.idle_w is not None:
        picked["idle_w"] = mode.idle_w
    for field in fields(device.spiking):
        picked[f"spiking.{field.name}"] = getattr(device.spiking, field.name)
    for kind in kinds:
        picked |= _kind_constants(device, kind, precision)
    return picked


def _kind_constants(device: Accelerator, kind: OpKind, precision: Precision) -> dict[str, Sourced]:
    own = device.kinds.get(kind)
    if own is None:
        if kind in MAC_KINDS:
            raise EstimateError(
                f"{device.full_name}: no constants for layers of kind {kind}; "
                f"it knows {', '.join(sorted(device.kinds))}"
            )
        return {}
    picked = {}
    for field in fields(KindConstants):
        value = getattr(own, field.name)
        if isinstance(value, Mapping):
            what = f"{device.full_name}: kinds.{kind}.{field.name}"
            value = at_precision(value, precision, what)
        if value is not None:
            picked[f"kinds.{kind}.{field.name}"] = value
    return picked


@dataclass(frozen=True, slots=True)
class _Work:
    """What the layers ask of the processor, shape (n_layers, n_columns) or (n_layers, 1)."""

    compute_s: Columns
    element_s: Columns
    memory_s: Columns
    launch_s: Columns
    elements: Columns
    n_bytes: Columns


class _ByKind:
    """Constants of the kinds in a table, gathered to one row per layer."""

    def __init__(self, table: LayerTable, c: Constants) -> None:
        self.kinds, self.index = table.kinds()
        self.c = c

    def __call__(self, field: str, default: str | float) -> Columns:
        """Return the kind's own constant, else the device's of that name, else the number."""
        rows = []
        for kind in self.kinds:
            name = f"kinds.{kind}.{field}"
            if name in self.c:
                rows.append(self.c[name])
            elif isinstance(default, str):
                rows.append(self.c[default])
            else:
                rows.append(np.full(self.c.n_columns, default))
        if len(rows) == 1:
            return rows[0][np.newaxis]
        gathered: Columns = np.stack(rows)[self.index]
        return gathered

    def are(self, kinds: tuple[OpKind, ...]) -> Columns:
        """Return 1 where a layer is of one of the kinds, else 0, shape (n_layers, 1)."""
        flags = np.array([float(kind in kinds) for kind in self.kinds])
        return flags[self.index][:, np.newaxis]


def _work(table: LayerTable, of: _ByKind, c: Constants) -> _Work:
    spiking = of.are((OpKind.SPIKING,))
    synops = np.where(table.is_input, table.spikes, table.synops)
    elements = table.elements + table.neuron_updates + synops
    n_bytes = table.weight_bytes + table.activation_bytes * of(
        "activation_share", "activation_share"
    )
    launches = table.launches * of("launch_share", 1.0)
    if spiking.any():
        n_bytes = n_bytes + table.neuron_updates * c["spiking.bytes_per_update"]
        n_bytes = n_bytes + synops * c["spiking.bytes_per_synop"]
        launches = launches + spiking * c["spiking.launches_per_layer"]
    return _Work(
        compute_s=table.macs / (c["mac_per_s"] * of("efficiency", 1.0)),
        element_s=elements / of("element_per_s", "element_per_s"),
        memory_s=n_bytes / (c["byte_per_s"] * of("byte_efficiency", 1.0)),
        launch_s=launches * c["launch_s"],
        elements=elements,
        n_bytes=n_bytes,
    )


def accelerator_cost(
    table: LayerTable, law: str, c: Constants, latency_s: float | None = None
) -> Cost:
    """Energy above idle and latency of one inference under a law.

    Parameters
    ----------
    table
        The layers, bytes at the deployed precision.
    law
        ``per-layer`` or ``network``.
    c
        Constants by the names of :func:`accelerator_constants`.
    latency_s
        A measured latency; all times are stretched to it.
    """
    if not table.layers:
        return Cost(table, {}, {}, {}, {})
    of = _ByKind(table, c)
    work = _work(table, of, c)
    networks = of.are(NETWORK_KINDS)
    doubt = c["assumed_factor"] ** table.n_assumed
    factor = of("time_factor", "time_factor") * doubt
    times = {
        "work": factor * _busy_s(work, networks, law, table),
        "launch": factor * work.launch_s,
    }
    shared = {}
    if "dispatch_s" in c:
        shared["dispatch"] = c["time_factor"] * c["dispatch_s"] * _graphs(table, of, work)
    if latency_s is not None:
        cost = Cost(table, {}, times, {}, shared)
        stretch = latency_s / cost.time_s(c.n_columns)
        times = {term: amount * stretch[table.run] for term, amount in times.items()}
        shared = {term: amount * stretch for term, amount in shared.items()}
    trust = doubt * c["energy_factor"] if "energy_factor" in c else doubt
    arithmetic = table.macs * of("mac_j", "mac_j") + work.elements * of("element_j", "element_j")
    energies = {
        "arithmetic": trust * arithmetic,
        "memory traffic": trust * work.n_bytes * of("byte_j", "byte_j"),
        "active power": c["active_w"] * times["work"],
        "launch": c["overhead_w"] * times["launch"],
    }
    shared_energies = {term: c["overhead_w"] * amount for term, amount in shared.items()}
    return Cost(table, energies, times, shared_energies, shared)


def _busy_s(work: _Work, networks: Columns, law: str, table: LayerTable) -> Columns:
    overlapped = np.hypot(work.compute_s, work.memory_s) + work.element_s
    if law == "per-layer":
        layered = np.maximum(work.compute_s + work.element_s, work.memory_s)
    else:
        compute_s, memory_s = (1 - networks) * work.compute_s, (1 - networks) * work.memory_s
        together = np.hypot(table.sum_by_run(compute_s), table.sum_by_run(memory_s))
        alone = compute_s + memory_s
        total = table.sum_by_run(alone)
        share = np.divide(together, total, out=np.zeros_like(total), where=total > 0)
        layered = alone * share[table.run] + work.element_s
    busy: Columns = np.where(networks > 0, overlapped, layered)
    return busy


def _graphs(table: LayerTable, of: _ByKind, work: _Work) -> Columns:
    """Count graphs started: each network that is not decoding, and one for all other layers."""
    networks, decoding = of.are(NETWORK_KINDS), of.are((OpKind.DECODE,))
    work_s = work.compute_s + work.element_s + work.memory_s + work.launch_s
    other = (1 - networks) * (work_s > 0).any(axis=1, keepdims=True)
    graphs: Columns = table.sum_by_run(networks - decoding) + np.minimum(table.sum_by_run(other), 1)
    return graphs


def launch_share(cost: Cost, n_columns: int) -> float:
    """Return the share of the first run's time that starts work rather than doing it."""
    total = float(cost.time_s(n_columns)[0, 0])
    starts = sum(
        float(amounts[..., 0].sum())
        for terms in (cost.times, cost.shared_times)
        for term, amounts in terms.items()
        if term in OVERHEADS
    )
    return starts / total if total else 0.0
