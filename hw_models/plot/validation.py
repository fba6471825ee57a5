"""Predicted against measured, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes

from hw_models.plot import style
from hw_models.validate.score import Scored, predictions
from hw_models.validate.summary import Summary

_WORDS = {"s": "time / ms", "J": "energy / mJ"}
_MARKERS = "os^Dv"
_MILLI = 1e3


def plot_validation(
    summary: Summary, ax: Axes | None = None, *, unit: Literal["s", "J"] = "s"
) -> Axes:
    """Draw each predicted check row with its 90% interval, a colour for each target group.

    Both axes are logarithmic; on the diagonal a prediction is exact.

    Parameters
    ----------
    summary
        What :func:`hw_models.validate.command.validate` returns.
    ax
        Where to draw; a new figure by default.
    unit
        ``s`` draws times in ms, ``J`` energies in mJ.
    """
    ax = style.axes_or_new(ax, 5.6)
    checks = [each for each in predictions(summary.outcomes) if each.prediction.unit == unit]
    groups = {
        judged.target.name: [each for each in checks if judged.target.selects(each)]
        for judged in summary.targets
    }
    drawn = [(name, group) for name, group in groups.items() if group]
    for index, (name, group) in enumerate(drawn):
        colour = style.LINES[index % len(style.LINES)]
        _draw(ax, f"{name} ({len(group)})", group, colour, _MARKERS[index % len(_MARKERS)])
    style.dress(ax, x=f"measured {_WORDS[unit]}", y=f"predicted {_WORDS[unit]}", grid="both")
    if not drawn:
        ax.text(0.5, 0.5, "no check rows to draw", transform=ax.transAxes, ha="center")
        return ax
    ax.set_xscale("log")
    ax.set_yscale("log")
    measured = [each.prediction.measured * _MILLI for _, group in drawn for each in group]
    ends = [min(measured), max(measured)]
    ax.plot(ends, ends, color=style.GREY, linewidth=1, zorder=0)
    style.legend_below(ax, columns=2)
    return ax


def _draw(ax: Axes, label: str, group: Sequence[Scored], colour: str, marker: str) -> None:
    found = [each.prediction for each in group]
    below = [(each.predicted.value - each.predicted.low) * _MILLI for each in found]
    above = [(each.predicted.high - each.predicted.value) * _MILLI for each in found]
    ax.errorbar(
        [each.measured * _MILLI for each in found],
        [each.predicted.value * _MILLI for each in found],
        yerr=[below, above],
        fmt=marker,
        color=colour,
        markersize=4,
        linewidth=0.8,
        alpha=0.7,
        label=label,
        zorder=2 + 1 / len(group),  # few points stay visible among many
    )
