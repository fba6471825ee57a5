"""GPUs and NPUs as data: constants the way the equations of ``roofline`` use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.errors import CatalogError, EstimateError
from hw_models.ops import ASSUMABLE, OpKind, Precision
from hw_models.sourced import STRICT_KEYS, ByPrecision, Sourced, require_above_zero

Combine = Literal["sum", "hypot", "max"]


@dataclass(frozen=True, slots=True)
class PowerMode:
    """What a power mode sets: clocks, hence rates, and idle power.

    Parameters
    ----------
    active_w, overhead_w
        Power above idle while layers work, and while work is only being started.
    mac_per_s, byte_per_s, element_per_s
        Dense peak rates, at these clocks.
    launch_s, dispatch_s
        Time to start a kernel (or to pass a graph layer), and a whole graph.
    idle_w
        May be absent where nobody measured it: such a device reports only energy above idle
        (scope ``active``).
    energy_scale
        Factor on the energies per operation in this mode (its voltage); 1 where absent.
    processor_hz, memory_hz
        Clocks, so that rates can be scaled to other clocks.
    sleep_w, wake_s
        For duty cycles.
    """

    active_w: Sourced
    overhead_w: Sourced
    mac_per_s: ByPrecision
    byte_per_s: ByPrecision
    element_per_s: ByPrecision
    launch_s: ByPrecision
    idle_w: Sourced | None = None
    dispatch_s: ByPrecision | None = None
    energy_scale: Sourced | None = None
    processor_hz: Sourced | None = None
    memory_hz: Sourced | None = None
    sleep_w: Sourced | None = None
    wake_s: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        require_above_zero(self, "mac_per_s", "byte_per_s", "element_per_s")
        require_above_zero(self, "processor_hz", "memory_hz")


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
    launch_share, element_share, active_share
        Factors on the mode's ``launch_s``, ``element_per_s``, and on its powers above idle, which
        a fit per byte or MAC may already contain; 1 where absent.
    element_time
        Whether scalar elements take time of their own; false where a fit counts activations as
        traffic only.
    graph_layers
        Launches of a whole network of this kind, where its graph layers fuse so much that
        counting them misleads; instead of the counted launches.
    mac_exponent
        MACs m count as ``1e9 (m / 1e9) ** x`` in time; 1 where absent.
    combine
        How the compute and memory times of a whole network combine.
    activation_share, time_factor, mac_j, byte_j, element_j
        Instead of the device's own.
    """

    efficiency: ByPrecision
    byte_efficiency: ByPrecision | None = None
    launch_share: ByPrecision | None = None
    element_share: ByPrecision | None = None
    element_time: bool = True
    active_share: ByPrecision | None = None
    graph_layers: Sourced | None = None
    mac_exponent: Sourced | None = None
    combine: Combine = "hypot"
    activation_share: ByPrecision | None = None
    time_factor: ByPrecision | None = None
    mac_j: ByPrecision | None = None
    byte_j: ByPrecision | None = None
    element_j: ByPrecision | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        require_above_zero(self, "efficiency", "byte_efficiency", "element_share")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU or NPU; runs every stage. ``law`` says how times combine, see ``roofline``.

    Parameters
    ----------
    kinds
        Constants by kind of layer; a layer with MACs of a kind that is not here is refused.
    assumed_factor
        Factor on the time and energy of a layer for each thing about it that is assumed, by the
        names of ``LayerOps.assumed``; ``any`` serves those not named.
    energy_factor
        Doubt about the energy above idle as a whole; 1 where absent.
    memory_bytes
        Main memory, which parameters, activations and the system share; unknown where absent.
    idle_exponent
        Energies above idle scale with (own idle power / idle power of the mode) to this exponent
        when the idle power of a board is given; 0 where absent.
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
    assumed_factor: Mapping[str, Sourced]
    spiking: SpikingKernel
    energy_factor: Sourced | None = None
    memory_bytes: Sourced | None = None
    idle_exponent: Sourced | None = None
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        if self.mode not in self.modes:
            raise CatalogError(
                f"mode {self.mode!r} is not among the modes {', '.join(sorted(self.modes))}"
            )
        for name in self.assumed_factor:
            if name not in (*ASSUMABLE, "any"):
                raise CatalogError(
                    f"assumed_factor: unknown key {name!r}; known: {', '.join(ASSUMABLE)}, any"
                )
        if "any" not in self.assumed_factor:
            raise CatalogError("assumed_factor: required key 'any' is missing")

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


def at_clocks(
    device: Accelerator, *, processor_hz: float | None = None, memory_hz: float | None = None
) -> Accelerator:
    """Return the device with the rates of its mode scaled to other clocks.

    Arithmetic, elements, launches and the fixed time of a graph follow the processor's clock,
    bandwidth the memory's.

    Raises
    ------
    EstimateError
        The mode has no such clock on record.
    """
    mode = device.modes[device.mode]
    processor = _ratio(device, "processor_hz", processor_hz)
    memory = _ratio(device, "memory_hz", memory_hz)
    scaled = replace(
        mode,
        mac_per_s=_scaled(mode.mac_per_s, processor),
        element_per_s=_scaled(mode.element_per_s, processor),
        byte_per_s=_scaled(mode.byte_per_s, memory),
        launch_s=_scaled(mode.launch_s, 1 / processor),
        dispatch_s=None if mode.dispatch_s is None else _scaled(mode.dispatch_s, 1 / processor),
        processor_hz=mode.processor_hz and mode.processor_hz.scaled(processor),
        memory_hz=mode.memory_hz and mode.memory_hz.scaled(memory),
    )
    return replace(device, modes={**device.modes, device.mode: scaled})


def with_own_idle(device: Accelerator, idle_w: Sourced) -> Accelerator:
    """Return the device with the idle power of one's own board.

    A board that idles lower is clocked and supplied lower: energies above idle follow with
    ``idle_exponent``.
    """
    mode = device.modes[device.mode]
    factor = 1.0
    if device.idle_exponent is not None and mode.idle_w is not None:
        factor = (idle_w.value / mode.idle_w.value) ** device.idle_exponent.value
    one = Sourced(1.0, 1.0, 1.0, idle_w.source, idle_w.locator, "derived")
    own = replace(
        mode,
        idle_w=idle_w,
        active_w=mode.active_w.scaled(factor),
        overhead_w=mode.overhead_w.scaled(factor),
        energy_scale=(mode.energy_scale or one).scaled(factor),
    )
    return replace(device, modes={**device.modes, device.mode: own})


def _ratio(device: Accelerator, name: str, wanted_hz: float | None) -> float:
    if wanted_hz is None:
        return 1.0
    known: Sourced | None = getattr(device.modes[device.mode], name)
    if known is None:
        raise EstimateError(f"{device.full_name}: no {name} on record, so rates cannot be scaled")
    return wanted_hz / known.value


def _scaled(table: ByPrecision, factor: float) -> ByPrecision:
    return {precision: number.scaled(factor) for precision, number in table.items()}
