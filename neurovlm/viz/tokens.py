"""Patches and tokens: where something changed and what was computed again."""

from __future__ import annotations

from math import isqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from neurovlm.viz import style
from neurovlm.viz.protocols import Run, Snapshot, window_edges_s

_INSET = 0.06  # of a patch: keeps neighbouring outlines apart


def event_image(counts: NDArray[np.uint8]) -> NDArray[np.float64]:
    """RGB ``(pixels, pixels, 3)`` of OFF and ON counts: white, ON dark, OFF grey."""
    image = np.ones((*counts.shape[1:], 3))
    image[counts[0] > 0] = to_rgb(style.OFF)
    image[counts[1] > 0] = to_rgb(style.ON)
    return image


def mask_over_frame(
    snapshot: Snapshot,
    changed: NDArray[np.bool_],
    active: NDArray[np.bool_],
    ax: Axes | None = None,
) -> Axes:
    """The frame, or the events where there is none, with the patches that changed.

    Outlined are patches that changed and were computed, those that were computed as a refresh,
    and, dotted, those that changed but found no room under the cap. Where every token was
    computed only the changed ones are outlined.

    Parameters
    ----------
    changed, active
        bool ``(n_patches,)`` of the snapshot's window.
    """
    ax = style.axes_or_new(ax, 3.4, 3.4)
    side = isqrt(len(changed))
    image = event_image(snapshot.counts) if snapshot.frame is None else snapshot.frame
    ax.imshow(image, extent=(0, side, side, 0), interpolation="nearest")
    every = bool(active.all())
    computed = changed & active
    _outline(ax, computed, side, style.CHANGED, dotted=False)
    _outline(ax, changed & ~active, side, style.CHANGED, dotted=True)
    if not every:
        _outline(ax, active & ~changed, side, style.REFRESHED, dotted=False)
    ax.set(xticks=[], yticks=[], xlim=(0, side), ylim=(side, 0))
    done = "all" if every else int(active.sum())
    ax.set_title(
        f"window {snapshot.window}\n{int(changed.sum())} changed\n{done} computed",
        fontsize=style.SMALL_PT,
        color=style.INK,
    )
    return ax


def _outline(ax: Axes, chosen: NDArray[np.bool_], side: int, colour: str, dotted: bool) -> None:
    boxes = [
        Rectangle((i % side + _INSET, i // side + _INSET), 1 - 2 * _INSET, 1 - 2 * _INSET)
        for i in np.flatnonzero(chosen)
    ]
    ax.add_collection(
        PatchCollection(
            boxes,
            facecolor=to_rgba(colour, 0.06 if dotted else 0.14),
            edgecolor=colour,
            linewidth=0.8 if dotted else 1.2,
            linestyle="dotted" if dotted else "solid",
        )
    )


def tokens_over_time(run: Run, ax: Axes | None = None) -> Axes:
    """Patches that changed, tokens computed and tokens refreshed, per window.

    Dense steps, which compute every token, are marked at the upper edge, which leaves room for
    the sparse steps only.
    """
    ax = style.axes_or_new(ax, 2.6)
    edges = window_edges_s(run)
    sparse = ~run.dense
    n_changed = run.mask.n_changed
    n_active = np.where(sparse, run.active.sum(axis=1), np.nan)
    n_refreshed = np.where(sparse, run.refreshed.sum(axis=1), np.nan)
    for values, label, colour, width in (
        (n_active, "tokens computed", style.COMPUTED, 1.4),
        (n_changed, "patches changed", style.CHANGED, 1.2),
        (n_refreshed, "of the computed, refreshed", style.REFRESHED, 1.2),
    ):
        ax.stairs(values, edges, baseline=None, label=label, color=colour, linewidth=width)
    cap = run.spec.policy.max_active
    ax.axhline(cap, color=style.GREY, linestyle="dashed", linewidth=1, label=f"cap, {cap} tokens")
    top = 1.2 * max(cap, int(n_changed[sparse].max(initial=0)))
    if run.dense.any():
        middle = (edges[:-1] + edges[1:])[run.dense] / 2
        ax.plot(
            middle,
            np.full(len(middle), 0.94 * top),
            linestyle="none",
            marker="v",
            color=style.DENSE,
            clip_on=False,
            label=f"dense step, all {run.active.shape[1]}",
        )
    ax.set_xlim(0, edges[-1])
    ax.set_ylim(0, top)
    style.dress(ax, title="Tokens per window", x="time (s)", y="count", grid="y")
    style.legend_below(ax, 3)
    return ax


def label_probabilities(run: Run, ax: Axes | None = None) -> Axes:
    """Probability of each label after each window, as shades between 0 and 1."""
    ax = style.axes_or_new(ax, 2.8)
    edges = window_edges_s(run)
    n_labels = len(run.spec.labels)
    ax.pcolormesh(
        edges,
        np.arange(n_labels + 1) - 0.5,
        run.probabilities.T,
        cmap="Blues",
        vmin=0,
        vmax=1,
        rasterized=True,
    )
    ax.set_yticks(range(n_labels), run.spec.labels)
    ax.set_ylim(n_labels - 0.5, -0.5)
    style.dress(ax, title="Label probability (white 0, darkest 1)", x="time (s)")
    return ax
