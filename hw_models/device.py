"""Devices as data: cited numbers with ranges, grouped the way the equations use them.

Every number is a :class:`Sourced`; all are in SI units. The files in ``catalog/`` hold one
device each and are validated against these classes by :mod:`hw_models.loader`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import ConfigDict, Strict

from hw_models.errors import CatalogError, EstimateError
from hw_models.ops import Precision

Basis = Literal["measured", "simulated", "derived", "assumed"]
BASES: tuple[Basis, ...] = get_args(Basis)

_STRICT_KEYS = ConfigDict(extra="forbid")
_Number = Annotated[float, Strict()]  # a quoted "1e-12" is text and is refused


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number with its range and where it comes from.

    Parameters
    ----------
    value, low, high
        Nominal value and range, low <= value <= high, non-negative, SI units.
    source
        Key in ``references.bib``.
    locator
        Table, row or file in that source, or the reason for an assumption.
    basis
        How the source knows: measured, simulated, derived (our arithmetic on one of these),
        assumed.
    """

    value: _Number
    low: _Number
    high: _Number
    source: str
    locator: str
    basis: Basis

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high < float("inf"):
            raise CatalogError(
                f"expected 0 <= low <= value <= high, got low {self.low}, value {self.value}, "
                f"high {self.high}"
            )
        if self.basis not in BASES:
            raise CatalogError(f"basis must be one of {', '.join(BASES)}, got {self.basis!r}")
        if not self.source or not self.locator:
            raise CatalogError("source and locator must not be empty")


ByPrecision = Mapping[Literal["any", "fp32", "fp16", "int8"], Sourced]


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """What a neuromorphic board can hold; only the values are used, the ranges inform."""

    chips: Sourced
    cores_per_chip: Sourced
    neurons_per_core: Sourced
    core_memory_bits: Sourced
    neuron_state_bits: Sourced
    synapse_bits: Sourced

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class ChipConstants:
    """Energies [J], times [s] and powers [W] of a neuromorphic chip.

    ``None`` says that the chip has no such term, not that it is unknown.
    """

    synop_j: Sourced
    neuron_pass_j: Sourced
    passes_per_update: Sourced
    spike_j: Sourced
    leak_w_per_chip: Sourced
    synop_s: Sourced
    neuron_pass_s: Sourced
    sync_s: Sourced
    sync_multi_chip_s: Sourced
    inject_s_per_spike: Sourced
    imbalance: Sourced
    message_j: Sourced | None = None
    axon_s: Sourced | None = None
    core_tick_j: Sourced | None = None
    chip_tick_j: Sourced | None = None
    x86_count: Sourced | None = None
    x86_clock_w: Sourced | None = None
    x86_code_w: Sourced | None = None
    x86_busy: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class NeuromorphicChip:
    """A board of neuromorphic chips; runs the spiking stages only."""

    family: Literal["neuromorphic"]
    name: str
    title: str
    boundary: str
    limits: ChipLimits
    constants: ChipConstants
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    @property
    def full_name(self) -> str:
        """The name to ask for this device by."""
        return self.name

    @property
    def full_title(self) -> str:
        """Readable name."""
        return self.title


@dataclass(frozen=True, slots=True)
class PowerMode:
    """What a power mode sets: clocks, hence rates, and idle power.

    ``idle_w`` may be absent where nobody measured it: such a device reports only energy above
    idle (scope ``active``).
    """

    active_w: Sourced
    overhead_w: Sourced
    mac_per_s: ByPrecision
    byte_per_s: ByPrecision
    element_per_s: ByPrecision
    launch_s: ByPrecision
    idle_w: Sourced | None = None
    dispatch_s: ByPrecision | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class SpikingKernel:
    """What spiking layers cost on a processor that has no spiking hardware."""

    bytes_per_update: Sourced
    bytes_per_synop: Sourced
    launches_per_layer: Sourced

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Achieved share of ``mac_per_s`` for each class of arithmetic."""

    gemm: ByPrecision
    conv: ByPrecision
    depthwise: ByPrecision
    attention: ByPrecision

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU or NPU; runs every stage. ``law`` says how times combine, see ``roofline``."""

    family: Literal["accelerator"]
    name: str
    title: str
    boundary: str
    law: Literal["per-layer", "network"]
    static_shapes: bool
    deploy_as: Precision
    mode: str
    modes: Mapping[str, PowerMode]
    efficiency: Efficiency
    mac_j: ByPrecision
    byte_j: Sourced
    element_j: Sourced
    activation_share: Sourced
    time_factor: Sourced
    spiking: SpikingKernel
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS

    def __post_init__(self) -> None:
        if self.mode not in self.modes:
            raise CatalogError(
                f"mode {self.mode!r} is not among the modes {', '.join(sorted(self.modes))}"
            )

    @property
    def full_name(self) -> str:
        """The name to ask for this device in this mode by."""
        return f"{self.name}@{self.mode}"

    @property
    def full_title(self) -> str:
        """Readable name, with the mode where there is a choice."""
        return f"{self.title}, mode {self.mode}" if len(self.modes) > 1 else self.title

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions that this device has arithmetic for."""
        return tuple(self.modes[self.mode].mac_per_s)


@dataclass(frozen=True, slots=True)
class Link:
    """What carries spikes from a neuromorphic chip to the processor behind it."""

    family: Literal["link"]
    name: str
    title: str
    bytes_per_spike: Sourced
    energy_j_per_byte: Sourced
    byte_per_s: Sourced
    latency_s: Sourced
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT_KEYS


@dataclass(frozen=True, slots=True)
class System:
    """A chip for the spiking stages, a processor for the rest, and the link between them."""

    chip: NeuromorphicChip
    accelerator: Accelerator
    link: Link

    @property
    def full_name(self) -> str:
        """The name to ask for this system by."""
        return f"{self.chip.full_name}+{self.accelerator.full_name}"

    @property
    def full_title(self) -> str:
        """Readable name."""
        return f"{self.chip.title} with {self.accelerator.full_title} behind it"

    @property
    def boundary(self) -> str:
        """What the device scope includes."""
        return (
            f"{self.chip.boundary}; plus {self.accelerator.boundary}; plus {self.link.title} "
            f"while it carries spikes"
        )


Device = NeuromorphicChip | Accelerator | System


def at_precision(table: ByPrecision, precision: Precision, what: str) -> Sourced:
    """Look a number up for a precision; the entry ``any`` serves all of them.

    Raises
    ------
    EstimateError
        There is no such entry; names the known precisions.
    """
    if precision in table:
        return table[precision]
    if "any" in table:
        return table["any"]
    raise EstimateError(f"{what}: no {precision}; known precisions: {', '.join(sorted(table))}")
