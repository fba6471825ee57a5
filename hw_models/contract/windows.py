"""Between which orders of magnitude a quantity can lie at all, and why.

A window is no estimate. It is wide enough for any device that was built, and narrow enough that
a number in picojoules, milliwatts or TOPS instead of SI units falls out of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Ends that value, low and high must lie between, in SI units, and the physics behind them.

    ``zero`` says that 0 is allowed too: the device has no such term.
    """

    low: float
    high: float
    why: str
    zero: bool = True


_OPERATION_J = Window(
    1e-16, 1e-6, "an operation costs more than switching one gate, less than one on a desktop CPU"
)
_SYNAPSE_J = Window(1e-13, 1e-7, "a synapse is read from a memory: 0.1 pJ to 100 nJ")
_POWER_W = Window(1e-6, 1e3, "from a sensor node to a server: 1 uW to 1 kW")
_TIME_S = Window(1e-12, 1e2, "not shorter than a gate delay")
_CLOCK_HZ = Window(1e4, 2e10, "clocks run at 10 kHz to 20 GHz", zero=False)
_RATE = Window(1e5, 1e16, "from a microcontroller to a data centre", zero=False)
_DOUBT = Window(0.05, 20.0, "a factor on the result, near 1", zero=False)
_SHARE = Window(1e-5, 10.0, "a share of a peak, or a factor on it", zero=False)
_COUNT = Window(0.1, 1e12, "a count")

# By the last part of a dotted key, and under the family where two use one name.
_WINDOWS: Mapping[str, Window] = {
    "synop_j": _SYNAPSE_J,
    "neuron_pass_j": _SYNAPSE_J,
    "neuron_idle_j": _SYNAPSE_J,
    "spike_j": _SYNAPSE_J,
    "message_j": _SYNAPSE_J,
    "hop_x_j": Window(1e-14, 1e-8, "a hop drives a few hundred micrometres of wires"),
    "hop_y_j": Window(1e-14, 1e-8, "a hop drives a few hundred micrometres of wires"),
    "core_tick_j": Window(1e-12, 1e-4, "a tick of a core takes many operations"),
    "chip_tick_j": Window(1e-12, 1e-2, "a tick of a chip takes many operations"),
    "byte_j": Window(1e-14, 1e-7, "0.01 pJ (SRAM beside the unit) to 100 nJ (flash) per byte"),
    "synop_s": Window(1e-12, 1e-4, "a core does at most 1e12 and at least 1e4 synops a second"),
    "sync_s": Window(1e-9, 1e-1, "a barrier crosses a chip; ticks are at most about 100 ms"),
    "launch_s": Window(1e-9, 1e-2, "starting work takes clock cycles to milliseconds"),
    "dispatch_s": Window(1e-9, 1.0, "starting a graph takes clock cycles to a second"),
    "time_factor": Window(0.01, 100.0, "a factor on time, near 1", zero=False),
    "wake_s": Window(1e-9, 1e4, "a wake-up takes cycles to hours"),
    "memory_bytes": Window(1e3, 1e14, "from a microcontroller to a server: 1 kB to 100 TB"),
    "sleep_w": Window(1e-10, 1e2, "sleep draws less than work"),
    "imbalance": Window(1.0, 1e4, "the busiest core works at least as long as the mean one"),
    "x86_busy": Window(1e-3, 1.0, "a share of the time"),
    "idle_exponent": Window(1e-3, 3.0, "an exponent between 0 and 3"),
    "mac_exponent": Window(0.3, 2.0, "an exponent near 1", zero=False),
    "activation_share": Window(1e-6, 100.0, "a share of the activations that reach memory"),
    "byte_efficiency": _SHARE,
    "efficiency": _SHARE,
    "element_share": Window(1e-6, 1e3, "a factor on element_per_s", zero=False),
    "launch_share": Window(1e-6, 1e3, "a factor on launch_s"),
    "energy_j_per_byte": Window(1e-14, 1e-1, "from a wire on a board to a long-range radio"),
    "link.byte_per_s": Window(1.0, 1e13, "from a long-range radio to an optical bus", zero=False),
    "mac_j": _OPERATION_J,
    "element_j": _OPERATION_J,
}
# By the ending of the name, for quantities without a window of their own.
_BY_ENDING: Mapping[str, Window] = {
    "_per_s": _RATE,
    "_hz": _CLOCK_HZ,
    "_s_per_spike": Window(1e-11, 1e-1, "bringing a spike in takes picoseconds to 100 ms"),
    "_w_per_chip": _POWER_W,
    "_j": _OPERATION_J,
    "_w": _POWER_W,
    "_s": _TIME_S,
    "_factor": _DOUBT,
    "_scale": _DOUBT,
}


def window_of(key: str, family: str = "") -> Window:
    """Return the window of a dotted key; what has no unit is a count.

    Examples
    --------
    >>> window_of("modes.15w.idle_w").high
    1000.0
    """
    for name in reversed(key.split(".")):
        found = _WINDOWS.get(f"{family}.{name}") or _WINDOWS.get(name)
        if found is None:
            found = next((w for ending, w in _BY_ENDING.items() if name.endswith(ending)), None)
        if found is not None:
            return found
    return _COUNT
