"""Spikes over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from neurovlm.core.errors import UsageError
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain
from neurovlm.viz import style

_MANY = 100_000  # spikes from which one pixel each is enough


def raster(
    spikes: SpikeTrain | Trace, ax: Axes | None = None, *, population: str | None = None
) -> Axes:
    """One dot per spike: neuron (row-major) over time in seconds.

    Parameters
    ----------
    spikes
        A train, or a trace of which ``population`` is drawn, the output by default.

    Raises
    ------
    UsageError
        When the trace has no such population.
    """
    name = population
    if isinstance(spikes, Trace):
        name = spikes.network.output if population is None else population
        if name not in spikes.spikes:
            known = ", ".join(spikes.spikes)
            raise UsageError(f"raster: no population {name!r} in this trace; known are {known}")
        spikes = spikes.spikes[name]
    ax = style.axes_or_new(ax, 2.4)
    many = len(spikes) > _MANY
    ax.plot(
        spikes.tick * spikes.dt_s,
        spikes.neuron,
        linestyle="none",
        marker="," if many else "s",
        markersize=1.3,
        markeredgewidth=0,
        color=style.INK,
        alpha=0.35 if many else 0.8,
        rasterized=True,
    )
    ax.set_xlim(0, max(spikes.n_ticks, 1) * spikes.dt_s)
    ax.set_ylim(spikes.n_neurons - 0.5, -0.5)
    title = f"{name}: " if name else ""
    title += f"{len(spikes):,} spikes of {spikes.n_neurons:,} neurons"
    style.dress(ax, title=title, x="time (s)", y="neuron")
    return ax


def agreement(
    traces: Mapping[str, Trace], ax: Axes | None = None, *, population: str | None = None
) -> Axes:
    """Rasters of one population from several backends on top of each other.

    Each backend's marks are smaller than those of the one before it, so spikes that agree look like
    targets; slots in which a backend differs from the first one are ringed.

    Raises
    ------
    UsageError
        When there is nothing to compare.
    """
    if not traces:
        raise UsageError("agreement: needs at least one trace by the name of its backend")
    ax = style.axes_or_new(ax, 3.2)
    first = next(iter(traces.values()))
    name = first.network.output if population is None else population
    expected = first.spikes[name]
    slots = [_slots(trace.spikes[name]) for trace in traces.values()]
    differing = 0
    for k, (label, trace) in enumerate(traces.items()):
        train = trace.spikes[name]
        differing += train.differing(expected)
        ax.plot(
            train.tick * train.dt_s,
            train.neuron,
            linestyle="none",
            marker="o",
            markersize=8.5 * 0.72**k,
            markeredgewidth=0,
            color=style.DEVICES[k % len(style.DEVICES)],
            label=f"{label}: {len(train):,}",
            rasterized=True,
        )
    odd = sorted(slots[0].union(*slots[1:]) - slots[0].intersection(*slots[1:]))
    if odd:
        tick, neuron = np.array(odd).T
        ax.plot(
            tick * expected.dt_s, neuron, "o", mfc="none", mec=style.INK, ms=12, label="differs"
        )
    ax.set_xlim(0, max(expected.n_ticks, 1) * expected.dt_s)
    ax.set_ylim(expected.n_neurons - 0.5, -0.5)
    style.dress(ax, title=f"{name}: {differing:,} differing spikes", x="time (s)", y="neuron")
    style.legend_below(ax, 3)
    return ax


def _slots(train: SpikeTrain) -> set[tuple[int, int]]:
    return set(zip(train.tick.tolist(), train.neuron.tolist(), strict=True))
