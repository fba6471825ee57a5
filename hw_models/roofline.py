r"""Energy and time of layers on a GPU or NPU.

Per inference and layer of kind k, with MACs m, elements e, bytes moved b and launches n::

    compute = m / (R eta_k) + e / (V v_k)
    memory  = b / (B beta_k)                     b = weights + share_k (read + written activations)
    busy    = max(compute, memory)               layer by layer; all of them together under the law
                                                 "network", where layers overlap (Hexagon)
    t       = f a^u [ c + n l + busy ]
    E       = s g a^u [ m e_mac + e e_element + b e_byte ]
              + h (P_overhead (share of t in c + n l) + P_active (share of t in busy))

A layer that stands for a whole network (kinds ``cnn`` to ``decode``) is a graph of its own: it has
its own c, f_k and l_k, its compute and memory times add up, combine as a root of squares or
overlap (``combine``), its launches may be typical of the kind instead of counted, and its MACs may
count with an exponent.

R is the dense peak of the power mode at the deployed precision, eta the share of it that a kind of
layer reaches, B the bandwidth and beta the share of it, V the rate of scalar elements, l the time
of a launch (or of a graph layer), c the fixed time of a graph, f the doubt about the time as a
whole, g about the energy, s the energy scale of the mode, h the share of the powers that the
other energies of a kind do not contain already, and a the doubt for each of the u counts that are
assumed. Layer by layer it is the roofline (Williams, Waterman, Patterson 2009); constants and forms
for whole networks are fitted to published runs. Sources are in the catalog.

A spiking layer has no MACs. It is costed as a kernel that reads and writes the state of each
updated neuron and adds each synop at a scattered address: elements = updates + synops,
bytes = updates * bytes_per_update + synops * bytes_per_synop. All of that is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from hw_models.accelerator import Accelerator, Combine, KindConstants
from hw_models.cost import Cost
from hw_models.errors import EstimateError
from hw_models.ops import MAC_KINDS, NETWORK_KINDS, LayerOps, OpKind, Precision
from hw_models.sourced import Sourced, at_precision
from hw_models.table import Flags, LayerTable
from hw_models.uncertainty import Columns, Constants

OVERHEADS = ("launch", "dispatch")  # terms of time that start work rather than do it
_PER_PRECISION = ("mac_per_s", "byte_per_s", "element_per_s", "launch_s", "dispatch_s")


def accelerator_constants(
    device: Accelerator, precision: Precision, layers: Iterable[LayerOps]
) -> dict[str, Sourced]:
    """Return the constants that this device's equations use for these layers, by name.

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
    for name in ("byte_j", "element_j", "activation_share", "time_factor"):
        picked[name] = getattr(device, name)
    optional = {
        "energy_factor": device.energy_factor,
        "energy_scale": mode.energy_scale,
        "idle_w": mode.idle_w,
        "sleep_w": mode.sleep_w,
        "wake_s": mode.wake_s,
    }
    picked |= {name: number for name, number in optional.items() if number is not None}
    for field in fields(device.spiking):
        picked[f"spiking.{field.name}"] = getattr(device.spiking, field.name)
    kinds: set[OpKind] = set()
    assumed: set[str] = set()
    for layer in layers:
        kinds.add(layer.kind)
        assumed.update(layer.assumed)
    for kind in sorted(kinds):
        picked |= _kind_constants(device, kind, precision)
    factors = device.assumed_factor
    for name in sorted(assumed):
        picked[f"assumed_factor.{name}"] = factors.get(name, factors["any"])
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
        if isinstance(value, Sourced):
            picked[f"kinds.{kind}.{field.name}"] = value
    return picked


class _ByKind:
    """Constants of the kinds in a table, gathered to one row per layer."""

    def __init__(self, table: LayerTable, device: Accelerator, c: Constants) -> None:
        self.kinds, self.index = table.kinds()
        self.device = device
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

    def are(self, kinds: tuple[OpKind, ...]) -> Flags:
        """Return whether a layer is of one of the kinds, shape (n_layers, 1)."""
        return self._flags([kind in kinds for kind in self.kinds])

    def combine(self, how: Combine) -> Flags:
        """Return whether a layer is a network whose times combine so, shape (n_layers, 1)."""
        known = self.device.kinds
        return self._flags([kind in known and known[kind].combine == how for kind in self.kinds])

    def element_time(self) -> Flags:
        """Return whether elements of a layer take time of their own, shape (n_layers, 1)."""
        known = self.device.kinds
        return self._flags([kind not in known or known[kind].element_time for kind in self.kinds])

    def _flags(self, of_kind: list[bool]) -> Flags:
        flags: Flags = np.array(of_kind)[self.index][:, np.newaxis]
        return flags


@dataclass(frozen=True, slots=True)
class Work:
    """What the layers ask of the processor, shape (n_layers, n_columns) or (n_layers, 1)."""

    compute_s: Columns
    memory_s: Columns
    launch_s: Columns
    elements: Columns
    n_bytes: Columns


def _work(table: LayerTable, of: _ByKind, c: Constants) -> Work:
    synops = np.where(table.is_input, table.spikes, table.synops)
    elements = table.elements + table.neuron_updates + synops
    activations = table.activation_bytes * of("activation_share", "activation_share")
    n_bytes = table.weight_bytes + activations
    launches = table.launches * of("launch_share", 1.0)
    if any("graph_layers" in name for name in c.columns):
        typical = of("graph_layers", 0.0)
        launches = np.where(typical > 0, typical, launches)
    spiking = of.are((OpKind.SPIKING,))
    if spiking.any():
        n_bytes = n_bytes + table.neuron_updates * c["spiking.bytes_per_update"]
        n_bytes = n_bytes + synops * c["spiking.bytes_per_synop"]
        launches = launches + spiking * c["spiking.launches_per_layer"]
    macs: Columns = table.macs
    if any("mac_exponent" in name for name in c.columns):
        macs = 1e9 * (table.macs / 1e9) ** of("mac_exponent", 1.0)
    mac_s = macs / (c["mac_per_s"] * of("efficiency", 1.0))
    element_s = elements / (c["element_per_s"] * of("element_share", 1.0))
    return Work(
        compute_s=mac_s + of.element_time() * element_s,
        memory_s=n_bytes / (c["byte_per_s"] * of("byte_efficiency", 1.0)),
        launch_s=launches * c["launch_s"],
        elements=elements,
        n_bytes=n_bytes,
    )


def work_of(table: LayerTable, device: Accelerator, c: Constants) -> Work:
    """Return what layers ask of a processor before times are combined."""
    return _work(table, _ByKind(table, device, c), c)


def accelerator_cost(
    table: LayerTable, device: Accelerator, c: Constants, latency_s: float | None = None
) -> Cost:
    """Energy above idle and latency of one inference.

    Parameters
    ----------
    table
        The layers, bytes at the deployed precision.
    device
        The processor; its law and how its networks combine are taken, numbers come from ``c``.
    c
        Constants by the names of :func:`accelerator_constants`.
    latency_s
        A measured latency; all times are stretched to it.
    """
    if not table.layers:
        return Cost(table, {}, {}, {}, {})
    of = _ByKind(table, device, c)
    work = _work(table, of, c)
    doubt = _doubt(table, c)
    times, shared = _times(table, of, work, c, doubt)
    if latency_s is not None:
        predicted_s = Cost(table, {}, times, {}, shared).time_s(c.n_columns)
        if not predicted_s.all():
            raise EstimateError("latency_s: no layer takes any time that could be stretched to it")
        stretch = latency_s / predicted_s
        times = {term: amount * stretch[table.run] for term, amount in times.items()}
        shared = {term: amount * stretch for term, amount in shared.items()}
    for name in ("energy_factor", "energy_scale"):
        doubt = doubt * c[name] if name in c else doubt
    arithmetic = table.macs * of("mac_j", "mac_j") + work.elements * of("element_j", "element_j")
    share = of("active_share", 1.0)
    starts = {
        term: c["overhead_w"] * share * amount for term, amount in times.items() if term != "work"
    }
    energies = {
        "arithmetic": doubt * arithmetic,
        "memory traffic": doubt * work.n_bytes * of("byte_j", "byte_j"),
        "active power": c["active_w"] * share * times["work"],
        **starts,
    }
    shared_energies = {term: c["overhead_w"] * amount for term, amount in shared.items()}
    return Cost(table, energies, times, shared_energies, shared)


def _doubt(table: LayerTable, c: Constants) -> Columns:
    """Product of the factors of what is assumed about each layer."""
    doubt = np.ones((1, 1))
    for name, flags in table.assumed.items():
        doubt = doubt * np.where(flags, c[f"assumed_factor.{name}"], 1.0)
    return doubt


def _times(
    table: LayerTable, of: _ByKind, work: Work, c: Constants, doubt: Columns
) -> tuple[dict[str, Columns], dict[str, Columns]]:
    """Times of layers by term, and times of each run as a whole."""
    factor = of("time_factor", "time_factor") * doubt
    networks = of.are(NETWORK_KINDS)
    times = {
        "work": factor * np.where(networks, _graph_s(of, work), _layer_s(table, of, work)),
        "launch": factor * work.launch_s,
    }
    if "dispatch_s" not in c:
        return times, {}
    if networks.any():
        graphs = networks & ~of.are((OpKind.DECODE,))
        times["dispatch"] = factor * graphs * c["dispatch_s"]
    work_s = work.compute_s + work.memory_s + work.launch_s
    others = ~networks & (work_s > 0).any(axis=1, keepdims=True)
    started = np.minimum(table.sum_by_run(others.astype(np.float64)), 1)
    return times, {"dispatch": started * c["time_factor"] * c["dispatch_s"]}


def _graph_s(of: _ByKind, work: Work) -> Columns:
    """Busy time of layers that stand for whole networks."""
    busy = np.hypot(work.compute_s, work.memory_s)
    busy = np.where(of.combine("sum"), work.compute_s + work.memory_s, busy)
    longer: Columns = np.where(of.combine("max"), np.maximum(work.compute_s, work.memory_s), busy)
    return longer


def _layer_s(table: LayerTable, of: _ByKind, work: Work) -> Columns:
    """Busy time of single layers; where layers overlap, each has its share of the whole."""
    if of.device.law == "per-layer":
        alone: Columns = np.maximum(work.compute_s, work.memory_s)
        return alone
    single = ~of.are(NETWORK_KINDS)
    compute_s, memory_s = single * work.compute_s, single * work.memory_s
    together = np.maximum(table.sum_by_run(compute_s), table.sum_by_run(memory_s))
    apart = table.sum_by_run(compute_s + memory_s)
    share = np.divide(together, apart, out=np.zeros_like(apart), where=apart > 0)
    shared: Columns = (compute_s + memory_s) * share[table.run]
    return shared


def launch_share(costs: Sequence[Cost], n_columns: int) -> float:
    """Return the share of the first run's time that starts work rather than doing it."""
    total = sum(float(cost.time_s(n_columns)[0, 0]) for cost in costs)
    starts = sum(
        float(amounts[..., 0].sum())
        for cost in costs
        for terms in (cost.times, cost.shared_times)
        for term, amounts in terms.items()
        if term in OVERHEADS
    )
    return starts / total if total else 0.0
