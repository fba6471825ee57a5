"""Energy of two devices over a rate or an activity, and where they change places."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from hw_models.break_even import BreakEven, Over
from hw_models.plot import style

_X: Mapping[Over, str] = {
    "rate": "inferences per second (Hz, log scale)",
    "event_rate": "injected spikes per second (Hz{log})",
    "activity": "activity (executed share of what can be skipped)",
}
_WIDE = 20.0  # ratio of largest to smallest energy from which the scale is logarithmic


def break_even(found: BreakEven, ax: Axes | None = None) -> Axes:
    """Draw both energies with their 5-95% bands, the crossing with its own, and the run itself."""
    ax = style.axes_or_new(ax, 4.2)
    log_x = found.over != "activity" and found.x[0] > 0
    ends = [end for curve in (found.a, found.b) for q in curve.energy_j for end in (q.low, q.high)]
    factor, prefix = style.scale_of(max(ends))
    for curve, colour, line in ((found.a, style.BLUE, "-"), (found.b, style.VERMILION, "--")):
        low, value, high = (
            [getattr(q, name) * factor for q in curve.energy_j] for name in ("low", "value", "high")
        )
        ax.fill_between(found.x, low, high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(found.x, value, color=colour, linestyle=line, linewidth=1.8, label=curve.device)
    if found.crossing is not None:
        crossing = found.crossing
        ax.axvspan(crossing.low, crossing.high, color=style.PALE, alpha=0.6, linewidth=0, zorder=0)
        ax.axvline(
            crossing.value,
            color=style.INK,
            linewidth=1.2,
            label="break-even, 5-95% shaded",
            zorder=1,
        )
    if found.x[0] <= found.at <= found.x[-1]:
        ax.axvline(found.at, color=style.GREY, linewidth=1, linestyle="dotted", label="this run")
    ax.set_xlim(found.x[0], found.x[-1])
    if log_x:
        ax.set_xscale("log")
    if min(ends) > 0 and max(ends) / min(ends) > _WIDE:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, None)
    scope = "idle included" if found.scope == "device" else "above idle"
    style.dress(
        ax,
        title=f"Break-even of {found.workload_name}, estimated, bands 5-95%",
        x=_X[found.over].format(log=", log scale" if log_x else ""),
        y=f"energy per inference,\n{scope} ({prefix}J)",
        grid="both",
    )
    style.legend_below(ax, 2)
    return ax
