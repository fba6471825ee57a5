"""The roofline of a processor with the layers of a workload below it (Williams et al. 2009)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from hw_models.intensity import BOUNDS, Bound, LayerRoofline
from hw_models.plot import style
from hw_models.plot.labels import name_points
from hw_models.units import format_number

_MARKS: Mapping[Bound, tuple[str, str, str]] = {
    "compute": (style.BLUE, "o", "arithmetic takes longest"),
    "memory": (style.VERMILION, "s", "memory takes longest"),
    "launch": (style.GREY, "^", "launching takes longest"),
}
_NAMED = 12
_SMALLEST_PT2, _LARGEST_PT2 = 20.0, 180.0  # area of a mark for none and for all of the time


def roofline(found: LayerRoofline, ax: Axes | None = None) -> Axes:
    """Draw ceilings and layers; the area of a mark grows with the layer's share of the time."""
    ax = style.axes_or_new(ax, 4.4)
    x_low, x_high = _span([p.mac_per_byte for p in found.points] + [found.ridge_mac_per_byte])
    rates = [p.mac_per_s for p in found.points] + [found.peak_mac_per_s]
    y_low, y_high = min(rates) / 3, found.peak_mac_per_s * 3
    ax.set(xscale="log", yscale="log", xlim=(x_low, x_high), ylim=(y_low, y_high))
    lines = _ceilings(ax, found, x_low, x_high, y_low)
    total_s = sum(p.time_s for p in found.points) + found.other_s
    for bound in BOUNDS:
        mine = [p for p in found.points if p.bound == bound]
        if not mine:
            continue
        colour, marker, words = _MARKS[bound]
        share = sum(p.time_s for p in mine) / total_s
        ax.scatter(
            [p.mac_per_byte for p in mine],
            [p.mac_per_s for p in mine],
            s=[_SMALLEST_PT2 + _LARGEST_PT2 * p.time_s / total_s for p in mine],
            color=colour,
            marker=marker,
            alpha=0.75,
            edgecolors="white",
            linewidths=0.6,
            zorder=3,
        )
        ax.plot(
            [],
            [],
            linestyle="none",
            color=colour,
            marker=marker,
            markersize=6,
            label=f"{words}: {len(mine)} {'layer' if len(mine) == 1 else 'layers'}, "
            f"{share:.0%} of the time",
        )
    slowest = sorted(found.points, key=lambda p: -p.time_s)
    names = [(p.mac_per_byte, p.mac_per_s, p.layer) for p in slowest]
    name_points(ax, names, lines, at_most=_NAMED)
    style.dress(
        ax,
        title=f"Roofline: {found.workload_name} on {found.device}, {found.precision}",
        x="intensity (MAC per byte moved, log scale)",
        y="rate (MAC/s, log scale)",
        grid="both",
    )
    if found.other_layers:
        share = found.other_s / total_s if total_s else 0.0
        some = "layer has" if found.other_layers == 1 else "layers have"
        label = f"{found.other_layers} {some} no place here (no MACs or no bytes): {share:.0%}"
        ax.plot([], [], linestyle="none", label=f"{label} of the time")
    if found.points or found.other_layers:
        style.legend_below(ax, 1 if found.other_layers else 2)
    return ax


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 4, max(values) * 12


def _ceilings(
    ax: Axes, found: LayerRoofline, x_low: float, x_high: float, y_low: float
) -> npt.NDArray[np.float64]:
    """Draw the ceilings; return positions along them, shape (n, 2)."""
    ridge, peak = found.ridge_mac_per_byte, found.peak_mac_per_s
    line = {"color": style.INK, "linewidth": 1.4, "zorder": 2}
    ax.plot([x_low, ridge, x_high], [x_low * found.byte_per_s, peak, peak], **line)  # type: ignore[arg-type]
    ax.plot([ridge, ridge], [y_low, peak], color=style.GREY, linewidth=0.9, linestyle="dotted")
    small = {"fontsize": style.SMALL_PT, "color": style.INK, "textcoords": "offset points"}
    ax.annotate(
        f"peak {format_number(peak, 'MAC/s')}",
        (x_high, peak),
        xytext=(-4, 5),
        ha="right",
        **small,  # type: ignore[arg-type]
    )
    ax.annotate(
        f"ridge {ridge:.3g} MAC/B",
        (ridge, y_low),
        xytext=(4, 6),
        **small,  # type: ignore[arg-type]
    )
    lowest = max(x_low, y_low / found.byte_per_s)
    middle = math.sqrt(lowest * ridge)
    ax.annotate(
        f"memory {format_number(found.byte_per_s, 'B/s')}",
        (middle, middle * found.byte_per_s),
        xytext=(-6, 6),
        ha="right",
        **small,  # type: ignore[arg-type]
    )
    x = np.geomspace(x_low, x_high, 300)
    ceiling = np.minimum(x * found.byte_per_s, peak)
    upright = np.geomspace(y_low, peak, 60)
    return np.concatenate(
        [np.stack([x, ceiling], 1), np.stack([np.full_like(upright, ridge), upright], 1)]
    )
