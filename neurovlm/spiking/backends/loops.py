"""The loops of the compiled engine.

Spikes push their weights into what the neurons will receive; then the neurons of each population
are updated in loops that the compiler turns into vector instructions; then the bytes of those that
fired are tested eight at a time. Nothing of a tick is done in Python.

Everything that runs in a tick is in this file: numba keeps the compiled loops on disk and compiles
them anew when this file changes, whatever else does.

Loihi's product u * (4096 - d) / 4096 is exact in 32-bit lanes: split at the twelfth bit, or at once
where states are proved to stay below 2**19.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

from neurovlm.spiking.fixed_point import LIMIT, UNIT, WEIGHT_SHIFT

LANES = 8  # neurons whose spike bytes are tested as one word
SHORT = 1 << 19  # a smaller state times 4096 fits 32 bits

U, V, ARRIVED, W, WAIT = range(5)  # rows of the states; without W and WAIT where no neuron has them
SIGMA, ACT, RESIDUE = U, V, W  # what they hold in encoders

PROMPT, ALIKE, ANY, SILENT, DELTA, SIGMA_DELTA, RECTIFIED = range(7)
"""How a population is updated.

``ALIKE``: plain neurons with the same constants, whose states stay below 2**19. ``PROMPT``: such
neurons that forget u within the tick, so that spikes are added to v at once. ``ANY``: all others
that fire. ``SILENT``: integrators. The rest are encoders.
"""


# For what only compiled code calls: no way in from Python saves a sixth of the compilation.
_NO_WAY_IN: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_inner = numba.njit(nogil=True, **_NO_WAY_IN)


@numba.njit(cache=True, nogil=True)
def run(plan, narrow, wide, x, y, fed, fired, begin, mark, past, probed):  # type: ignore[no-untyped-def]
    """Run from tick ``past`` to the end; the ticks before are those that a state carries.

    ``plan``, ``narrow`` and ``wide`` are from `fast_program`, ``fed`` and ``probed`` from
    `fast_state`; ``x`` and ``y`` are the narrow and wide states, ``(rows, n)``. Population p's
    spikes of tick k are ``fired[0, begin[p] + mark[k, p] : begin[p] + mark[k + 1, p]]``, their
    values, if there are graded ones, in the same place of ``fired[1]``. States, marks and copies
    are written to.

    Returns
    -------
    ``fired`` and ``begin``, which may have grown, and a population whose activation left 24 bits,
    with that activation, or -1 and 0.
    """
    spiking = np.zeros(plan.span.max(), np.uint8)
    busy = np.empty(len(spiking) // LANES + 1, np.uint32)
    far = _out_of_reach(plan, x)
    seen = far.copy()
    for k in range(len(probed.narrow)):
        seen |= plan.first == probed.narrow[k, 1]
    for tick in range(past, len(mark) - 1):
        last = tick == len(mark) - 2
        if (mark[tick] + plan.size >= begin[1:] - begin[:-1]).any():
            fired, begin = _grown(plan, fired, begin, mark[tick])
        _prepare(plan, narrow, x, seen, tick == past, last)
        for d in range(len(plan.delays)):
            sent = tick - 1 - plan.delays[d]
            _deliver(plan, narrow, d, fed, fired, begin, mark, sent, x)
            if y.size:
                _deliver(plan, wide, d, fed, fired, begin, mark, sent, y)
        for p in range(len(plan.kind)):
            end = at = begin[p] + mark[tick, p]
            if plan.kind[p] >= DELTA:
                end, most = _encode(plan, wide, y, p, fired, at)
                if most >= LIMIT:
                    return fired, begin, p, most
            else:
                if p >= plan.n_narrow:
                    _step_any(plan, wide, y, p, spiking)
                else:
                    _step(plan, narrow, x, p, spiking, far[p], last or seen[p])
                if plan.kind[p] != SILENT:
                    end = _collect(spiking[: plan.span[p]], busy, fired, at)
            mark[tick + 1, p] = end - begin[p]
        _copy(plan, probed, x, y, fired, begin, mark, tick, tick - past)
    return fired, begin, -1, 0


@_inner
def _out_of_reach(plan, x):  # type: ignore[no-untyped-def]
    """Populations that this state keeps from the short updates."""
    far = np.zeros(len(plan.kind), np.bool_)
    for p in range(plan.n_narrow):
        for i in range(plan.first[p], plan.first[p] + plan.size[p]):
            far[p] |= abs(x[U, i]) > plan.reach_u[p] or abs(x[V, i]) > plan.reach_v[p]
    return far


@_inner
def _grown(plan, fired, begin, used):  # type: ignore[no-untyped-def]
    """Room for four times the spikes so far, and for a few ticks in which every neuron fires."""
    moved = np.zeros_like(begin)
    moved[1:] = (4 * (used + plan.size)).cumsum()
    bigger = np.empty((len(fired), moved[-1]), np.int32)
    for p in range(len(used)):
        for row in range(len(fired)):
            bigger[row, moved[p] : moved[p] + used[p]] = fired[row, begin[p] : begin[p] + used[p]]
    return bigger, moved


@_inner
def _deliver(plan, cells, d, fed, fired, begin, mark, sent, x):  # type: ignore[no-untyped-def]
    """Add the weights of the spikes sent at tick ``sent`` whose delay is the d-th."""
    target = x.reshape(x.size)
    n = len(plan.kind)
    if cells.sends[d, n]:
        rows = cells.rows[d]
        ids = fed.neuron[fed.bounds[sent] : fed.bounds[sent + 1]]
        if len(fed.value):
            values = fed.value[fed.bounds[sent] : fed.bounds[sent + 1]]
            _push_values(cells, rows, ids, values, target)
        else:
            _push(cells, rows, ids, target)
    for p in range(n):
        if cells.sends[d, p]:
            rows = cells.rows[d, plan.source[p] :]
            mine = slice(begin[p] + mark[sent, p], begin[p] + mark[sent + 1, p])
            if plan.graded[p]:
                _push_values(cells, rows, fired[0, mine], fired[1, mine], target)
            else:
                _push(cells, rows, fired[0, mine], target)


@_inner
def _push(cells, rows, ids, target):  # type: ignore[no-untyped-def]
    for s in ids:
        first = rows[s, 0]
        for j in range(rows[s, 1], rows[s, 2]):
            target[first + cells.offset[j]] += cells.weight[j]


@_inner
def _push_values(cells, rows, ids, values, target):  # type: ignore[no-untyped-def]
    for k in range(len(ids)):
        first = rows[ids[k], 0]
        value = target.dtype.type(values[k])
        for j in range(rows[ids[k], 1], rows[ids[k], 2]):
            target[first + cells.offset[j]] += cells.weight[j] * value


@_inner
def _collect(spiking, busy, fired, at):  # type: ignore[no-untyped-def]
    """Record the neurons that fired behind ``at``; return where they end.

    Both loops store first and step on only where there was something: no branch to miss.
    """
    words, n_busy = spiking.view(np.uint64), 0
    for k in range(len(words)):
        busy[n_busy] = k
        n_busy += words[k] != 0
    for k in busy[:n_busy]:
        for i in range(LANES * k, LANES * (k + 1)):
            fired[0, at] = i
            at += spiking[i]
    return at


@_inner
def _copy(plan, probed, x, y, fired, begin, mark, tick, at):  # type: ignore[no-untyped-def]
    for k in range(len(probed.narrow)):
        row, first, size, column = probed.narrow[k]
        probed.narrow_copy[at, column : column + size] = x[row, first : first + size]
    for k in range(len(probed.wide)):
        row, first, size, column = probed.wide[k]
        probed.wide_copy[at, column : column + size] = y[row, first : first + size]
    for k in range(len(probed.spikes)):
        p, column = probed.spikes[k]
        for i in range(begin[p] + mark[tick, p], begin[p] + mark[tick + 1, p]):
            value = fired[1, i] if plan.graded[p] else 1
            probed.wide_copy[at, column + fired[0, i]] = value


# How a number decays, by its type: a stub for Python, the overloads for the compiler.
def _kept(x: Any, keep: Any) -> Any:
    """Part ``keep`` of x: a fraction in floats, in 4096ths and rounded toward zero in integers."""


@overload(_kept)
def _kept_of(x, keep):  # type: ignore[no-untyped-def]
    if isinstance(x, types.Float):
        return lambda x, keep: x * keep
    return (lambda x, keep: _keep(x, keep)) if x is types.int32 else _kept_wide


def _kept_wide(x, keep):  # type: ignore[no-untyped-def]
    size = (abs(x) * keep) >> 12
    return size if x >= 0 else -size


@numba.njit
def _keep(x, keep):  # type: ignore[no-untyped-def]
    """trunc(x * keep / 4096) without leaving 32 bits; numba widens unless told not to."""
    high = np.int32(np.int32(x >> np.int32(12)) * keep)
    low = np.int32(np.int32(x & np.int32(UNIT - 1)) * keep)
    toward_zero = np.int32(np.int32(x >> np.int32(31)) & np.int32(UNIT - 1))  # only if x < 0
    return np.int32(high + np.int32(np.int32(low + toward_zero) >> np.int32(12)))


@numba.njit
def _keep_short(x, keep):  # type: ignore[no-untyped-def]
    """The same for |x| < 2**19: the sign's copies, masked, make the shift round toward zero."""
    product = np.int32(x * keep)
    toward_zero = np.int32(np.int32(product >> np.int32(31)) & np.int32(UNIT - 1))
    return np.int32(np.int32(product + toward_zero) >> np.int32(12))


def _integrate(u: Any, v: Any, a: Any, bias: Any, keep_u: Any, keep_v: Any) -> None:
    """Decay u and v, add what has arrived, and let the next tick's input start at the bias."""


@overload(_integrate)
def _integrate_of(u, v, a, bias, keep_u, keep_v):  # type: ignore[no-untyped-def]
    return _integrate_floats if isinstance(u.dtype, types.Float) else _integrate_integers


def _integrate_floats(u, v, a, bias, keep_u, keep_v):  # type: ignore[no-untyped-def]
    for i in range(len(u)):
        u[i] = u[i] * keep_u[i] + a[i]
        a[i] = bias[i]
    for i in range(len(u)):
        v[i] = v[i] * keep_v[i] + u[i]


# Two short loops: with all arrays in one, the compiler gives up proving that they do not overlap
# and leaves the loop scalar.
def _integrate_integers(u, v, a, bias, keep_u, keep_v):  # type: ignore[no-untyped-def]
    kind = u.dtype.type
    limit, span, shift = kind(LIMIT), kind(2 * LIMIT), kind(WEIGHT_SHIFT)
    for i in range(len(u)):
        ui = kind(_kept(u[i], keep_u[i]) + kind(a[i] << shift))
        a[i] = bias[i]
        ui = kind(ui - span) if ui > limit else ui
        u[i] = kind(ui + span) if ui <= -limit else ui
    for i in range(len(u)):
        vi = kind(_kept(v[i], keep_v[i]) + u[i])
        v[i] = min(max(vi, kind(1 - limit)), kind(limit - kind(1)))


def _step(plan: Any, cells: Any, x: Any, p: Any, spiking: Any, far: Any, seen: Any) -> None:
    """Step a population of narrow states in the way that its kind and its state allow."""


@overload(_step)
def _step_of(plan, cells, x, p, spiking, far, seen):  # type: ignore[no-untyped-def]
    if isinstance(x.dtype, types.Float):
        return lambda plan, cells, x, p, spiking, far, seen: _step_any(plan, cells, x, p, spiking)
    return _step_integers


def _step_integers(plan, cells, x, p, spiking, far, seen):  # type: ignore[no-untyped-def]
    if plan.kind[p] == PROMPT:
        _step_prompt(plan, cells, x, p, spiking, seen)
    elif plan.kind[p] == ALIKE and not far:
        _step_alike(plan, cells, x, p, spiking)
    else:
        _step_any(plan, cells, x, p, spiking)


@_inner
def _step_any(plan, cells, x, p, spiking):  # type: ignore[no-untyped-def]
    """Step neurons of any constants, with whatever they have beside u and v."""
    mine = slice(plan.first[p], plan.first[p] + plan.span[p])
    keep_u, keep_v, bias = cells.keep_u[mine], cells.keep_v[mine], cells.bias[mine]
    _integrate(x[U, mine], x[V, mine], x[ARRIVED, mine], bias, keep_u, keep_v)
    if plan.kind[p] == SILENT:
        return
    refractory, step = x.dtype.type(plan.refractory[p]), cells.step[p]
    if refractory == 0 and step == 0:
        _fire(x[V, mine], cells.threshold[mine], spiking)
        return
    v, w, wait, threshold = x[V, mine], x[W, mine], x[WAIT, mine], cells.threshold[mine]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(len(v)):
        w[i] = _kept(w[i], cells.keep_w[p])
        held = wait[i] > zero
        spike = not held and v[i] > x.dtype.type(threshold[i] + w[i])
        spiking[i] = spike
        v[i] = zero if held or spike else v[i]
        w[i] = x.dtype.type(w[i] + step) if spike else w[i]
        wait[i] = refractory if spike else max(x.dtype.type(wait[i] - one), zero)


@_inner
def _fire(v, threshold, spiking):  # type: ignore[no-untyped-def]
    for i in range(len(v)):
        spike = v[i] > threshold[i]
        spiking[i] = spike
        v[i] = v.dtype.type(0) if spike else v[i]


@_inner
def _step_alike(plan, cells, x, p, spiking):  # type: ignore[no-untyped-def]
    """Step neurons that are alike, plain and within reach."""
    first = plan.first[p]
    mine = slice(first, first + plan.span[p])
    u, v, a = x[U, mine], x[V, mine], x[ARRIVED, mine]
    keep_u, keep_v, threshold = cells.keep_u[first], cells.keep_v[first], cells.threshold[first]
    for i in range(len(u)):
        u[i] = np.int32(_keep_short(u[i], keep_u) + np.int32(a[i] << np.int32(WEIGHT_SHIFT)))
        a[i] = np.int32(0)
        vi = np.int32(_keep_short(v[i], keep_v) + u[i])
        spike = vi > threshold
        spiking[i] = spike
        v[i] = np.int32(0) if spike else vi


# Neurons that forget u within the tick. Their v decays at the end of a tick, in the loop that
# tests it, and spikes are added to it as they come. Where u and v must be seen after a tick, v
# decays at the start of the next one instead, and u is the difference that the spikes made.
@_inner
def _prepare(plan, cells, x, seen, first, last):  # type: ignore[no-untyped-def]
    """Let v decay where it did not in the tick before, and remember it where u must be known."""
    for p in range(plan.n_narrow):
        if plan.kind[p] == PROMPT and (first or last or seen[p]):
            for i in range(plan.first[p], plan.first[p] + plan.span[p]):
                if first or seen[p]:
                    x[V, i] = _kept(x[V, i], cells.keep_v[i])
                x[U, i] = -x[V, i]


@_inner
def _step_prompt(plan, cells, x, p, spiking, seen):  # type: ignore[no-untyped-def]
    first = plan.first[p]
    mine = slice(first, first + plan.span[p])
    u, v = x[U, mine], x[V, mine]
    if seen:
        highest = x.dtype.type(LIMIT - 1)
        for i in range(len(v)):
            u[i] += v[i]
            v[i] = min(max(v[i], -highest), highest)
        _fire(v, cells.threshold[mine], spiking)
        return
    keep, threshold = cells.keep_v[first], cells.threshold[first]
    for i in range(len(v)):
        spike = v[i] > threshold
        spiking[i] = spike
        v[i] = _keep_short(np.int32(0) if spike else v[i], keep)


@_inner
def _encode(plan, cells, y, p, fired, at):  # type: ignore[no-untyped-def]
    """Step an encoder and record what it sends; return where that ends and the largest |act|."""
    kind, most = plan.kind[p], 0
    for i in range(plan.size[p]):
        k = plan.first[p] + i
        y[SIGMA, k] = y[ARRIVED, k] + (0 if kind == DELTA else y[SIGMA, k])
        y[ARRIVED, k] = 0
        act = y[SIGMA, k] + cells.bias[k]
        if kind == RECTIFIED:
            act = max(act, 0)
        most = max(most, abs(act))
        delta = act - y[ACT, k] + y[RESIDUE, k]
        sent = delta if abs(delta) >= cells.threshold[k] else 0
        y[ACT, k], y[RESIDUE, k] = act, delta - sent
        if sent != 0:
            fired[0, at], fired[1, at] = i, sent
            at += 1
    return at, most
