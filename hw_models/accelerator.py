"""GPUs and NPUs as data: constants the way the equations of ``roofline`` use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.errors import CatalogError
from hw_models.ops import OpKind, Precision
from hw_models.sourced import STRICT_KEYS, ByPrecision, Sourced


@dataclass(frozen=True, slots=True)
class PowerMode:
    """What a power mode sets: clocks, hence rates, and idle power.

    ``idle_w`` may be absent where nobody measured it: such a device reports only energy above
    idle (scope ``active``). ``sleep_w`` and ``wake_s`` serve duty cycles.
    """

    active_w: Sourced
    overhead_w: Sourced
    mac_per_s: ByPrecision
    byte_per_s: ByPrecision
    element_per_s: ByPrecision
    launch_s: ByPrecision
    idle_w: Sourced | None = None
    dispatch_s: ByPrecision | None = None
    sleep_w: Sourced | None = None
    wake_s: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class SpikingKernel:
    """What spiking layers cost on a processor that has no spiking hardware."""

    bytes_per_update: Sourced
    bytes_per_synop: Sourced
    launches_per_layer: Sourced

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class KindConstants:
    """What differs for one kind of layer, or for a class of whole networks.

    Parameters
    ----------
    efficiency
        Share of the mode's ``mac_per_s`` that this kind achieves.
    byte_efficiency
        Share of the mode's ``byte_per_s``; 1 where absent.
    launch_share
        Factor on the mode's ``launch_s``; 1 where absent.
    element_per_s, activation_share, time_factor, mac_j, byte_j, element_j
        Instead of the device's own.
    """

    efficiency: ByPrecision
    byte_efficiency: ByPrecision | None = None
    launch_share: ByPrecision | None = None
    element_per_s: ByPrecision | None = None
    activation_share: Sourced | None = None
    time_factor: ByPrecision | None = None
    mac_j: ByPrecision | None = None
    byte_j: Sourced | None = None
    element_j: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU or NPU; runs every stage. ``law`` says how times combine, see ``roofline``.

    Parameters
    ----------
    kinds
        Constants by kind of layer; a layer with MACs of a kind that is not here is refused.
    assumed_factor
        Factor on the time and energy of a layer for each of its counts that is assumed.
    energy_factor
        Doubt about the energy above idle as a whole; 1 where absent.
    """

    family: Literal["accelerator"]
    name: str
    title: str
    boundary: str
    law: Literal["per-layer", "network"]
    static_shapes: bool
    deploy_as: Precision
    mode: str
    modes: Mapping[str, PowerMode]
    kinds: Mapping[OpKind, KindConstants]
    mac_j: ByPrecision
    byte_j: Sourced
    element_j: Sourced
    activation_share: Sourced
    time_factor: Sourced
    assumed_factor: Sourced
    spiking: SpikingKernel
    energy_factor: Sourced | None = None
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

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
