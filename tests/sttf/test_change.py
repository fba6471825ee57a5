"""Change from frames: hand-computed distances, references that wait, means that move."""

from __future__ import annotations

import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.change import embedding_surprise, frame_difference, renewed


def test_distance_is_the_root_mean_square_and_the_threshold_belongs_to_it() -> None:
    reference = torch.zeros(1, 3, 4)
    patches = torch.tensor([[[0.0, 0, 0, 0], [1, 1, 1, 1], [3, 4, 0, 0]]])
    change = frame_difference(patches, reference, 1.0)
    assert change.distance.tolist() == [[0.0, 1.0, 2.5]]
    assert change.changed.tolist() == [[False, True, True]]
    assert change.score.tolist() == [[0, 100, 250]]


def test_a_reference_moves_only_where_it_was_computed() -> None:
    reference, patches = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    after = renewed(reference, patches, torch.tensor([[True, False]]))
    assert after.tolist() == [[[1.0, 1.0], [0.0, 0.0]]]
    assert not reference.any()


def test_surprise_of_a_right_angle_is_one_and_fades() -> None:
    mean = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    embedded = torch.tensor([[[0.0, 2.0], [3.0, 0.0]]])
    change, after = embedding_surprise(embedded, mean, 0.5, keep=0.5)
    torch.testing.assert_close(change.distance, torch.tensor([[1.0, 0.0]]))
    assert change.changed.tolist() == [[True, False]]
    assert after.tolist() == [[[0.5, 1.0], [2.0, 0.0]]]
    faded, _ = embedding_surprise(embedded, after, 0.5, keep=0.5)
    torch.testing.assert_close(faded.distance[0, 0].item(), 1 - 2 / 5**0.5)
    assert not faded.changed.any()


def test_wrong_arguments_are_named() -> None:
    one, two = torch.ones(1, 2, 2), torch.ones(2, 2, 2)
    with pytest.raises(UsageError, match="threshold must be above 0, got 0"):
        frame_difference(one, one, 0)
    with pytest.raises(UsageError, match=r"this window is \(2, 2, 2\)"):
        frame_difference(two, one, 1)
    with pytest.raises(UsageError, match=r"keep must be in \[0, 1\), got 1"):
        embedding_surprise(one, one, 1, keep=1)
