"""What each tool means by the numbers it writes, as exact decays and gains per step.

Read from the sources of snnTorch 1.0.0 (``export_nir.py``), Norse 1.1.0 (``export_nir.py``),
SpikingJelly 2.0.0 (``nir_exchange/to_nir.py``) and Sinabs 3.1.3 (``nir.py``), and checked against
spikes those tools made (tests/fixtures/nir).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError, UsageError

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """Neurons as ``u = keep_u u + x; v = keep_v v + gain u``, fired by ``v > threshold``.

    Attributes
    ----------
    keep_u
        None where the input reaches v at once (``u = x``).
    threshold
        None for neurons that never fire.
    """

    keep_v: Values
    gain: Values
    threshold: Values | None
    keep_u: Values | None = None


@dataclass(frozen=True)
class Settings:
    """What a file cannot say.

    Attributes
    ----------
    dt_s
        Seconds per step of the tool.
    norm_input
        Sinabs only: whether inputs were scaled by 1 - alpha.
    """

    dt_s: float
    norm_input: bool = True


Read: TypeAlias = Callable[[str, nir.NIRNode, Settings], Cell]


@dataclass(frozen=True)
class Dialect:
    """How one tool writes NIR.

    Attributes
    ----------
    dt_s
        Seconds per step unless said otherwise.
    soft_reset
        What a soft reset, which the file shows as a hard one, is called there; empty where the
        tool writes none. The reader has to confirm the reset.
    zero_reset
        How a network with the hard reset is built.
    notes
        What is assumed.
    reads_itself
        Whether the tool's import understands what its export writes.
    """

    name: str
    dt_s: float
    read: Read
    soft_reset: str
    zero_reset: str
    notes: tuple[str, ...]
    reads_itself: bool = True


def dialect(name: str) -> Dialect:
    """The dialect called ``name``.

    Raises
    ------
    UsageError
        For an unknown one, or for Nengo, with the reason.
    """
    if name == "nengo":
        raise UsageError(
            "dialect 'nengo': Nengo has no NIR writer, and its LIF integrates the rest of the step "
            "after a spike, which no graph here does; build the network with LoihiLIF neurons and "
            "write its parameters as nir.LIF"
        )
    if name not in DIALECTS:
        raise UsageError(f"dialect must be one of {', '.join(DIALECTS)}, got {name!r}")
    return DIALECTS[name]


def _snntorch(name: str, node: nir.NIRNode, settings: Settings) -> Cell:
    """Read tau = dt / (1 - beta) and r = tau / dt, in float32, with the dt of 1e-4 s built in.

    ``1 - beta`` is exact in float32 for beta of 1/2 and more, so rounding ``1 - dt / tau`` to
    float32 gives the very beta the network had.
    """
    if not isinstance(node, nir.LIF | nir.CubaLIF):
        raise _never_writes("snnTorch", name, node)
    _only(name, node, v_leak=0, v_reset=0)
    dt = DIALECTS["snntorch"].dt_s
    threshold = _values(node.v_threshold)
    if isinstance(node, nir.LIF):
        return Cell(_keep32(name, "tau", node.tau, dt), _gain(node.r, node.tau, dt), threshold)
    gain = _gain(node.r, node.tau_mem, dt) * _gain(node.w_in, node.tau_syn, dt)
    keep_v, keep_u = (_keep32(name, tau, getattr(node, tau), dt) for tau in ("tau_mem", "tau_syn"))
    return Cell(keep_v, gain, threshold, keep_u)


def _norse(name: str, node: nir.NIRNode, settings: Settings) -> Cell:
    """Read tau = dt / tau_inv where seconds would be 1 / tau_inv; a step loses dt * tau_inv.

    v starts at v_leak there and at 0 here, so v_leak has to be 0.
    """
    _only(name, node, r=1, v_leak=0, v_reset=0)
    threshold = _values(node.v_threshold) if hasattr(node, "v_threshold") else None

    def loss(label: str) -> Values:
        return settings.dt_s**2 / _positive(name, label, getattr(node, label))

    if isinstance(node, nir.IF):
        return Cell(np.ones(node.r.shape), np.ones(node.r.shape), threshold)
    if isinstance(node, nir.LIF | nir.LI):
        lost = loss("tau")
        return Cell(1 - lost, lost, threshold)
    if isinstance(node, nir.CubaLIF):
        return Cell(1 - loss("tau_mem"), loss("tau_mem"), threshold, 1 - loss("tau_syn"))
    raise _never_writes("Norse", name, node)


def _spikingjelly(name: str, node: nir.NIRNode, settings: Settings) -> Cell:
    """Euler steps of dt; fires on v >= threshold; v starts at v_reset, to which it also leaks."""
    if not isinstance(node, nir.LIF | nir.IF | nir.CubaLIF):
        raise _never_writes("SpikingJelly", name, node)
    dt = settings.dt_s
    threshold = just_below(node.v_threshold) - _values(node.v_reset)
    if isinstance(node, nir.IF):
        return Cell(np.ones(node.r.shape), _values(node.r) * dt, threshold)
    if isinstance(node, nir.CubaLIF):
        _only(name, node, v_leak=0, v_reset=0)
        gain = _gain(node.r, node.tau_mem, dt) * _gain(node.w_in, node.tau_syn, dt)
        keep_v, keep_u = (
            _keep(name, tau, getattr(node, tau), dt) for tau in ("tau_mem", "tau_syn")
        )
        return Cell(keep_v, gain, threshold, keep_u)
    if not np.array_equal(node.v_leak, node.v_reset):
        raise GraphError(
            f"node {name!r}: SpikingJelly leaks to v_reset, got v_leak={_first(node.v_leak):g} and "
            f"v_reset={_first(node.v_reset):g}; make them one"
        )
    return Cell(_keep(name, "tau", node.tau, dt), _gain(node.r, node.tau, dt), threshold)


def _sinabs(name: str, node: nir.NIRNode, settings: Settings) -> Cell:
    """Keep alpha = exp(-1 / tau) in float32, tau in steps; fires on v >= threshold."""
    _only(name, node, r=1, v_leak=0, v_reset=0)
    threshold = just_below(node.v_threshold) if hasattr(node, "v_threshold") else None
    if isinstance(node, nir.IF):
        return Cell(np.ones(node.r.shape), np.ones(node.r.shape), threshold)
    if not isinstance(node, nir.LIF | nir.LI):
        raise _never_writes("Sinabs", name, node)
    keep = np.exp(-1 / _positive(name, "tau", node.tau)).astype(np.float32).astype(np.float64)
    return Cell(keep, 1 - keep if settings.norm_input else np.ones_like(keep), threshold)


DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        Dialect(
            "snntorch",
            1e-4,
            _snntorch,
            'reset_mechanism="subtract", its default',
            'reset_mechanism="zero" (and reset_delay=False for Synaptic and RLeaky)',
            (
                "tau is read with the step of 1e-4 s that snnTorch builds in",
                "not in the file, taken as unused: inhibition, graded_spikes_factor, state_quant",
            ),
        ),
        Dialect(
            "norse",
            1e-3,
            _norse,
            "",
            "",
            (
                "tau is read as to_nir writes it, dt / tau_inv, with the module's dt",
                "the file names no reset: reset_value to 0, the default, is assumed",
            ),
            reads_itself=False,
        ),
        Dialect(
            "spikingjelly",
            1e-4,
            _spikingjelly,
            "",
            "",
            ("neurons fire on v >= v_threshold: the threshold is moved down by one float32 step",),
        ),
        Dialect(
            "sinabs",
            1e-3,
            _sinabs,
            "MembraneSubtract and MultiSpike, its defaults",
            "spike_fn=SingleSpike, reset_fn=MembraneReset()",
            (
                "tau counts steps and is read as the decay exp(-1 / tau)",
                "neurons fire on v >= v_threshold: the threshold is moved down by one float32 step",
                "not in the file, taken as unused: tau_syn, min_v_mem",
            ),
        ),
    )
}


def to_node(cell: Cell, dt_s: float) -> nir.NIRNode:
    """The cell as the NIR node whose Euler reading with ``dt_s`` has its decays and gain."""
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = dt_s / (1 - cell.keep_v)
        r = np.where(np.isinf(tau), cell.gain / dt_s, cell.gain * tau / dt_s)
    zero = np.zeros_like(r)
    if cell.threshold is None:
        return nir.LI(tau, r, zero)
    if cell.keep_u is not None:
        tau_syn = dt_s / (1 - cell.keep_u)
        return nir.CubaLIF(tau_syn, tau, r, zero, cell.threshold, zero, tau_syn / dt_s)
    if np.isinf(tau).all():
        return nir.IF(r, cell.threshold, zero)
    return nir.LIF(tau, r, zero, cell.threshold, zero)


def just_below(threshold: Any) -> Values:
    """The float32 value below, so that ``v > just_below(th)`` is ``v >= th`` for float32 v."""
    single = np.asarray(threshold, dtype=np.float32)
    return np.nextafter(single, np.float32(-np.inf)).astype(np.float64)


def _keep(name: str, label: str, tau: Any, dt_s: float) -> Values:
    return 1 - dt_s / _positive(name, label, tau)


def _keep32(name: str, label: str, tau: Any, dt_s: float) -> Values:
    dt_as_written = float(np.asarray(tau).dtype.type(dt_s))
    return _keep(name, label, tau, dt_as_written).astype(np.float32).astype(np.float64)


def _gain(r: Any, tau: Any, dt_s: float) -> Values:
    """``r dt / tau``, exactly 1 where float32 left a few parts in 1e7, and for no leak at all."""
    with np.errstate(invalid="ignore"):
        gain = _values(r) * dt_s / _values(tau)
    return np.where(np.isnan(gain) | (np.abs(gain - 1) < 1e-6), 1.0, gain)


def _positive(name: str, label: str, values: Any) -> Values:
    array = _values(values)
    if not np.all(array > 0):
        raise GraphError(
            f"node {name!r}: {label} must be positive, got {array[~(array > 0)][0]:g}; correct it"
        )
    return array


def _only(name: str, node: nir.NIRNode, **expected: float) -> None:
    for label, value in expected.items():
        got = _values(getattr(node, label, value))
        if not np.all(got == value):
            raise GraphError(
                f"node {name!r}: {label} must be {value:g} in this dialect, got "
                f"{got[got != value][0]:g}; shift or scale the potentials"
            )


def _never_writes(tool: str, name: str, node: nir.NIRNode) -> GraphError:
    return GraphError(
        f"node {name!r}: {tool} does not write a {type(node).__name__}; choose the dialect of the "
        "tool that wrote the file, or none"
    )


def _values(values: Any) -> Values:
    return np.asarray(values, dtype=np.float64)


def _first(values: Any) -> float:
    return float(_values(values).ravel()[0])
