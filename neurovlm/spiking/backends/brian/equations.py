"""Our neuron equations (`neurovlm.spiking.fixed_point`) in Brian2's words.

Per tick Brian2 runs its slots in the order groups, thresholds, synapses, resets. The update is put
into ``groups``: it reads the inputs x0, x1, ... (one per connection) and clears them. Synapses add
to the inputs behind it, so every connection delivers in the next tick, as ours do; and a reset does
not touch an input.

Exactness:

- Every operation of the float precisions is a statement of its own, so Brian2's optimiser has
  nothing to reorder, and every intermediate is a state variable, which has the precision's dtype.
  No statement copies a variable that is only read: Brian2 2.9 on NumPy takes the copy for the
  variable itself, so ``a = bias`` and ``a = a + x0`` change the bias.
- Loihi's integers are held in float64. After the wrap and the clip ``|u|, |v| <= 2**23``, so
  ``|u| * keep`` is at most 2**35: such integers and their 4096ths are float64 numbers, and so is
  what is left without the fraction, which is Loihi's rounding toward zero.
- Sums over spikes are exact in any order while they are sums of integers below 2**53 (2**24 in
  float32).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT
from neurovlm.spiking.network import Kind, Population


@dataclass(frozen=True, eq=False)
class Neurons:
    """One population for ``brian2.NeuronGroup``.

    Attributes
    ----------
    variables
        Names of everything the group stores; all start at 0.
    constants
        Values of those that differ from 0 and never change, scalar or ``(n,)``.
    update
        Statements of the ``groups`` slot.
    threshold
        Condition for a spike, or None where there is none.
    reset
        Statements run where a neuron fired.
    """

    variables: tuple[str, ...]
    constants: dict[str, NDArray[Any]]
    update: str
    threshold: str | None
    reset: str | None


def neurons(
    p: Population, precision: Precision, inputs: Sequence[str], late: Sequence[str], history: int
) -> Neurons:
    """Equations of one population.

    Parameters
    ----------
    inputs
        Names of its input variables, one per connection.
    late
        Those of them that get spikes sent before the run, from a function ``late_<input>(t, i)``.
    history
        How many older payloads it keeps, as ``s1, s2, ...``.
    """
    arrived = [f"{x} = {x} + late_{x}(t, i)" for x in late]
    sums = ["0" if p.graded else "bias", *inputs]
    arrived.append(f"a = {' + '.join(sums[:2])}")
    arrived += [f"a = a + {x}" for x in sums[2:]]
    arrived += [f"{x} = 0" for x in inputs]
    if p.graded:
        body = _encoder(p, history)
    elif precision is Precision.LOIHI:
        body = _loihi(p)
    else:
        body = _float(p)
    own = (*inputs, "a", "bias", *p.variables, *body.variables, *body.constants)
    constants = {"bias": p.bias, **body.constants}
    update = "\n".join([*arrived, body.update])
    return Neurons(tuple(dict.fromkeys(own)), constants, update, body.threshold, body.reset)


def _loihi(p: Population) -> Neurons:
    shift = 1 << WEIGHT_SHIFT
    lines = [
        *_decayed("u"),
        f"u = u + {shift} * a",
        f"u = u - {2 * LIMIT} * int(u > {LIMIT}) + {2 * LIMIT} * int(u <= -{LIMIT})",
        *_decayed("v"),
        "v = v + u",
        f"v = clip(v, -{LIMIT - 1}, {LIMIT - 1})",
    ]
    if p.step:
        lines += _decayed("w")
    constants = {"keep_u": UNIT - 1.0 - p.du, "keep_v": 1.0 * UNIT - p.dv, "vth": shift * p.vth}
    rise = {"keep_w": np.array(UNIT - p.dw), "step": np.array(shift * round(p.step))}
    return _firing(p, lines, constants, rise)


def _decayed(x: str) -> list[str]:
    """Keep a part of ``x``, rounded toward zero; Brian2's floor would give 32 bits on NumPy."""
    size = f"size_{x}"
    whole = f"{size} = abs({x}) * keep_{x} / {UNIT}"
    return [whole, f"{x} = sign({x}) * ({size} - {size} % 1)"]


def _float(p: Population) -> Neurons:
    lines = ["u = u * keep_u", "u = u + a", "v = v * keep_v", "v = v + u"]
    if p.step:
        lines.append("w = w * keep_w")
    constants = {
        "keep_u": (UNIT - p.loss_u) / UNIT,
        "keep_v": (UNIT - p.loss_v) / UNIT,
        "vth": p.threshold,
    }
    rise = {"keep_w": np.array((UNIT - p.loss_w) / UNIT), "step": np.array(p.step)}
    return _firing(p, lines, constants, rise)


def _firing(
    p: Population,
    lines: list[str],
    constants: dict[str, NDArray[Any]],
    rise: dict[str, NDArray[Any]],
) -> Neurons:
    """Refractoriness, threshold and reset, alike in every precision."""
    if p.kind is Kind.LI:
        return Neurons((), constants, "\n".join(lines), None, None)
    threshold, reset = "v > vth", ["v = 0"]
    if p.step:
        constants = {**constants, **rise}
        threshold = "v > vth + w"
        reset.append("w = w + step")
    if p.refractory:
        lines += ["ready = int(wait <= 0)", "v = v * ready", "wait = wait - int(wait > 0)"]
        threshold += " and ready > 0"
        reset.append(f"wait = {p.refractory}")
    extra = ("ready",) * (p.refractory > 0)
    return Neurons(extra, constants, "\n".join(lines), threshold, "\n".join(reset))


def _encoder(p: Population, history: int) -> Neurons:
    """Sigma-delta or delta; ``peak`` keeps the largest activation to judge it after the run."""
    older = [f"s{age}" for age in range(1, history + 1)]
    lines = [f"{new} = {old}" for old, new in reversed(list(pairwise(["s", *older])))]
    total = "sigma" if p.kind is Kind.SIGMA_DELTA else "a"
    if p.kind is Kind.SIGMA_DELTA:
        lines.append("sigma = sigma + a")
    lines += ["residue = residue - act", f"act = {total} + bias"]
    if p.rectified:
        lines.append("act = act * int(act > 0)")
    lines += [
        "peak = peak + (abs(act) - peak) * int(abs(act) > peak)",
        "residue = residue + act",
        "s = residue * int(abs(residue) >= vth)",
        "residue = residue - s",
    ]
    constants = {"bias": np.rint(p.bias), "vth": 1.0 * p.vth}
    return Neurons(("s", *older, "peak"), constants, "\n".join(lines), "s != 0", "")
