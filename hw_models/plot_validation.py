"""Predicted against measured, as a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hw_models.validate.score import Scored, predictions
from hw_models.validate.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MILLI = 1e3  # seconds and joules are drawn in thousandths


def plot_validation(summary: Summary, ax: Axes) -> Axes:
    """Draw every predicted check row with its 90% interval, one colour per target group.

    Both axes are logarithmic; on the diagonal a prediction is exact. Latency in ms and energy in
    mJ share the axes.

    Parameters
    ----------
    summary
        What :func:`hw_models.validate.command.validate` returns.
    ax
        Where to draw.
    """
    checks = predictions(summary.outcomes)
    ends = []
    for judged in summary.targets:
        group = [each for each in checks if judged.target.selects(each)]
        if group:
            _draw(ax, judged.target.name, group)
            ends += [each.prediction.measured * _MILLI for each in group]
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("measured: latency / ms, energy / mJ")
    ax.set_ylabel("predicted, with 90% interval")
    if ends:
        limits = [min(ends), max(ends)]
        ax.plot(limits, limits, color="0.5", linewidth=1, zorder=0)
        ax.legend(fontsize="small")
    return ax


def _draw(ax: Axes, name: str, group: list[Scored]) -> None:
    found = [each.prediction for each in group]
    measured = [each.measured * _MILLI for each in found]
    value = [each.predicted.value * _MILLI for each in found]
    below = [(each.predicted.value - each.predicted.low) * _MILLI for each in found]
    above = [(each.predicted.high - each.predicted.value) * _MILLI for each in found]
    error = math.exp(sum(abs(math.log(each.ratio)) for each in found) / len(found))
    ax.errorbar(
        measured,
        value,
        yerr=[below, above],
        fmt="o",
        markersize=4,
        linewidth=0.8,
        alpha=0.7,
        label=f"{name} (n={len(found)}, typically {error:.2f}x)",
    )
