"""Devices: a chip, a processor, or a system of several with links between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.ops import SPIKING_STAGES, STAGES
from hw_models.sourced import STRICT_KEYS, Sourced

ANN_STAGES = tuple(stage for stage in STAGES if stage not in SPIKING_STAGES)


@dataclass(frozen=True, slots=True)
class Link:
    """What carries spikes or activations from one part of a system to the next."""

    family: Literal["link"]
    name: str
    title: str
    bytes_per_spike: Sourced
    energy_j_per_byte: Sourced
    byte_per_s: Sourced
    latency_s: Sourced
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS


@dataclass(frozen=True, slots=True)
class Placed:
    """A chip or processor of a system, and the stages that run there."""

    device: NeuromorphicChip | Accelerator
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class System:
    """Parts in the order the signal passes them; link ``i`` leads from part ``i`` to the next."""

    parts: tuple[Placed, ...]
    links: tuple[Link, ...]

    @property
    def full_name(self) -> str:
        """The name to ask for this system by."""
        return "+".join(part.device.full_name for part in self.parts)

    @property
    def full_title(self) -> str:
        """Readable name."""
        first, *rest = (part.device.full_title for part in self.parts)
        return f"{first} with {' and '.join(rest)} behind it"

    @property
    def boundary(self) -> str:
        """What the device scope includes."""
        parts = "; plus ".join(part.device.boundary for part in self.parts)
        links = " and ".join(dict.fromkeys(link.title for link in self.links))
        return f"{parts}; plus {links} while it carries data"


Device = NeuromorphicChip | Accelerator | System
