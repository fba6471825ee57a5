"""Pictures of a training and of what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neurovlm.viz import style

WHO = (("train", "people trained on", style.GREY), ("held_out", "people held out", style.VERMILION))
PAPER = {
    "accuracy": {"train": 0.98, "held_out": 0.38},
    "loss": {"held_out": 2.0},
}
"""Where the curves of the paper's figures end, or are lowest; its data is DVS128 Gesture."""


def history(looks: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy and loss over training, for people trained on and people held out.

    Dotted stands what the paper reached on its own data: `PAPER`.

    Parameters
    ----------
    looks
        Lines of a model's ``.history.jsonl``.
    """
    figure = style.new_figure(2.8)
    n_before = np.array([_before(looks, k) for k in range(len(looks))])
    steps = n_before + np.array([look["step"] for look in looks])
    axes = figure.subplots(1, 2)
    for ax, what in zip(axes, ("accuracy", "loss"), strict=True):
        for who, name, colour in WHO:
            ax.plot(steps, [look[f"{who}_{what}"] for look in looks], color=colour, label=name)
            if who in PAPER[what]:
                ax.axhline(PAPER[what][who], color=colour, linestyle="dotted", zorder=0)
        for step in np.unique(n_before)[1:]:
            ax.axvline(step, color=style.PALE, zorder=0)
        style.dress(ax, x="batches", y="cross-entropy" if what == "loss" else what, grid="y")
    axes[0].set_ylim(0, 1)
    axes[1].set_ylim(bottom=0)
    axes[0].plot([], [], color=style.INK, linestyle="dotted", label="the paper's, on its own data")
    axes[0].legend(frameon=False, fontsize=style.SMALL_PT)
    return figure


def _before(looks: Sequence[dict[str, Any]], k: int) -> int:
    """Steps of the stages before that of look ``k``."""
    stages = [look["stage"] for look in looks[: k + 1]]
    ends = [looks[i]["step"] for i in range(k) if stages[i] != stages[i + 1]]
    return int(sum(ends))


def confusion(table: NDArray[np.float64], labels: Sequence[str], title: str) -> Figure:
    """Share of each true label's clips, by the label that was given."""
    figure = style.new_figure(5.2)
    ax = figure.subplots()
    ax.imshow(table, cmap="Greys", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(table):
        if share >= 0.005:
            colour = "white" if share > 0.5 else style.INK
            text = f"{100 * share:.0f}"
            ax.text(
                column, row, text, ha="center", va="center", color=colour, fontsize=style.SMALL_PT
            )
    ticks = np.arange(len(labels))
    style.dress(ax, title=f"{title}: % of the true label's clips", x="label given", y="true label")
    ax.set_xticks(ticks, labels, rotation=45, ha="right", fontsize=style.SMALL_PT)
    ax.set_yticks(ticks, labels, fontsize=style.SMALL_PT)
    return figure


def write(
    folder: Path,
    looks: Sequence[dict[str, Any]],
    tables: dict[str, NDArray[np.float64]],
    labels: Sequence[str],
) -> list[Path]:
    """Write all pictures as PNG into ``folder``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"confusion_{name}": confusion(t, labels, name) for name, t in tables.items()}
    if looks:
        pictures["history"] = history(looks)
    paths = []
    for name, figure in pictures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=style.DPI, bbox_inches="tight")
    return paths
