"""Which layer runs on which part of a device, at which precision, with which constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from hw_models import neuromorphic, roofline
from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.device import Device, Link, Placed, System
from hw_models.errors import EstimateError
from hw_models.mapping import Mapping, map_layers
from hw_models.ops import PRECISIONS, STAGES, LayerOps, Precision
from hw_models.report import NotCovered
from hw_models.sourced import Sourced
from hw_models.uncertainty import Columns, Constants, nominal, sample
from hw_models.workload import Workload


@dataclass(frozen=True, slots=True)
class ChipPart:
    """A neuromorphic chip with its layers and where they went, run by run.

    ``c`` holds the chip's constants without prefix.
    """

    device: NeuromorphicChip
    layers: tuple[tuple[LayerOps, ...], ...]
    mappings: tuple[Mapping, ...]
    c: Constants


@dataclass(frozen=True, slots=True)
class AcceleratorPart:
    """A processor with its layers, run by run, costed at ``precision``."""

    device: Accelerator
    layers: tuple[tuple[LayerOps, ...], ...]
    precision: Precision
    c: Constants


@dataclass(frozen=True, slots=True)
class LinkPart:
    """A link from one part to the next."""

    device: Link
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
    def chip(self) -> ChipPart | None:
        """The first neuromorphic chip, if there is one."""
        return next((part for part in self.parts if isinstance(part, ChipPart)), None)

    @property
    def accelerator(self) -> AcceleratorPart | None:
        """The last processor, if there is one."""
        found = [part for part in self.parts if isinstance(part, AcceleratorPart)]
        return found[-1] if found else None

    def idle_w(self) -> Columns | None:
        """Idle power of all parts, shape (n_runs, n_columns); ``None`` where one is unknown."""
        idle: Columns | None = None
        for part in self.parts:
            if isinstance(part, ChipPart):
                own = neuromorphic.idle_w(part.mappings, part.c)
            elif "idle_w" in part.c:
                own = part.c["idle_w"].reshape(1, -1)
            else:
                return None
            idle = own if idle is None else idle + own
        return idle

    def of_run(self, index: int) -> Plan:
        """Return the plan of one run alone, with the same draws."""
        one = slice(index, index + 1)
        parts = tuple(
            replace(part, layers=part.layers[one], mappings=part.mappings[one])
            if isinstance(part, ChipPart)
            else replace(part, layers=part.layers[one])
            for part in self.parts
        )
        return replace(self, workloads=self.workloads[one], parts=parts)


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
    assigned = []
    sourced: dict[str, Sourced] = {}
    left: dict[str, NotCovered] = {}
    for part in placed:
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
        assigned.append((part.device, layers, precision))
        sourced |= _prefixed(part.device.full_name, constants)
    for link in links:
        sourced |= _prefixed(link.name, _link_constants(link))
    drawn = nominal(sourced) if samples is None else sample(sourced, samples, seed)
    return Plan(
        workloads=tuple(workloads),
        parts=tuple(_part(device, layers, at, drawn) for device, layers, at in assigned),
        links=tuple(LinkPart(link, drawn.under(link.name)) for link in links),
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
    drawn: Constants,
) -> ChipPart | AcceleratorPart:
    c = drawn.under(device.full_name)
    if isinstance(device, Accelerator):
        return AcceleratorPart(device, layers, precision, c)
    return ChipPart(device, layers, tuple(map_layers(each, device.limits) for each in layers), c)


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


def _prefixed(prefix: str, constants: dict[str, Sourced]) -> dict[str, Sourced]:
    return {f"{prefix}.{key}": value for key, value in constants.items()}
