"""Where a core lies on the mesh of its chip, and how far messages travel between layers.

Cores are numbered in the order in which layers took them. Tiles of a chip are filled row by row,
every other row backwards, so that neighbours in that order are neighbours on the mesh; chips
stand in a row, each to the right of the one before. A message goes along the row first, then
along the column; distances are in tiles. That is a simple placement, not what a vendor's compiler
would do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


class Mesh(NamedTuple):
    """Cores of a chip and the routers between them."""

    cores_per_chip: int
    cores_per_tile: int
    columns: int
    rows: int

    @property
    def tiles(self) -> int:
        """Tiles of a chip that have usable cores."""
        return -(-self.cores_per_chip // self.cores_per_tile)


@dataclass(frozen=True, slots=True)
class Position:
    """Chip and tile of cores, shape (n_cores,) each; x runs along the row of chips."""

    chip: Indices
    x: Indices
    y: Indices


def positions(cores: Indices, mesh: Mesh) -> Position:
    """Return where cores lie, by number."""
    chip, within = np.divmod(cores, mesh.cores_per_chip)
    row, column = np.divmod(within // mesh.cores_per_tile, mesh.columns)
    column = np.where(row % 2 == 0, column, mesh.columns - 1 - column)
    return Position(chip, chip * mesh.columns + column, row)


class Distance(NamedTuple):
    """Means over the messages between two sets of cores."""

    hops_x: float
    hops_y: float
    leaves_chip: float


def distance(source: Position, target: Position) -> Distance:
    """Mean distance when every source core sends equally often to every target core."""
    shares = _shares(source.chip, target.chip)
    leaves = 1.0 - float(np.sum(shares[0] * shares[1]))
    return Distance(_mean_gap(source.x, target.x), _mean_gap(source.y, target.y), max(leaves, 0.0))


def _shares(a: Indices, b: Indices) -> npt.NDArray[np.float64]:
    """Share of each coordinate among the cores of both sets, shape (2, n_coordinates)."""
    size = int(max(a.max(), b.max())) + 1
    return np.stack([np.bincount(each, minlength=size) / len(each) for each in (a, b)])


def _mean_gap(a: Indices, b: Indices) -> float:
    """E|A - B| of independent coordinates: sum of F (1 - G) + G (1 - F) over the grid."""
    f, g = np.cumsum(_shares(a, b), axis=1)
    return float(np.sum(f * (1 - g) + g * (1 - f)))
