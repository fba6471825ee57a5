"""The cores of a mapped network one by one, for tables and for a picture of the chips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw_models.chip import NeuromorphicChip
from hw_models.mapping import Mapping, map_layers
from hw_models.mesh import positions
from hw_models.neuromorphic import activity_of, chip_constants, core_seconds, take
from hw_models.table import table_of
from hw_models.uncertainty import nominal
from hw_models.workload import Workload


@dataclass(frozen=True, slots=True)
class CorePlacement:
    """One core on the map of the chips, for tables and pictures.

    Parameters
    ----------
    chip, tile_x, tile_y, slot
        Chip, tile of that chip counted from its upper left corner, and core within the tile.
    stage, layer
        The layer that has the core.
    memory_share, neuron_share
        Memory and neurons used, as a share of the limit of a core.
    activity_share
        Time that the core works in an inference, as a share of the busiest core's.
    """

    chip: int
    tile_x: int
    tile_y: int
    slot: int
    stage: str
    layer: str
    memory_share: float
    neuron_share: float
    activity_share: float


def core_map(workload: Workload, chip: NeuromorphicChip) -> tuple[CorePlacement, ...]:
    """Map what a chip runs of a workload, and return every core in use with its place and use.

    Cores beyond what the board has stand on chips beyond its last one.

    Parameters
    ----------
    workload
        What a run did.
    chip
        The board.
    """
    layers, _ = take(workload.layers, chip)
    mapping = map_layers(layers, chip.limits, workload.inferences)
    table = table_of([layers], [workload.inferences], "executed", None)
    ticks = np.array([[workload.ticks / workload.inferences]])
    activity = activity_of(table, [mapping], ticks)
    return cores_of(mapping, core_seconds(activity, nominal(chip_constants(chip)))[:, 0].tolist())


def cores_of(mapping: Mapping, core_s: Sequence[float]) -> tuple[CorePlacement, ...]:
    """Return every core of a mapping.

    Parameters
    ----------
    mapping
        Where the layers went.
    core_s
        Time that a core of each layer works in one inference, one number per layer.
    """
    mesh = mapping.limits.mesh
    busiest = max(core_s, default=0.0)
    cores = []
    for place, seconds in zip(mapping.placements, core_s, strict=True):
        numbers = np.arange(place.first_core, place.first_core + place.n_cores)
        at = positions(numbers, mesh)
        cores += [
            CorePlacement(
                chip=int(chip),
                tile_x=int(x) - int(chip) * mesh.columns,
                tile_y=int(y),
                slot=int(number) % mesh.cores_per_chip % mesh.cores_per_tile,
                stage=place.stage,
                layer=place.layer,
                memory_share=place.memory_share,
                neuron_share=place.neuron_share,
                activity_share=float(seconds / busiest) if busiest else 0.0,
            )
            for number, chip, x, y in zip(numbers, at.chip, at.x, at.y, strict=True)
        ]
    return tuple(cores)
