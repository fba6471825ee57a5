"""Devices: a chip, a processor, or a system of several with links between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from hw_models.accelerator import Accelerator
from hw_models.chip import NeuromorphicChip
from hw_models.errors import CatalogError, suggestion
from hw_models.ops import SPIKING_STAGES, STAGES
from hw_models.sourced import STRICT_KEYS, Sourced, require_above_zero

ANN_STAGES = tuple(stage for stage in STAGES if stage not in SPIKING_STAGES)
DEFAULT_LINK = "ethernet"


@dataclass(frozen=True, slots=True)
class Link:
    """What carries data from one part of a system to the next.

    Parameters
    ----------
    bytes_per_spike
        Size of a spike on the wire; layers that do not spike send the bytes that they write.
    energy_j_per_byte
        Both ends together, while data passes; power of an idle port is not part of it.
    byte_per_s, latency_s
        Rate, and the time that every transfer takes beside its bytes.
    """

    family: Literal["link"]
    name: str
    title: str
    bytes_per_spike: Sourced
    energy_j_per_byte: Sourced
    byte_per_s: Sourced
    latency_s: Sourced
    notes: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        require_above_zero(self, "byte_per_s")


@dataclass(frozen=True, slots=True)
class Placed:
    """A chip or processor of a system, and the stages that run there."""

    device: NeuromorphicChip | Accelerator
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class System:
    """Parts in a chain; link ``i`` joins part ``i`` and the next.

    The signal passes the stages in pipeline order. Where the next stage runs on another part, the
    output of the last layer of the stage, in the workload's order, crosses every link between the
    two, in either direction.

    Parameters
    ----------
    parts, links
        At least two parts, one link less.
    name, title
        Of the system as a whole; made of the parts where empty.

    Raises
    ------
    CatalogError
        The number of links does not fit, or a stage is unknown, placed twice or a part has none.
    """

    parts: tuple[Placed, ...]
    links: tuple[Link, ...]
    name: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise CatalogError(f"parts: a system has at least 2 parts, got {len(self.parts)}")
        if len(self.links) != len(self.parts) - 1:
            raise CatalogError(
                f"links: {len(self.parts)} parts need {len(self.parts) - 1}, got {len(self.links)}"
            )
        placed: dict[str, str] = {}
        for index, part in enumerate(self.parts):
            where = f"parts[{index}].stages"
            if not part.stages:
                raise CatalogError(f"{where}: name at least one stage of {', '.join(STAGES)}")
            for stage in part.stages:
                if stage not in STAGES:
                    raise CatalogError(
                        f"{where}: unknown stage {stage!r}{suggestion(stage, STAGES)}; "
                        f"stages are {', '.join(STAGES)}"
                    )
                if stage in placed:
                    raise CatalogError(f"{where}: stage {stage} already runs on {placed[stage]}")
                placed[stage] = part.device.full_name

    @property
    def full_name(self) -> str:
        """The name to ask for this system by; of a system file, the name it gives."""
        if self.name:
            return self.name
        words = [self.parts[0].device.full_name]
        for link, part in zip(self.links, self.parts[1:], strict=True):
            words += [link.name] if link.name != DEFAULT_LINK else []
            words.append(part.device.full_name)
        return "+".join(words)

    @property
    def full_title(self) -> str:
        """Readable name."""
        first, *rest = (part.device.full_title for part in self.parts)
        return self.title or f"{first} with {' and '.join(rest)} behind it"

    @property
    def boundary(self) -> str:
        """What the device scope includes."""
        parts = "; plus ".join(part.device.boundary for part in self.parts)
        links = " and ".join(dict.fromkeys(link.title for link in self.links))
        return f"{parts}; plus {links} while it carries data"


Device = NeuromorphicChip | Accelerator | System
