"""Controls see what they should, and only that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurovlm.training.controls import LinearControl, count_features, image_features
from neurovlm.training.data import SparseCounts


def test_counts_by_hand(clips):
    source = clips(n=2, n_windows=3)
    features = np.expm1(count_features(source))
    dense = source.counts[1].dense().astype(int)
    off, on = dense[:, 0], dense[:, 1]
    expected = [*np.ravel([(off[w].sum(), on[w].sum()) for w in range(3)]), off.sum(), on.sum()]
    np.testing.assert_allclose(features[1], expected)


def test_image_is_blind_to_the_order_of_windows(clips):
    source = clips(n=2, n_windows=5)
    order = np.random.default_rng(0).permutation(5)
    counts = tuple(SparseCounts.from_dense(clip.dense()[order]) for clip in source.counts)
    shuffled = replace(source, counts=counts)
    np.testing.assert_array_equal(image_features(source), image_features(shuffled))
    total = np.expm1(image_features(source)).sum(axis=1)
    np.testing.assert_allclose(total, [clip.dense()[:, :2].sum() for clip in source.counts])


def test_linear_control_on_separable_and_on_random_labels():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 300)
    x = np.eye(3)[label] + 0.1 * rng.standard_normal((300, 3))
    assert LinearControl.fit(x[:200], label[:200]).accuracy(x[200:], label[200:]) == 1.0
    noise = rng.standard_normal((300, 3))
    guess = LinearControl.fit(noise[:200], label[:200]).accuracy(noise[200:], label[200:])
    assert guess == pytest.approx(1 / 3, abs=0.15)
