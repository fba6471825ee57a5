"""ChangeMask: shapes, counts and the law of the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.core.mask import ChangeMask

GRID = PatchGrid(side=2, patch=3)


def mask(changed, score):
    return ChangeMask(np.array(changed, bool), np.array(score, np.int64), GRID)


def test_counts_and_length():
    m = mask([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], np.ones((3, 4)))
    assert len(m) == 3
    assert m.n_changed.tolist() == [2, 0, 4]


def test_at_least_keeps_scores_and_drops_weak_patches():
    m = mask([[1, 1, 0, 1]], [[5, 2, 9, 3]])
    assert m.at_least(3).changed.tolist() == [[True, False, False, True]]
    assert m.at_least(3).score.tolist() == [[5, 2, 9, 3]]


@given(
    hnp.arrays(bool, (3, 4)),
    hnp.arrays(np.int64, (3, 4), elements=st.integers(0, 30)),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_a_higher_threshold_never_adds_a_patch(changed, score, a, b):
    m = mask(changed, score)
    low, high = sorted((a, b))
    assert not (m.at_least(high).changed & ~m.at_least(low).changed).any()
    assert not (m.at_least(low).changed & ~m.changed).any()


def test_arrays_are_read_only():
    m = mask(np.ones((1, 4)), np.ones((1, 4)))
    with pytest.raises(ValueError, match="read-only"):
        m.changed[0, 0] = False


def test_wrong_shapes_are_refused():
    with pytest.raises(UsageError, match=r"must both be \(1, 4\), got \(1, 4\) and \(1, 3\)"):
        mask(np.ones((1, 4)), np.ones((1, 3)))
    with pytest.raises(UsageError, match=r"\(2, 4\)"):
        mask(np.ones((2, 9)), np.ones((2, 9)))
