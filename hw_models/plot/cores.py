"""The neurocores of a mapped network where they lie on the mesh of each chip."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from hw_models.core_map import CorePlacement
from hw_models.mesh import Mesh, positions
from hw_models.plot import style

By = Literal["memory", "activity"]
_WORDS: Mapping[By, str] = {
    "memory": "memory used\n(share of a core's)",
    "activity": "time at work\n(share of the busiest)",
}
_COLOURS = "cividis"  # reads the same with and without colour vision
_DARK = 0.55  # share below which its colour is dark
_GAP_TILES = 1.0  # between chips
_TILE = 0.92  # of the side of a tile that its cores fill
_LAYER_COLUMNS = 3
_NUMBERED_PER_ROW = 36  # cores beside each other up to which a number fits into a core


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Where chips, tiles and cores stand; lengths in tiles, y downwards."""

    mesh: Mesh
    n_chips: int

    @property
    def per_row(self) -> int:
        """Chips beside each other."""
        return 1 if self.n_chips == 1 else 2 if self.n_chips <= 4 else 4

    @property
    def n_rows(self) -> int:
        """Rows of chips."""
        return math.ceil(self.n_chips / self.per_row)

    @property
    def side(self) -> int:
        """Cores along the side of a tile."""
        return math.ceil(math.sqrt(self.mesh.cores_per_tile))

    @property
    def core(self) -> float:
        """Side of a core."""
        return _TILE / self.side

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of everything."""
        width = self.per_row * (self.mesh.columns + _GAP_TILES) - _GAP_TILES
        return width, self.n_rows * (self.mesh.rows + _GAP_TILES) - _GAP_TILES

    def corner(self, chip: int, x: int, y: int, slot: int) -> tuple[float, float]:
        """Upper left corner of a core."""
        row, column = divmod(chip, self.per_row)
        margin = (1 - _TILE) / 2
        return (
            column * (self.mesh.columns + _GAP_TILES) + x + margin + slot % self.side * self.core,
            row * (self.mesh.rows + _GAP_TILES) + y + margin + slot // self.side * self.core,
        )

    def squares(self, corners: Sequence[tuple[float, float]]) -> list[Rectangle]:
        """Squares of cores."""
        return [Rectangle(corner, self.core, self.core) for corner in corners]


def cores(
    placed: Sequence[CorePlacement],
    mesh: Mesh,
    ax: Axes | None = None,
    *,
    by: By = "memory",
    title: str = "",
) -> Axes:
    """Draw each core in use, coloured by memory or activity; free cores are empty squares.

    Parameters
    ----------
    placed
        Cores in use, from :func:`hw_models.core_map.core_map`.
    mesh
        Of one chip.
    ax
        Axes to draw on; ``None`` makes a figure.
    by
        What the colours tell.
    title
        What is mapped where.
    """
    sheet = _Sheet(mesh, 1 + max((core.chip for core in placed), default=0))
    width, height = sheet.size
    layers = Counter((core.stage, core.layer) for core in placed)
    above = 0.7 if sheet.n_chips > 1 else 0.1
    inches = 0.84 * style.WIDTH_IN * (height + above + 0.1) / (width + 0.2)
    ax = style.axes_or_new(ax, 0.4 + inches + 0.18 * math.ceil(len(layers) / _LAYER_COLUMNS))
    _draw_free(ax, sheet)
    shares = [core.memory_share if by == "memory" else core.activity_share for core in placed]
    _draw_used(ax, sheet, placed, shares, _WORDS[by])
    _number(ax, sheet, placed, shares, {layer: i + 1 for i, layer in enumerate(layers)})
    for chip in range(sheet.n_chips if sheet.n_chips > 1 else 0):
        x, y = sheet.corner(chip, 0, 0, 0)
        ax.text(x, y - 0.12, f"chip {chip + 1}", fontsize=style.SMALL_PT - 1, color=style.INK)
    ax.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -above), aspect="equal")
    ax.set_axis_off()
    ax.set_title(title, fontsize=style.FONT_PT + 0.5, loc="left", color=style.INK)
    lines = [
        f"{i + 1}  {stage}/{layer}: {n} {'core' if n == 1 else 'cores'}"
        for i, ((stage, layer), n) in enumerate(layers.items())
    ]
    _write_below(ax, lines)
    return ax


def _draw_free(ax: Axes, sheet: _Sheet) -> None:
    mesh = sheet.mesh
    numbers = np.arange(mesh.cores_per_chip)
    at = positions(numbers, mesh)
    corners = [
        sheet.corner(chip, int(x), int(y), int(number) % mesh.cores_per_tile)
        for chip in range(sheet.n_chips)
        for number, x, y in zip(numbers, at.x, at.y, strict=True)
    ]
    free = PatchCollection(sheet.squares(corners), facecolor="none", edgecolor=style.PALE)
    free.set_linewidth(0.6)
    ax.add_collection(free)


def _draw_used(
    ax: Axes,
    sheet: _Sheet,
    placed: Sequence[CorePlacement],
    shares: Sequence[float],
    words: str,
) -> None:
    corners = [sheet.corner(core.chip, core.tile_x, core.tile_y, core.slot) for core in placed]
    used = PatchCollection(sheet.squares(corners), cmap=_COLOURS, norm=Normalize(0, 1))
    used.set(array=np.array(shares), edgecolor="white", linewidth=0.6)
    ax.add_collection(used)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(used, cax=ax.inset_axes((1.03, 0.0, 0.025, 1.0)))
    bar.set_label(words, fontsize=style.SMALL_PT, color=style.INK)
    bar.ax.tick_params(labelsize=style.SMALL_PT, color=style.GREY, labelcolor=style.INK)
    bar.outline.set_visible(False)


def _number(
    ax: Axes,
    sheet: _Sheet,
    placed: Sequence[CorePlacement],
    shares: Sequence[float],
    numbers: Mapping[tuple[str, str], int],
) -> None:
    """Write the number of the layer into each core, or where cores are small once per chip."""
    corners = np.array(
        [sheet.corner(core.chip, core.tile_x, core.tile_y, core.slot) for core in placed]
    ).reshape(-1, 2)
    small = sheet.per_row * sheet.mesh.columns * sheet.side > _NUMBERED_PER_ROW
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, core in enumerate(placed):
        key = (numbers[core.stage, core.layer], core.chip, *(() if small else (index,)))
        groups.setdefault(key, []).append(index)
    for (number, *_), indices in groups.items():
        away = ((corners[indices] - corners[indices].mean(axis=0)) ** 2).sum(axis=1)
        middle = indices[int(away.argmin())]
        x, y = corners[middle] + sheet.core / 2
        light = not small and shares[middle] < _DARK
        text = ax.text(x, y, str(number), ha="center", va="center")
        text.set_color("white" if light else style.INK)
        text.set_fontsize(style.SMALL_PT if small else style.SMALL_PT - 2)
        if small:
            text.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _write_below(ax: Axes, lines: Sequence[str]) -> None:
    """Write lines in columns under the axes."""
    per_column = math.ceil(len(lines) / _LAYER_COLUMNS)
    for column in range(_LAYER_COLUMNS if lines else 0):
        ax.annotate(
            "\n".join(lines[column * per_column : (column + 1) * per_column]),
            (column / _LAYER_COLUMNS, 0),
            xycoords="axes fraction",
            xytext=(0, -6),
            textcoords="offset points",
            va="top",
            fontsize=style.SMALL_PT - 0.5,
            linespacing=1.4,
            color=style.INK,
        )
