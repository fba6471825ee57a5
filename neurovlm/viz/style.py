"""One look for all pictures: that of ``hw_models.plot``, and colours by the roles of a run."""

from __future__ import annotations

from hw_models.plot.style import (
    BLUE,
    DPI,
    FONT_PT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL_PT,
    VERMILION,
    WIDTH_IN,
    axes_or_new,
    dress,
    legend_below,
    new_figure,
)

__all__ = [
    "BLUE",
    "CHANGED",
    "COMPUTED",
    "DENSE",
    "DEVICES",
    "DPI",
    "FONT_PT",
    "GREEN",
    "GREY",
    "INK",
    "MARKERS",
    "OFF",
    "ON",
    "ORANGE",
    "PALE",
    "PURPLE",
    "REFRESHED",
    "SKY",
    "SMALL_PT",
    "VERMILION",
    "WIDTH_IN",
    "axes_or_new",
    "dress",
    "legend_below",
    "new_figure",
]

CHANGED = VERMILION
REFRESHED = BLUE
COMPUTED = INK
DENSE = GREY
ON = INK
OFF = "#9E9E9E"
DEVICES = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
