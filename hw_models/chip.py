"""Neuromorphic chips as data: limits, and constants the way the equations use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.sourced import STRICT_KEYS, Sourced


@dataclass(frozen=True, slots=True)
class ChipLimits:
    """What a neuromorphic board can hold; only the values are used, the ranges inform."""

    chips: Sourced
    cores_per_chip: Sourced
    neurons_per_core: Sourced
    core_memory_bits: Sourced
    neuron_state_bits: Sourced
    synapse_bits: Sourced

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class ChipConstants:
    """Energies [J], times [s] and powers [W] of a neuromorphic chip.

    ``None`` says that the chip has no such term, not that it is unknown; but ``sleep_w`` (of the
    whole board) and ``wake_s``, which serve duty cycles, are unknown where they are absent.
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
    sleep_w: Sourced | None = None
    wake_s: Sourced | None = None

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


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

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    @property
    def full_name(self) -> str:
        """The name to ask for this device by."""
        return self.name

    @property
    def full_title(self) -> str:
        """Readable name."""
        return self.title
