"""Spikes over time."""

from __future__ import annotations

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
