"""Step functions against values worked out by hand and against plain Python integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.spiking.fixed_point import LIMIT, step_float, step_loihi, truncate, wrap
from neurovlm.spiking.network import Kind, Population

STATES = st.integers(-LIMIT + 1, LIMIT)
WEIGHTED = st.integers(-(1 << 17), 1 << 17)  # brings u at most one wrap outside its range
DECAYS = st.integers(0, 4095)


def lif(loss_u, loss_v, vth, n=1, **fields):
    """``n`` neurons alike."""
    full = np.ones(n)
    return Population("n", (n,), loss_u * full, loss_v * full, vth * full, 0 * full, **fields)


def one(u, v, a, du, dv, vth):
    """One neuron, one tick, as Python integers."""
    cells = {"u": np.array([u]), "v": np.array([v])}
    after, s = step_loihi(lif(du + 1, dv, vth), cells, np.array([a]))
    return int(after["u"][0]), int(after["v"][0]), bool(s[0])


def by_the_equations(u, v, a, du, dv, vth):
    """The same with exact integers and math.trunc, written from the equations alone."""
    m = 2**23
    u = math.trunc(u * (4096 - (du + 1)) / 4096) + 64 * a  # 35 bits: exact in a double
    if u > m:
        u -= 2 * m
    elif u <= -m:
        u += 2 * m
    v = math.trunc(v * (4096 - dv) / 4096) + u
    v = max(-(m - 1), min(m - 1, v))
    spike = v > 64 * vth
    return u, 0 if spike else v, spike


@pytest.mark.parametrize(("value", "expected"), [(7, 3), (-7, -3), (1, 0), (-1, 0), (-8, -4)])
def test_truncation_is_toward_zero(value, expected):
    assert truncate(np.array([value]), 1).tolist() == [expected]


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        (LIMIT, LIMIT),  # +2**23 itself stays
        (LIMIT + 1, -LIMIT + 1),
        (-LIMIT, LIMIT),
        (-LIMIT + 1, -LIMIT + 1),
        (0, 0),
    ],
)
def test_wrap_at_24_bits(u, expected):
    assert wrap(np.array([u])).tolist() == [expected]


def test_one_step_by_hand():
    # u: 1000 * (4096 - 410) / 4096 = 899.9 -> 899, + 64 * 2 = 1027
    # v: 500 * 3072 / 4096 = 375, + 1027 = 1402; threshold 22 * 64 = 1408
    assert one(1000, 500, 2, du=409, dv=1024, vth=22) == (1027, 1402, False)
    # 21 * 64 = 1344 is exceeded: v is reset, u is kept
    assert one(1000, 500, 2, du=409, dv=1024, vth=21) == (1027, 0, True)
    # from below: -899.9 -> -899, -375 -> -375
    assert one(-1000, -500, 0, du=409, dv=1024, vth=21) == (-899, -1274, False)


def test_current_decay_has_the_plus_one_and_voltage_decay_has_not():
    assert one(4096, 0, 0, du=0, dv=0, vth=1000)[0] == 4095
    assert one(0, 4096, 0, du=0, dv=0, vth=1000)[1] == 4096
    assert one(12345, 0, 0, du=4095, dv=0, vth=1000)[0] == 0  # full decay of u
    assert one(0, 8192, 0, du=0, dv=4095, vth=1000)[1] == 2  # none for v


def test_threshold_is_strict():
    assert one(0, 0, 100, du=4095, dv=0, vth=100) == (6400, 6400, False)
    assert one(0, 1, 100, du=4095, dv=0, vth=100) == (6400, 0, True)


def test_u_wraps_exactly_beyond_the_limit():
    in_limit = LIMIT // 64
    assert one(0, 0, in_limit, 4095, 4095, 131071)[0] == LIMIT
    assert one(0, 0, in_limit + 1, 4095, 4095, 131071)[0] == -LIMIT + 64
    assert one(0, 0, -in_limit, 4095, 4095, 131071)[0] == LIMIT
    assert one(0, 0, -in_limit + 1, 4095, 4095, 131071)[0] == -LIMIT + 64


def test_v_saturates():
    top = LIMIT - 1
    assert one(0, top, 100, du=4095, dv=0, vth=131071) == (6400, 0, True)
    assert one(0, -top, -100, du=4095, dv=0, vth=131071) == (-6400, -top, False)
    # 131071 * 64 = 2**23 - 64: the highest threshold can be passed only by saturation's last 63
    assert one(0, LIMIT - 65, 1, du=4095, dv=0, vth=131071) == (64, 0, True)


@given(STATES, STATES, WEIGHTED, DECAYS, DECAYS, st.integers(0, 131071))
def test_any_step_follows_the_equations(u, v, a, du, dv, vth):
    assert one(u, v, a, du, dv, vth) == by_the_equations(u, v, a, du, dv, vth)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_float_step_keeps_its_dtype_and_resets_v_alone(dtype):
    u, v, a = (np.array(x, dtype) for x in ([1.0, 1.0], [2.0, 2.0], [0.5, 0.75]))
    after, s = step_float(lif(2048, 2048, 2.0, n=2), {"u": u, "v": v}, a)
    u, v = after["u"], after["v"]
    assert u.dtype == v.dtype == dtype
    assert u.tolist() == [1.0, 1.25]
    assert s.tolist() == [False, True]  # 1 + 1 is the threshold itself, 1 + 1.25 is above
    assert v.tolist() == [2.0, 0.0]


def test_leaky_integrator_closed_form():
    """v[n] = a (1 - k**(n + 1)) / (1 - k) under constant input; k = 1/2 is exact in binary."""
    cells = {"u": np.zeros(1), "v": np.zeros(1)}
    for n in range(30):
        cells, fired = step_float(lif(4096, 2048, 0.5, kind=Kind.LI), cells, np.ones(1))
        assert not fired.any()
        assert cells["v"][0] == (1 - 0.5 ** (n + 1)) / (1 - 0.5)
