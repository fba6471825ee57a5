"""What neurons do inside: probed potentials, rates over time, work per population."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import WEIGHT_SHIFT
from neurovlm.spiking.network import Kind, Population
from neurovlm.spiking.trace import Trace
from neurovlm.viz import style

_SCALED = ("u", "v", "w")  # kept in 64ths of a weight in Loihi precision


def membrane(
    trace: Trace,
    population: str,
    neurons: Sequence[int] = (0,),
    ax: Axes | None = None,
    *,
    variable: str = "v",
) -> Axes:
    """A probed variable over time, in units of weight; spikes are ticks on top.

    v is the potential after the tick, so it is 0 where the neuron has just fired. The dashed line
    is the threshold of the first neuron, with its rise where ``w`` was probed too.

    Raises
    ------
    UsageError
        When the variable was not probed or a neuron does not exist.
    """
    values = _probed(trace, population, variable)
    p = trace.network.population(population)
    bad = [n for n in neurons if not 0 <= n < p.size]
    if bad:
        raise UsageError(
            f"membrane: population {population!r} has neurons 0..{p.size - 1}, got {bad[0]}"
        )
    ax = style.axes_or_new(ax, 2.4)
    dt_s = trace.network.dynamics.dt_s
    time_s = np.arange(1, trace.n_ticks + 1) * dt_s
    train = trace.spikes[population]
    for colour, neuron in zip(style.DEVICES * len(neurons), neurons, strict=False):
        ax.plot(time_s, values[:, neuron], color=colour, linewidth=1.0, label=f"neuron {neuron}")
        fired_s = (train.tick[train.neuron == neuron] + 1) * dt_s
        top = np.full(len(fired_s), 0.96)  # of the height
        across = ax.get_xaxis_transform()
        ax.plot(fired_s, top, "|", color=colour, markersize=7, transform=across)
    if variable == "v" and p.kind is Kind.LIF:
        level = _threshold(trace, p, neurons[0])
        ax.plot(time_s, level, color=style.GREY, linewidth=0.8, linestyle="--", label="threshold")
    ax.set_xlim(0, max(trace.n_ticks, 1) * dt_s)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.12 * (high - low))  # room for the spikes
    unit = " (weights)" if variable in _SCALED else ""
    style.dress(ax, title=f"{population}: {variable}", x="time (s)", y=f"{variable}{unit}")
    style.legend_below(ax, min(len(neurons) + 1, 5))
    return ax


def rates(trace: Trace, ax: Axes | None = None, *, bin_s: float = 0.025) -> Axes:
    """Spikes per neuron and second of every population, in bins of ``bin_s``.

    Raises
    ------
    UsageError
        When a bin is shorter than a tick.
    """
    dt_s = trace.network.dynamics.dt_s
    bin_ticks = round(bin_s / dt_s)
    if bin_ticks < 1:
        raise UsageError(f"rates: bin_s must be at least a tick of {dt_s:g} s, got {bin_s:g}")
    ax = style.axes_or_new(ax, 2.4)
    edges = np.append(np.arange(0, trace.n_ticks, bin_ticks), trace.n_ticks)
    for colour, (name, train) in zip(
        style.DEVICES * len(trace.spikes), trace.spikes.items(), strict=False
    ):
        spikes = np.diff(np.searchsorted(train.tick, edges))
        rate_hz = spikes / (train.n_neurons * np.diff(edges) * dt_s)
        ax.stairs(rate_hz, edges * dt_s, color=colour, linewidth=1.1, label=name)
    ax.set_xlim(0, max(trace.n_ticks, 1) * dt_s)
    ax.set_ylim(bottom=0)
    style.dress(ax, title="spikes per neuron and second", x="time (s)", y="rate (Hz)", grid="y")
    style.legend_below(ax, min(len(trace.spikes), 8))
    return ax


def work(trace: Trace, ax: Axes | None = None) -> Axes:
    """Spikes sent, synops received and neuron updates of every population, on a log axis."""
    ax = style.axes_or_new(ax, 0.9 + 0.42 * len(trace.populations))
    synops = dict.fromkeys((p.name for p in trace.populations), 0)
    for c in trace.connections:
        synops[c.target] += c.synops
    kinds = {
        "spikes": [p.spikes for p in trace.populations],
        "synops": list(synops.values()),
        "neuron updates": [p.neuron_updates for p in trace.populations],
    }
    rows = np.arange(len(synops))
    height = 0.26
    colours = (style.VERMILION, style.BLUE, style.GREY)
    for k, ((label, counts), colour) in enumerate(zip(kinds.items(), colours, strict=True)):
        ax.barh(rows + (k - 1) * height, counts, height, color=colour, label=label)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(left=0)
    ax.set_yticks(rows, list(synops))
    ax.invert_yaxis()
    style.dress(ax, title=f"work in {trace.n_ticks:,} ticks", x="count", grid="x")
    style.legend_below(ax, 3)
    return ax


def _probed(trace: Trace, population: str, variable: str) -> NDArray[np.float64]:
    """``(n_ticks, n)``, in units of weight."""
    found = trace.probed.get(population, {})
    if variable not in found:
        known = [f"{p}.{name}" for p, names in trace.probed.items() for name in names]
        raise UsageError(
            f"membrane: {variable!r} of population {population!r} was not probed (probed: "
            f"{', '.join(known) or 'nothing'}); run with probes=[probe({population!r}, "
            f"[{variable!r}])]"
        )
    values = found[variable].astype(np.float64)
    loihi = trace.network.dynamics.precision is Precision.LOIHI
    return values / (1 << WEIGHT_SHIFT) if loihi and variable in _SCALED else values


def _threshold(trace: Trace, p: Population, neuron: int) -> NDArray[np.float64]:
    level = np.full(trace.n_ticks, p.threshold[neuron])
    return level + _probed(trace, p.name, "w")[:, neuron] if "w" in trace.probed[p.name] else level
