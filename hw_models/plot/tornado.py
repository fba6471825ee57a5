"""Constants that widen a result, each over its own range, widest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from hw_models.plot import style
from hw_models.sensitivity import Quantity, Sensitivity
from hw_models.uncertainty import Swing
from hw_models.units import format_constant, format_number, unit_of

WORDS: dict[Quantity, tuple[str, str]] = {
    "energy_active_j": ("energy above idle", "J"),
    "energy_j": ("energy with idle", "J"),
    "power_w": ("power", "W"),
    "latency_s": ("latency", "s"),
}

_LEAST_SHARE = 0.02


def tornado(found: Sensitivity, ax: Axes | None = None, *, at_most: int = 10) -> Axes:
    """Draw how far each constant alone moves a result; the line is the nominal result.

    At the ends of a bar stands the value of the constant there; beside the bar its name, nominal
    value and range, basis and source. Colours tell the basis. Constants that move the result less
    than a fiftieth of what the first one does are counted, not drawn.
    """
    swings = [swing for swing in found.swings[:at_most] if _matters(swing, found.swings[0])]
    ax = style.axes_or_new(ax, 1.75 + 0.42 * max(len(swings), 1))
    words, unit = WORDS[found.quantity]
    factor, prefix = style.scale_of(max([found.value, *(swing.high for swing in swings)]))
    for place, swing in enumerate(swings):
        width = (swing.high - swing.low) * factor
        ax.barh(place, width, 0.56, swing.low * factor, color=style.BASES[swing.constant.basis])
        for at, text, side in _ends(swing):
            ax.annotate(
                text,
                (at * factor, place),
                xytext=(3 if side == "left" else -3, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=style.SMALL_PT - 1,
                color=style.INK,
            )
    ax.axvline(found.value * factor, color=style.INK, linewidth=1)
    ax.set_yticks(range(len(swings)), [_label(swing) for swing in swings])
    ax.set_ylim(max(len(swings), 1) - 0.4, -0.6)
    if swings:
        low, high = min(s.low for s in swings), max(s.high for s in swings)
        room = 0.2 * (high - low)
        ax.set_xlim((low - room) * factor, (high + room) * factor)
    else:
        ax.text(0.5, 0.5, "no constant moves it", transform=ax.transAxes, ha="center")
    rest = len(found.swings) - len(swings)
    per = "" if found.quantity == "power_w" else " per inference"
    style.dress(ax, x=f"{words}{per} ({prefix}{unit})", grid="x")
    more = f"; {rest} more constants move it less" if rest > 0 else ""
    # the labels of the bars are long: the title ends where the axes do
    _title(ax, f"What moves {words}", 19, style.FONT_PT + 0.5)
    _title(ax, f"{found.workload_name} on {found.device}{more}", 6, style.SMALL_PT)
    used = {swing.constant.basis for swing in swings}
    handles = [Patch(color=hue, label=basis) for basis, hue in style.BASES.items() if basis in used]
    if handles:
        style.legend_below(ax, len(handles), handles)
    return ax


def _matters(swing: Swing, first: Swing) -> bool:
    return swing.high - swing.low >= _LEAST_SHARE * (first.high - first.low)


def _title(ax: Axes, text: str, up_pt: float, size_pt: float) -> None:
    ax.annotate(
        text,
        (1, 1),
        xycoords="axes fraction",
        xytext=(0, up_pt),
        textcoords="offset points",
        ha="right",
        fontsize=size_pt,
        color=style.INK,
    )


def _ends(swing: Swing) -> Iterator[tuple[float, str, Literal["left", "right"]]]:
    """Result, text and alignment of the two ends: what the constant is there."""
    at_low, at_high = swing.constant.low, swing.constant.high
    if swing.falls:
        at_low, at_high = at_high, at_low
    unit = unit_of(swing.name)
    for result, value, side in ((swing.low, at_low, "right"), (swing.high, at_high, "left")):
        text = format_number(value, unit) if unit else f"{value:g}"
        yield result, text, side  # type: ignore[misc]


def _label(swing: Swing) -> str:
    constant = swing.constant
    part, _, key = swing.name.partition(".")
    value = format_constant(swing.name, constant)
    return f"{key} ({part})\n{value}; {constant.basis}, {constant.source}"
