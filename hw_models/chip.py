"""Neuromorphic chips as data: limits, and constants the way the equations use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.sourced import STRICT_KEYS, Sourced, require_above_zero


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """What a neuromorphic board can hold; only the values are used, the ranges inform.

    Parameters
    ----------
    chips, cores_per_chip, cores_per_tile, mesh_columns, mesh_rows
        Chips on the board; usable cores of a chip; cores that share a router; routers of a chip.
    neurons_per_core
        Neurons of a core.
    core_memory_bits
        Memory of a core for synapses, and for neuron state where both share it.
    neuron_state_bits
        Share of that memory that a neuron takes; 0 where state has a memory of its own.
    synapse_bits
        Memory of a synapse, index included.
    axons_in, axons_out
        Sources that a core can hear, and (neuron, destination core) pairs that it can send to;
        ``None`` where axon tables share the core's memory and set no limit of their own.
    """

    chips: Sourced
    cores_per_chip: Sourced
    cores_per_tile: Sourced
    mesh_columns: Sourced
    mesh_rows: Sourced
    neurons_per_core: Sourced
    core_memory_bits: Sourced
    neuron_state_bits: Sourced
    synapse_bits: Sourced
    axons_in: Sourced | None = None
    axons_out: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        require_above_zero(self, "chips", "cores_per_chip", "cores_per_tile", at_least=1)
        require_above_zero(self, "mesh_columns", "mesh_rows", "neurons_per_core", at_least=1)
        require_above_zero(self, "core_memory_bits", "axons_in", "axons_out", at_least=1)


@dataclass(frozen=True, slots=True)
class ChipConstants:
    """Energies [J], times [s] and powers [W] of a neuromorphic chip.

    ``None`` says that the chip has no such term, not that it is unknown; without
    ``delta_passes`` a chip sends binary spikes only and runs no sigma-delta network.

    Parameters
    ----------
    synop_j, synop_s
        Synaptic operation.
    neuron_pass_j, neuron_pass_s, passes_per_update
        Pass of the neuron program, and passes that an active neuron takes in a tick.
    neuron_idle_j, neuron_idle_s
        Tick of a mapped neuron that has nothing to do.
    spike_j, message_j, hop_x_j, hop_y_j
        Spike generated; message sent to a core; hop of a message along a row or column of the
        mesh.
    axon_s
        Message received by a core.
    core_tick_j, chip_tick_j
        Tick of a used core and of a used chip.
    sync_s, sync_full_s, sync_board_s, sync_board_chips
        End of a tick, with one tile in use; with all tiles of a chip; with that many chips.
    inject_s_per_spike
        Spike or value brought in from outside.
    chip_message_s
        Message that leaves its chip.
    delta_passes
        Passes for an element of a sigma-delta layer.
    leak_w_per_chip
        Static power of a chip.
    x86_count, x86_clock_w, x86_code_w, x86_busy
        Embedded processors: how many, clock power, further power while code runs, share of the
        time that it runs.
    board_w
        Static power of the board beside its chips.
    energy_factor, time_factor
        Doubt about the equations as a whole: on the energy of neurocores, on their time.
    sleep_w, wake_s
        Whole board asleep, and time to wake it: for duty cycles; unknown where absent.
    """

    synop_j: Sourced
    neuron_pass_j: Sourced
    neuron_idle_j: Sourced
    passes_per_update: Sourced
    spike_j: Sourced
    leak_w_per_chip: Sourced
    synop_s: Sourced
    neuron_pass_s: Sourced
    neuron_idle_s: Sourced
    sync_s: Sourced
    sync_full_s: Sourced
    sync_board_s: Sourced
    sync_board_chips: Sourced
    inject_s_per_spike: Sourced
    energy_factor: Sourced
    time_factor: Sourced
    message_j: Sourced | None = None
    hop_x_j: Sourced | None = None
    hop_y_j: Sourced | None = None
    axon_s: Sourced | None = None
    core_tick_j: Sourced | None = None
    chip_tick_j: Sourced | None = None
    chip_message_s: Sourced | None = None
    delta_passes: Sourced | None = None
    x86_count: Sourced | None = None
    x86_clock_w: Sourced | None = None
    x86_code_w: Sourced | None = None
    x86_busy: Sourced | None = None
    board_w: Sourced | None = None
    sleep_w: Sourced | None = None
    wake_s: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class NeuromorphicChip:
    """A board of neuromorphic chips: spiking layers, and sigma-delta layers where it can."""

    family: Literal["neuromorphic"]
    name: str
    title: str
    boundary: str
    limits: ChipLimits
    constants: ChipConstants
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    @property
    def full_name(self) -> str:
        """The name to ask for this device by."""
        return self.name

    @property
    def full_title(self) -> str:
        """Readable name."""
        return self.title
