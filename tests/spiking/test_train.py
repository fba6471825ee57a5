"""SpikeTrain: sparse and dense views agree; cutting and joining lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurovlm.core.errors import UsageError
from neurovlm.spiking.train import Fired, SpikeTrain

rasters = hnp.arrays(bool, st.tuples(st.integers(0, 12), st.integers(1, 9)))


def train_of(raster, **more):
    return SpikeTrain.from_dense(raster, dt_s=1e-3, **more)


@given(rasters)
def test_dense_and_sparse_views_agree(raster):
    train = train_of(raster)
    assert np.array_equal(train.dense(), raster)
    assert len(train) == raster.sum()
    assert (train.n_ticks, train.n_neurons) == raster.shape


@given(rasters)
def test_spikes_are_sorted_by_tick_then_neuron(raster):
    train = train_of(raster)
    slots = train.tick.astype(int) * train.n_neurons + train.neuron
    assert (np.diff(slots) > 0).all()


@given(rasters, st.data())
def test_cut_then_join_is_identity(raster, data):
    train = train_of(raster)
    cut = data.draw(st.integers(0, len(raster)))
    halves = [train.between(0, cut), train.between(cut, len(raster))]
    assert np.array_equal(halves[1].dense(), raster[cut:])
    assert SpikeTrain.join(halves).differing(train) == 0


@given(rasters, st.integers(1, 13))
def test_counts_sum_the_raster_window_by_window(raster, window):
    n = len(raster) // window
    expected = raster[: n * window].reshape(n, window, raster.shape[1]).sum(axis=1)
    assert np.array_equal(train_of(raster).counts(window), expected)


def test_counts_have_the_shape_of_the_population():
    raster = np.random.default_rng(0).random((10, 12)) < 0.5
    counts = train_of(raster, shape=(3, 2, 2)).counts(5)
    assert counts.shape == (2, 3, 2, 2)
    assert counts[1, 2, 0, 1] == raster[5:, 2 * 4 + 0 * 2 + 1].sum()


@given(hnp.arrays(bool, (7, 5)), hnp.arrays(bool, (7, 5)))
def test_differing_counts_slots(a, b):
    assert train_of(a).differing(train_of(b)) == (a != b).sum()


def test_from_ticks_equals_from_dense():
    fired = [Fired(np.array(f, np.int32)) for f in ([], [0, 3], [], [2])]
    train = SpikeTrain.from_ticks(fired, dt_s=1e-3, shape=(2, 2))
    assert train.tick.tolist() == [1, 1, 3]
    assert train.neuron.tolist() == [0, 3, 2]
    assert train.n_ticks == 4


def test_arrays_are_read_only_and_the_callers_stay_writable():
    tick = np.array([0, 1], np.int32)
    train = SpikeTrain(tick, np.array([0, 0], np.int32), 2, (1,), 1e-3)
    with pytest.raises(ValueError, match="read-only"):
        train.tick[0] = 1
    assert tick.flags.writeable


@pytest.mark.parametrize(
    ("tick", "neuron"), [([2], [0]), ([-1], [0]), ([0], [3]), ([0], [-1])], ids=str
)
def test_spikes_outside_are_refused(tick, neuron):
    with pytest.raises(UsageError, match=r"spike 0 .* outside 2 ticks x 3 neurons"):
        SpikeTrain(np.array(tick), np.array(neuron), 2, (3,), 1e-3)


@pytest.mark.parametrize(
    ("tick", "neuron", "where"),
    [([1, 0], [0, 0], 1), ([0, 0, 0], [0, 2, 1], 2), ([0, 1, 1], [1, 1, 1], 2)],
    ids=["ticks", "neurons", "twice"],
)
def test_disorder_and_repeats_are_refused(tick, neuron, where):
    with pytest.raises(UsageError, match=rf"spike {where} .* sorted by tick then neuron"):
        SpikeTrain(np.array(tick), np.array(neuron), 2, (3,), 1e-3)


def test_lengths_must_match():
    with pytest.raises(UsageError, match="got 2 and 1"):
        SpikeTrain(np.array([0, 1]), np.array([0]), 2, (3,), 1e-3)


def test_trains_of_different_size_do_not_compare():
    with pytest.raises(UsageError, match="3 ticks x 2 neurons against 4 x 2"):
        train_of(np.ones((3, 2))).differing(train_of(np.ones((4, 2))))
