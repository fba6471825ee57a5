"""NIR neuron nodes, with their extensions, as populations in canonical form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Encoding, Extension
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Kind, Population

FIRING_NODES = (nir.CubaLIF, nir.LIF, nir.IF)
SILENT_NODES = (nir.CubaLI, nir.LI, nir.I)
NEURON_NODES = (*FIRING_NODES, *SILENT_NODES)
_AT_ONCE = (nir.LIF, nir.LI)  # inputs reach v in the tick they arrive, through no current
_Read: TypeAlias = Callable[[str, float], NDArray[np.float64]]


def neuron_shape(node: nir.NIRNode) -> tuple[int, ...]:
    """Shape of the population of a neuron node."""
    return tuple(int(side) for side in np.shape(node.r)) or (1,)


def check_extension(name: str, node: nir.NIRNode | None, extension: Extension) -> None:
    """Refuse an extension that its node cannot have."""
    if node is None:
        raise GraphError(f"extension of node {name!r}: the graph has no such node")
    fits = {
        "message_bits": isinstance(node, nir.Input) or not extension.message_bits,
        "encoding": isinstance(node, nir.IF) or not extension.encoding,
        "refractory_s or adapt_step": (
            (isinstance(node, FIRING_NODES) and not extension.encoding) or not extension.on_neurons
        ),
    }
    for label, fitting in fits.items():
        if not fitting:
            raise GraphError(
                f"extension of node {name!r}: {label} does not fit a {type(node).__name__}"
                + (f" with encoding {extension.encoding}" if extension.encoding else "")
            )


def population(
    name: str,
    node: nir.NIRNode,
    bias: NDArray[np.float64] | float,
    extension: Extension,
    dynamics: Dynamics,
) -> Population:
    """Neurons of ``node`` in canonical form, ``u = keep_u u + a; v = keep_v v + u``.

    Raises
    ------
    GraphError
        For a parameter that no backend here honours.
    """
    shape = neuron_shape(node)
    size = int(np.prod(shape))

    def values(label: str, default: float) -> NDArray[np.float64]:
        raw = np.asarray(getattr(node, label, default), dtype=np.float64)
        if np.isnan(raw).any():
            raise GraphError(f"node {name!r}: {label} is NaN; give a number")
        return np.broadcast_to(raw, shape).reshape(size)

    leak = _leak(name, node, values)
    tau_syn, tau_mem = _time_constants(name, node, values, dynamics.dt_s)
    loss_u, loss_v = _snap(UNIT * dynamics.dt_s / tau_syn), _snap(UNIT * dynamics.dt_s / tau_mem)
    r, w_in = values("r", 1.0), values("w_in", 1.0)
    current_based = isinstance(node, nir.CubaLIF | nir.CubaLI)
    gain_u = w_in * loss_u / UNIT if current_based else np.ones(size)
    with np.errstate(invalid="ignore"):
        leaky_gain = r * loss_v / UNIT
    gain_v = np.where(np.isinf(tau_mem), r * dynamics.dt_s, leaky_gain)
    gain = gain_u * gain_v
    if not np.all((gain > 0) & np.isfinite(gain)):
        raise GraphError(
            f"node {name!r}: r and w_in must be positive and finite, got r={r.min():g}, "
            f"w_in={w_in.min():g}"
        )
    full_bias = np.full(size, bias) + np.where(np.isinf(tau_mem), 0.0, leak / r)
    if isinstance(node, SILENT_NODES):
        return Population(name, shape, loss_u, loss_v, np.zeros(size), full_bias, Kind.LI)
    threshold = values("v_threshold", np.nan)
    if np.isinf(threshold).any():
        raise GraphError(
            f"node {name!r}: v_threshold must be finite, got {threshold.max():g}; "
            "use nir.LI for neurons that never fire"
        )
    threshold = _snap(threshold / gain)
    plain = Population(name, shape, loss_u, loss_v, threshold, full_bias)
    if extension.encoding is not Encoding.NONE:
        return _encoder(plain, extension.encoding)
    return _extended(plain, extension, gain, dynamics)


def _leak(name: str, node: nir.NIRNode, values: _Read) -> NDArray[np.float64]:
    """``v_leak``, a constant input of ``v_leak / r`` where inputs reach v at once, else 0."""
    leak, reset = values("v_leak", 0.0), values("v_reset", 0.0)
    offsets = (
        {"v_reset": reset} if isinstance(node, _AT_ONCE) else {"v_leak": leak, "v_reset": reset}
    )
    for label, offset in offsets.items():
        if np.any(offset != 0):
            raise GraphError(
                f"node {name!r}: {label} must be 0 on every backend here, "
                f"got {offset[offset != 0][0]:g}; shift the potentials"
            )
    return leak


def _time_constants(
    name: str, node: nir.NIRNode, values: _Read, dt_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``tau_syn`` and ``tau_mem`` in seconds; one tick for no current, infinity for no leak."""
    r = values("r", 1.0)
    tau_syn, tau_mem, label_mem = np.full(r.shape, dt_s), np.full(r.shape, np.inf), "tau_mem"
    if isinstance(node, _AT_ONCE):
        tau_mem, label_mem = values("tau", np.nan), "tau"
    elif isinstance(node, nir.CubaLIF | nir.CubaLI):
        tau_syn, tau_mem = values("tau_syn", np.nan), values("tau_mem", np.nan)
    for label, tau in (("tau_syn", tau_syn), (label_mem, tau_mem)):
        if np.any(tau <= 0):
            raise GraphError(
                f"node {name!r}: {label} must be positive, got {tau.min():.9g} s; give seconds"
            )
        if np.any(tau < dt_s * (1 - 1e-9)):
            raise GraphError(
                f"node {name!r}: {label} must be at least dt = {dt_s:g} s, "
                f"got {tau.min():.9g} s; use a smaller dt (--dt-ms)"
            )
    return tau_syn, tau_mem


def _encoder(p: Population, encoding: Encoding) -> Population:
    for label, values in (("v_threshold", p.threshold), ("bias", p.bias)):
        if not np.array_equal(values, np.rint(values)):
            bad = values[values != np.rint(values)][0]
            raise GraphError(
                f"node {p.name!r}: {encoding} neurons count in integers in every precision, "
                f"got a {label} of {bad:g}; scale and round it"
            )
    kind = Kind.DELTA if encoding is Encoding.DELTA else Kind.SIGMA_DELTA
    return replace(p, kind=kind, rectified=encoding is Encoding.SIGMA_DELTA_RELU)


def _extended(
    p: Population, extension: Extension, gain: NDArray[np.float64], dynamics: Dynamics
) -> Population:
    """Add a refractory period and an adaptive threshold."""
    where = f"node {p.name!r}"
    wait = extension.refractory_s / dynamics.dt_s
    if abs(wait - round(wait)) > 1e-6:
        raise GraphError(
            f"{where}: refractory_s must be a whole number of ticks of {dynamics.dt_s:g} s, "
            f"got {extension.refractory_s:g} s; round it or change dt"
        )
    if not extension.adapt_step:
        return replace(p, refractory=round(wait))
    loss = float(_snap(np.array(UNIT * dynamics.dt_s / extension.adapt_tau_s)))
    if loss > UNIT:
        raise GraphError(
            f"{where}: adapt_tau_s must be at least dt = {dynamics.dt_s:g} s, "
            f"got {extension.adapt_tau_s:g} s; use a smaller dt"
        )
    if np.ptp(gain) != 0:
        raise GraphError(
            f"{where}: an adaptive threshold needs one gain (r, w_in and time constants) for all "
            f"neurons, got {gain.min():g} to {gain.max():g}; split the node"
        )
    step = float(_snap(np.array(extension.adapt_step / gain[0])))
    return replace(p, refractory=round(wait), loss_w=loss, step=step)


def _snap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers where division left a rounding error of a few parts in 1e12."""
    whole = np.rint(values)
    return np.where(np.abs(values - whole) <= 1e-9 * np.maximum(np.abs(whole), 1), whole, values)
