"""Weights as Loihi stores them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError
from neurovlm.spiking.loihi import SignMode, stored_weights, weight_form
from neurovlm.spiking.network import Connection


def connection(weights):
    matrix = scipy.sparse.csr_array(np.atleast_2d(np.array(weights, dtype=float)))
    return Connection("w", "a", "b", matrix, np.zeros(matrix.shape[1], np.int64))


def test_mixed_signs_lose_their_lowest_bit_downwards():
    assert stored_weights(np.array([3, -5, 7, -256, 255, 300, -300])).tolist() == [
        2, -6, 6, -256, 254, 254, -256,
    ]  # fmt: skip


def test_one_sign_keeps_eight_bits_and_fewer_bits_truncate_toward_zero():
    assert stored_weights(np.array([3, 255, 300])).tolist() == [3, 255, 255]
    assert stored_weights(np.array([-3, -255, -300])).tolist() == [-3, -255, -255]
    assert stored_weights(np.array([7, 255]), bits=6).tolist() == [4, 252]
    assert stored_weights(np.array([-7, -255]), bits=6).tolist() == [-4, -252]
    assert stored_weights(np.array([3, 7]), exponent=3).tolist() == [24, 56]


@pytest.mark.parametrize(
    ("weights", "mantissa", "exponent", "mode"),
    [
        ([3, 255], [3, 255], 0, SignMode.EXCITATORY),
        ([-300, -4], [-150, -2], 1, SignMode.INHIBITORY),
        ([4, -6], [4, -6], 0, SignMode.MIXED),
        ([2 * 300, -8], [300 // 2, -2], 2, SignMode.MIXED),
        ([255 << 7], [255], 7, SignMode.EXCITATORY),
    ],
)
def test_the_smallest_exponent_that_is_exact(weights, mantissa, exponent, mode):
    form = weight_form(connection(weights))
    assert (form.mantissa.tolist(), form.exponent, form.sign_mode) == (mantissa, exponent, mode)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([3, -2], "split it into an excitatory"),
        ([301], "times one power of two"),
        ([256 << 8], "times one power of two"),
        ([0.5], "needs integer weights, got 0.5"),
    ],
)
def test_weights_without_an_exact_form_are_refused(weights, message):
    with pytest.raises(GraphError, match=message):
        weight_form(connection(weights))


@given(st.lists(st.integers(-(2**15), 2**15).filter(bool), min_size=1, max_size=5))
def test_a_form_gives_the_weights_back_or_none_exists(weights):
    try:
        form = weight_form(connection(weights))
    except GraphError:
        return
    assert (form.mantissa << form.exponent).tolist() == weights
    low, high = (-256, 254) if form.sign_mode is SignMode.MIXED else (-255, 255)
    assert form.mantissa.min() >= low
    assert form.mantissa.max() <= high
