"""Which layer runs on which part of a device, at which precision, with which constants."""

from __future__ import annotations

from dataclasses import dataclass

from hw_models import neuromorphic, roofline
from hw_models.device import Accelerator, Device, Link, NeuromorphicChip, Sourced, System
from hw_models.errors import EstimateError
from hw_models.mapping import Mapping, map_layers
from hw_models.ops import PRECISIONS, SPIKING_STAGES, LayerOps, Precision
from hw_models.report import NotCovered
from hw_models.uncertainty import Columns, Constants, sample
from hw_models.workload import Workload

_ANN_ON_CHIP = (
    "an ANN on a neuromorphic chip is refused until it is modelled as a sigma-delta network from "
    "measured activation sparsity"
)


@dataclass(frozen=True, slots=True)
class ChipPart:
    """The neuromorphic chip with its layers; ``c`` holds its constants without prefix."""

    device: NeuromorphicChip
    layers: tuple[LayerOps, ...]
    mapping: Mapping
    c: Constants


@dataclass(frozen=True, slots=True)
class LinkPart:
    """The link behind the chip."""

    device: Link
    c: Constants


@dataclass(frozen=True, slots=True)
class AcceleratorPart:
    """The processor with its layers, costed at ``precision``."""

    device: Accelerator
    layers: tuple[LayerOps, ...]
    precision: Precision
    c: Constants


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs where; ``constants`` holds all of them, prefixed with the part's name."""

    workload: Workload
    chip: ChipPart | None
    link: LinkPart | None
    accelerator: AcceleratorPart | None
    constants: Constants

    @property
    def covers(self) -> tuple[str, ...]:
        """Stages of the workload that run on some part."""
        if self.accelerator is not None:
            return self.workload.stages
        return tuple(stage for stage in self.workload.stages if stage in SPIKING_STAGES)

    @property
    def not_covered(self) -> tuple[NotCovered, ...]:
        """Stages that run nowhere, with the reason."""
        left = (stage for stage in self.workload.stages if stage not in self.covers)
        return tuple(NotCovered(stage, _ANN_ON_CHIP) for stage in left)

    def idle_w(self) -> Columns | None:
        """Return the idle power of all parts; ``None`` where one has none on record."""
        idle = self.constants.zeros()
        if self.chip is not None:
            idle = idle + neuromorphic.idle_w(self.chip.mapping.n_chips, self.chip.c)
        if self.accelerator is not None:
            if "idle_w" not in self.accelerator.c:
                return None
            idle = idle + self.accelerator.c["idle_w"]
        return idle


def make_plan(
    workload: Workload, target: Device, deploy_as: Precision | None, samples: int, seed: int
) -> Plan:
    """Assign the layers and sample the constants.

    Raises
    ------
    EstimateError
        The processor lacks the precision, or the sampling parameters are out of range.
    """
    chip, link, accelerator = _parts(target)
    spiking = tuple(layer for layer in workload.layers if layer.is_spiking)
    rest = tuple(layer for layer in workload.layers if not layer.is_spiking)
    precision = _precision(workload, accelerator, deploy_as)
    sourced: dict[str, Sourced] = {}
    if chip is not None:
        sourced |= _prefixed(chip.full_name, neuromorphic.chip_constants(chip))
    if link is not None:
        sourced |= _prefixed(link.name, _link_constants(link))
    if accelerator is not None:
        constants = roofline.accelerator_constants(accelerator, precision)
        sourced |= _prefixed(accelerator.full_name, constants)
    drawn = sample(sourced, samples, seed)
    chip_part = link_part = accelerator_part = None
    if chip is not None:
        mapping = map_layers(spiking, chip.limits)
        chip_part = ChipPart(chip, spiking, mapping, drawn.under(chip.full_name))
    if link is not None:
        link_part = LinkPart(link, drawn.under(link.name))
    if accelerator is not None:
        layers = workload.layers if chip is None else rest
        c = drawn.under(accelerator.full_name)
        accelerator_part = AcceleratorPart(accelerator, layers, precision, c)
    return Plan(workload, chip_part, link_part, accelerator_part, drawn)


def _parts(target: Device) -> tuple[NeuromorphicChip | None, Link | None, Accelerator | None]:
    if isinstance(target, System):
        return target.chip, target.link, target.accelerator
    if isinstance(target, NeuromorphicChip):
        return target, None, None
    return None, None, target


def _precision(
    workload: Workload, accelerator: Accelerator | None, deploy_as: Precision | None
) -> Precision:
    default: Precision = accelerator.deploy_as if accelerator else "fp32"
    precision = deploy_as or workload.deploy_as or default
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
