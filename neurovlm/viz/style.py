"""One look for all pictures: colours by role, sizes, and how an axes is dressed.

The colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers. Nothing
here or in the sibling modules touches pyplot or rcParams: an axes that is given is the only thing
drawn on.
"""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import offset_copy

BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
GREEN = "#009E73"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
INK = "#222222"
GREY = "#6E6E6E"
PALE = "#D9D9D9"

CHANGED = VERMILION
REFRESHED = BLUE
COMPUTED = INK
DENSE = GREY
ON = INK
OFF = "#9E9E9E"
DEVICES = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

WIDTH_IN = 6.6
DPI = 160
FONT_PT = 10.0
SMALL_PT = 9.0


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure with a canvas that can be saved, unknown to pyplot."""
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07)
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, height_in: float, width_in: float = WIDTH_IN) -> Axes:
    """``ax`` itself, or the only axes of a new figure."""
    return new_figure(height_in, width_in).add_subplot() if ax is None else ax


def dress(
    ax: Axes,
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    grid: Literal["x", "y"] | None = None,
) -> None:
    """Title, axis labels and quiet lines."""
    if title:
        ax.set_title(title, fontsize=FONT_PT + 0.5, loc="left", color=INK)
    ax.set_xlabel(x, fontsize=FONT_PT, color=INK)
    ax.set_ylabel(y, fontsize=FONT_PT, color=INK)
    ax.tick_params(labelsize=SMALL_PT, color=GREY, labelcolor=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    if grid is not None:
        ax.grid(axis=grid, color=PALE, linewidth=0.6)
        ax.set_axisbelow(True)


def legend_below(ax: Axes, columns: int) -> None:
    """A frameless legend under the label of the x axis."""
    below = offset_copy(ax.transAxes, ax.get_figure(root=True), y=-32, units="points")
    ax.legend(
        fontsize=SMALL_PT,
        frameon=False,
        ncols=columns,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        handlelength=1.6,
    )
