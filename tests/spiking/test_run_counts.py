"""Counts straight into neurons equal the same counts as graded spikes."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends import fast_events
from neurovlm.spiking.backends.base import get_backend, initial_state
from neurovlm.spiking.contract import assert_same_spikes
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.simulate import run_counts
from neurovlm.spiking.train import SpikeTrain

# the largest count for which states of patch-lif provably stay below 2**19:
# u <= 2 * 64 * count * 4096 / 1024, v <= 64 * 150 + u
LONGEST_SHORT = (2**19 - 64 * 150 - 2) // 512


def reference(graph, counts, state=None):
    dt_s, shape = graph.dynamics.dt_s, graph.network.input_shape
    rows = counts.reshape(len(counts), -1)
    train = SpikeTrain.from_dense(rows, dt_s=dt_s, shape=shape, graded=True)
    return get_backend("reference").run(graph, train, state)


def assert_same_run(got, expected):
    assert_same_spikes(got, expected)
    assert got.counts == expected.counts
    for name in ("u", "v"):
        assert np.array_equal(got.state.cells["P"][name], expected.state.cells["P"][name])


def random_counts(most, *, n_ticks=700, rate=0.4, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n_ticks, 1, 14, 14)
    return rng.integers(0, most + 1, shape, dtype=np.int32) * (rng.random(shape) < rate)


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("most", [8, 40, LONGEST_SHORT, LONGEST_SHORT + 1, 16_383])
def test_equal_to_the_reference(most, precision):
    graph, counts = patch_lif(precision=precision), random_counts(most)
    got = run_counts(graph, counts)
    assert len(got.out) > 100
    assert_same_run(got, reference(graph, counts))


def test_the_short_update_serves_up_to_its_bound_only():
    graph = patch_lif()
    cells = fast_events._cells(graph.network, initial_state(graph))
    assert fast_events._stays_short(cells, LONGEST_SHORT)
    assert not fast_events._stays_short(cells, LONGEST_SHORT + 1)
    cells.v[5] = 2**18
    assert not fast_events._stays_short(cells, LONGEST_SHORT)
    cells.v[5] = -1
    assert not fast_events._stays_short(cells, 1)


def test_the_largest_count_in_every_tick_at_the_bound():
    graph = patch_lif()
    counts = np.full((60, 1, 14, 14), LONGEST_SHORT, np.int32)
    assert_same_run(run_counts(graph, counts), reference(graph, counts))


def test_a_count_that_a_state_carries_decides_about_the_short_update_too():
    graph = patch_lif()
    counts = random_counts(5, n_ticks=40)
    counts[19] = 16_383  # delivered in the first tick of the second run
    first = run_counts(graph, counts[:20])
    second = run_counts(graph, counts[20:], state=first.state)
    expected = reference(graph, counts[20:], reference(graph, counts[:20]).state)
    assert_same_run(second, expected)


@pytest.mark.parametrize(
    ("graph", "counts", "message"),
    [
        (
            patch_lif(),
            np.zeros((5, 14, 14), np.int32),
            r"takes graded input of shape \(1, 14, 14\)",
        ),
        (change_detector(), np.zeros((5, 2, 126, 126), np.int32), "with 0 bits"),
        (patch_lif(), np.full((5, 1, 14, 14), -1, np.int32), "must not be negative, got -1"),
        (patch_lif(), np.full((5, 1, 14, 14), 1 << 14, np.int32), "16,384|16384"),
    ],
    ids=["shape", "binary", "negative", "too many"],
)
def test_what_cannot_be_run_is_said(graph, counts, message):
    with pytest.raises(UsageError, match=message):
        run_counts(graph, counts)
