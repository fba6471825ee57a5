"""One figure of a whole run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from neurovlm.core.errors import UsageError
from neurovlm.viz import style
from neurovlm.viz.boxes import boxes, class_lines
from neurovlm.viz.protocols import Run, Snapshot
from neurovlm.viz.spikes import raster
from neurovlm.viz.tokens import event_image, label_probabilities, mask_over_frame, tokens_over_time

DRAWN = ("F", "D", "H")  # of the change detector: filter, detector, read-out


def overview(run: Run) -> Figure:
    """Snapshots with their mask, rasters, tokens over time and label probabilities."""
    figure = style.new_figure(11.5)
    parts = figure.subfigures(4, 1, squeeze=False, height_ratios=(2.9, 4.2, 2.5, 2.6))
    top, spikes, tokens, labels = np.asarray(parts).ravel()
    masks_in(top, run, 4)
    rasters_in(spikes, run)
    tokens_over_time(run, tokens.subplots())
    label_probabilities(run, labels.subplots())
    return figure


def masks(run: Run, n_across: int = 4, n_down: int = 1) -> Figure:
    """Snapshots spread over the run, each with its mask."""
    figure = style.new_figure(0.5 + 2.25 * n_down)
    masks_in(figure, run, n_across, n_down)
    return figure


def sightings(run: Run, n: int = 4) -> Figure:
    """Windows spread over the run, each with the boxes found in it.

    Raises
    ------
    UsageError
        When the model of the run draws no boxes.
    """
    if not run.sightings:
        raise UsageError("sightings: the model of this run draws no boxes; use one with a box head")
    index = np.linspace(0, len(run.sightings) - 1, min(n, len(run.sightings))).round().astype(int)
    chosen = [run.sightings[k] for k in np.unique(index)]
    figure = style.new_figure(2.6)
    names, axes = run.spec.box_classes, figure.subplots(1, n, squeeze=False).ravel()
    for ax in axes[len(chosen) :]:
        ax.set_axis_off()
    for ax, seen in zip(axes, chosen, strict=False):
        image = event_image(seen.counts) if seen.frame is None else seen.frame
        boxes(image, seen.found, ax=ax, names=names, legend=False)
        ax.set_title(f"window {seen.window}", fontsize=style.SMALL_PT, color=style.INK)
    figure.legend(
        handles=class_lines(range(len(names)), names),
        fontsize=style.SMALL_PT,
        frameon=False,
        ncols=len(names),
        loc="outside lower center",
    )
    return figure


def rasters(run: Run) -> Figure:
    """Rasters of the filter, the detector and its read-out."""
    figure = style.new_figure(4.4)
    rasters_in(figure, run)
    return figure


def masks_in(figure: Figure | SubFigure, run: Run, n_across: int, n_down: int = 1) -> None:
    """Draw `masks` in a part of a figure."""
    chosen = spread(run, n_across * n_down)
    n_across = min(n_across, len(chosen))
    n_down = -(-len(chosen) // n_across)
    grid = figure.subplots(n_down, n_across, squeeze=False).ravel()
    for ax in grid[len(chosen) :]:
        ax.set_axis_off()
    for ax, snapshot in zip(grid, chosen, strict=False):
        k = snapshot.window
        mask_over_frame(snapshot, run.mask.changed[k], run.active[k], ax)
    figure.legend(
        handles=_legend_of(run, chosen),
        fontsize=style.SMALL_PT,
        frameon=False,
        ncols=3,
        handlelength=1.6,
        columnspacing=1.4,
        loc="outside lower center" if isinstance(figure, Figure) else "lower center",
    )


def rasters_in(figure: Figure | SubFigure, run: Run) -> list[Axes]:
    """Draw `rasters` in a part of a figure."""
    trace = run.trace
    names = [name for name in DRAWN if name in trace.spikes] or [trace.network.output]
    axes = list(figure.subplots(len(names), 1, sharex=True, squeeze=False).ravel())
    for name, ax in zip(names, axes, strict=True):
        raster(trace, ax, population=name)
        ax.label_outer()
    return axes


def spread(run: Run, n: int) -> list[Snapshot]:
    """At most ``n`` snapshots evenly spread over the run; dense windows only if no others."""
    sparse = [snapshot for snapshot in run.snapshots if not run.dense[snapshot.window]]
    kept = sparse or list(run.snapshots)
    index = np.unique(np.linspace(0, len(kept) - 1, min(n, len(kept))).round().astype(int))
    return [kept[i] for i in index]


def _legend_of(run: Run, chosen: Sequence[Snapshot]) -> list[Line2D]:
    """What the outlines mean, and the events where they are drawn."""
    lines = [
        Line2D([], [], color=style.CHANGED, label="changed, computed"),
        Line2D([], [], color=style.REFRESHED, label="refreshed"),
    ]
    windows = [snapshot.window for snapshot in chosen]
    if (run.mask.changed[windows] & ~run.active[windows]).any():
        lines.append(
            Line2D([], [], color=style.CHANGED, linestyle="dotted", label="changed, over the cap")
        )
    if any(snapshot.frame is None for snapshot in chosen):
        for colour, label in ((style.ON, "ON event"), (style.OFF, "OFF event")):
            lines.append(
                Line2D([], [], color=colour, marker="s", markersize=4, linewidth=0, label=label)
            )
    return lines
