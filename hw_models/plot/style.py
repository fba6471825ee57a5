"""One look for all pictures: colours by role, sizes, and how an axes is dressed.

The colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers. Nothing
in this package touches pyplot or rcParams: an axes that is given is the only thing drawn on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.artist import Artist
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
YELLOW = "#F0E442"
INK = "#222222"
GREY = "#6E6E6E"
PALE = "#D9D9D9"

LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
STAGES: Mapping[str, str] = {
    "frontend": GREEN,
    "change": SKY,
    "router": PURPLE,
    "encoder": BLUE,
    "memory": YELLOW,
    "fusion": ORANGE,
    "decoder": VERMILION,
}
BASES: Mapping[str, str] = {
    "measured": GREEN,
    "simulated": PURPLE,
    "derived": SKY,
    "assumed": ORANGE,
}

_PREFIXES = ((9, "G"), (6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "u"), (-9, "n"))
WIDTH_IN = 7.2
DPI = 160
FONT_PT = 10.0
SMALL_PT = 8.5


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure with a canvas that can be saved, unknown to pyplot."""
    layout = ConstrainedLayoutEngine(h_pad=0.07, w_pad=0.07)
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def axes_or_new(ax: Axes | None, height_in: float, width_in: float = WIDTH_IN) -> Axes:
    """Return ``ax`` itself, or the only axes of a new figure."""
    return new_figure(height_in, width_in).add_subplot() if ax is None else ax


def dress(
    ax: Axes,
    *,
    title: str = "",
    x: str = "",
    y: str = "",
    grid: Literal["x", "y", "both"] | None = None,
) -> None:
    """Set title, axis labels and quiet lines."""
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


def legend_below(ax: Axes, columns: int, handles: Sequence[Artist] | None = None) -> None:
    """Set a frameless legend under the label of the x axis."""
    below = offset_copy(ax.transAxes, ax.get_figure(root=True), y=-34, units="points")
    ax.legend(
        handles=handles,
        fontsize=SMALL_PT,
        frameon=False,
        ncols=columns,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        handlelength=1.6,
    )


def scale_of(value: float) -> tuple[float, str]:
    """Return the factor and prefix that leave 1 to 999 of a value: ``(1e3, "m")`` for 0.005.

    Examples
    --------
    >>> scale_of(0.005), scale_of(0.0)
    ((1000.0, 'm'), (1.0, ''))
    """
    for exponent, prefix in _PREFIXES:
        if value >= 10.0**exponent:
            return 10.0**-exponent, prefix
    return (1.0, "") if value <= 0 else (1e12, "p")
