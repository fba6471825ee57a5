"""Which layer runs on which part of a device, at which precision, with which constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, pairwise

from hw_models import neuromorphic, roofline
from hw_models.accelerator import Accelerator, PowerMode
from hw_models.chip import NeuromorphicChip
from hw_models.device import Device, Link, Placed, System
from hw_models.errors import EstimateError
from hw_models.mapping import Mapping, map_layers
from hw_models.ops import ACTIVATION_BYTES, PRECISIONS, STAGES, LayerOps, Precision
from hw_models.report import NotCovered
from hw_models.sourced import Sourced
from hw_models.uncertainty import Columns, Constants, nominal, sample
from hw_models.workload import Workload

_OF_THE_MODE = frozenset(field.name for field in fields(PowerMode))


@dataclass(frozen=True, slots=True)
class ChipPart:
    """A neuromorphic chip with its layers and where they went, run by run.

    ``c`` holds the chip's constants without prefix.
    """

    device: NeuromorphicChip
    layers: tuple[tuple[LayerOps, ...], ...]
    mappings: tuple[Mapping, ...]
    c: Constants

    def idle_w(self) -> Columns | None:
        """Power while nothing runs, shape (n_runs, n_columns)."""
        return neuromorphic.idle_w(self.mappings, self.c)

    def sends(self, layer: LayerOps) -> Sent:
        """Return what leaves the part when this layer is its last one.

        A sigma-delta layer sends the bytes that it writes, as it ran.
        """
        return Sent(layer, 1.0)


@dataclass(frozen=True, slots=True)
class AcceleratorPart:
    """A processor with its layers, run by run, costed at ``precision``."""

    device: Accelerator
    layers: tuple[tuple[LayerOps, ...], ...]
    precision: Precision
    c: Constants

    def idle_w(self) -> Columns | None:
        """Power while nothing runs, shape (1, n_columns); ``None`` where it is unknown."""
        return self.c["idle_w"].reshape(1, -1) if "idle_w" in self.c else None

    def sends(self, layer: LayerOps) -> Sent:
        """Return what leaves the part when this layer is its last one."""
        if layer.is_spiking:
            return Sent(layer, 1.0)
        return Sent(layer, ACTIVATION_BYTES[self.precision] / ACTIVATION_BYTES[layer.ran_as])


@dataclass(frozen=True, slots=True)
class Sent:
    """A layer whose spikes or written bytes cross a link; ``scale`` is for the bytes."""

    layer: LayerOps
    scale: float


@dataclass(frozen=True, slots=True)
class LinkPart:
    """A link between two neighbours, and what crosses it, run by run."""

    device: Link
    sent: tuple[tuple[Sent, ...], ...]
    c: Constants


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs where; ``constants`` holds all of them, prefixed with the part's name.

    Parameters
    ----------
    workloads
        The runs.
    parts
        In the order the signal passes them.
    links
        Link ``i`` leads from part ``i`` to the next.
    not_covered
        Stages of the first run that run nowhere, with the reason.
    """

    workloads: tuple[Workload, ...]
    parts: tuple[ChipPart | AcceleratorPart, ...]
    links: tuple[LinkPart, ...]
    constants: Constants
    not_covered: tuple[NotCovered, ...]

    @property
    def covers(self) -> tuple[str, ...]:
        """Stages of the first run that run on some part."""
        left = {each.stage for each in self.not_covered}
        return tuple(stage for stage in self.workloads[0].stages if stage not in left)

    @property
    def chips(self) -> tuple[ChipPart, ...]:
        """The neuromorphic chips, in order."""
        return tuple(part for part in self.parts if isinstance(part, ChipPart))

    @property
    def processors(self) -> tuple[AcceleratorPart, ...]:
        """The processors, in order."""
        return tuple(part for part in self.parts if isinstance(part, AcceleratorPart))

    def idle_w(self) -> Columns | None:
        """Idle power of all parts, shape (n_runs, n_columns); ``None`` where one is unknown."""
        idle: Columns | None = None
        for part in self.parts:
            own = part.idle_w()
            if own is None:
                return None
            idle = own if idle is None else idle + own
        return idle


def make_plan(
    workloads: Sequence[Workload],
    target: Device,
    deploy_as: Precision | None,
    samples: int | None,
    seed: int,
) -> Plan:
    """Assign the layers and sample the constants (``samples`` None: nominal values only).

    Raises
    ------
    EstimateError
        A processor lacks the precision or a kind of layer, the workloads name different
        precisions, or the sampling parameters are out of range.
    """
    placed = target.parts if isinstance(target, System) else (Placed(target, STAGES),)
    links = target.links if isinstance(target, System) else ()
    names = _numbered([part.device.full_name for part in placed])
    link_names = _numbered([link.name for link in links])
    assigned = []
    sourced: dict[str, Sourced] = {}
    left: dict[str, NotCovered] = {}
    for name, part in zip(names, placed, strict=True):
        layers = tuple(_layers_on(workload, part) for workload in workloads)
        if isinstance(part.device, NeuromorphicChip):
            split = [neuromorphic.take(each, part.device) for each in layers]
            left |= {each.stage: each for each in split[0][1]}
            layers = tuple(taken for taken, _ in split)
            constants = neuromorphic.chip_constants(part.device)
            precision: Precision = "fp32"
        else:
            precision = _precision(workloads, part.device, deploy_as)
            every = chain.from_iterable(layers)
            constants = roofline.accelerator_constants(part.device, precision, every)
        assigned.append((part.device, layers, precision, name))
        sourced |= _named(name, part.device, constants)
    for name, link in zip(link_names, links, strict=True):
        sourced |= _named(name, link, _link_constants(link))
    drawn = nominal(sourced) if samples is None else sample(sourced, samples, seed)
    inferences = [workload.inferences for workload in workloads]
    parts = tuple(
        _part(device, layers, at, drawn.under(name), inferences)
        for device, layers, at, name in assigned
    )
    sent = [_crossings(run, parts) for run in range(len(workloads))] if links else []
    return Plan(
        workloads=tuple(workloads),
        parts=parts,
        links=tuple(
            LinkPart(link, tuple(each[index] for each in sent), drawn.under(name))
            for index, (name, link) in enumerate(zip(link_names, links, strict=True))
        ),
        constants=drawn,
        not_covered=_not_covered(workloads[0], placed, left),
    )


def _layers_on(workload: Workload, part: Placed) -> tuple[LayerOps, ...]:
    if part.stages == STAGES:
        return workload.layers
    return tuple(layer for layer in workload.layers if layer.stage in part.stages)


def _part(
    device: NeuromorphicChip | Accelerator,
    layers: tuple[tuple[LayerOps, ...], ...],
    precision: Precision,
    c: Constants,
    inferences: Sequence[int],
) -> ChipPart | AcceleratorPart:
    if isinstance(device, Accelerator):
        return AcceleratorPart(device, layers, precision, c)
    mapped = zip(layers, inferences, strict=True)
    mappings = tuple(map_layers(each, device.limits, count) for each, count in mapped)
    return ChipPart(device, layers, mappings, c)


def _crossings(
    run: int, parts: Sequence[ChipPart | AcceleratorPart]
) -> tuple[tuple[Sent, ...], ...]:
    """Return what crosses each link: the last layer of a stage whose next stage is elsewhere."""
    last = {
        layer.stage: (index, layer)
        for index, part in enumerate(parts)
        for layer in part.layers[run]
    }
    crossing: tuple[list[Sent], ...] = tuple([] for _ in parts[1:])
    for here, there in pairwise(stage for stage in STAGES if stage in last):
        (start, layer), (end, _) = last[here], last[there]
        for link in crossing[min(start, end) : max(start, end)]:
            link.append(parts[start].sends(layer))
    return tuple(tuple(each) for each in crossing)


def _not_covered(
    workload: Workload, placed: Sequence[Placed], left: dict[str, NotCovered]
) -> tuple[NotCovered, ...]:
    somewhere = {stage for part in placed for stage in part.stages}
    for stage in workload.stages:
        if stage not in somewhere:
            left[stage] = NotCovered(stage, "no part of the system runs this stage")
    return tuple(left[stage] for stage in workload.stages if stage in left)


def _precision(
    workloads: Sequence[Workload], device: Accelerator, deploy_as: Precision | None
) -> Precision:
    wanted = {workload.deploy_as for workload in workloads}
    if deploy_as is None and len(wanted) > 1:
        raise EstimateError(
            f"workloads name different deploy_as: {', '.join(sorted(map(str, wanted)))}; "
            f"give one deploy_as for all"
        )
    precision = deploy_as or next(iter(wanted)) or device.deploy_as
    if precision not in PRECISIONS:
        raise EstimateError(f"deploy_as must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return precision


def _link_constants(link: Link) -> dict[str, Sourced]:
    return {
        "bytes_per_spike": link.bytes_per_spike,
        "energy_j_per_byte": link.energy_j_per_byte,
        "byte_per_s": link.byte_per_s,
        "latency_s": link.latency_s,
    }


def _numbered(names: Sequence[str]) -> list[str]:
    """Tell parts of the same name apart: the second ``usb`` is ``usb#2``."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return numbered


def _named(
    prefix: str, device: NeuromorphicChip | Accelerator | Link, constants: dict[str, Sourced]
) -> dict[str, Sourced]:
    """Put the part's name before each constant, and say which of them are one physical constant.

    Boards of one type, and one board in another power mode, share all constants but those that the
    mode sets, so that comparing them is comparing like with like, draw by draw.
    """
    return {
        f"{prefix}.{key}": replace(constant, shares=_cause(device, key, constant.shares))
        for key, constant in constants.items()
    }


def _cause(device: NeuromorphicChip | Accelerator | Link, key: str, shares: str) -> str:
    if not shares:
        mode = f"@{device.mode}" if isinstance(device, Accelerator) and key in _OF_THE_MODE else ""
        return f"{device.name}{mode}.{key}"
    if "." in shares:
        return shares
    sign = "-" if shares.startswith("-") else ""
    return f"{sign}{device.name}.{shares.removeprefix('-')}"
