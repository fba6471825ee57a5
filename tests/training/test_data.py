"""Clips keep what they hold, joined, cut, written and read."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from neurovlm.core.errors import InputFileError
from neurovlm.training.data import ClipSet, SparseCounts


def same(one: ClipSet, other: ClipSet) -> None:
    for field in fields(ClipSet):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "counts":
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(a.dense(), b.dense())
        elif field.name == "slots":
            assert mine == theirs
        elif mine is None or theirs is None:
            assert mine is theirs
        else:
            np.testing.assert_array_equal(mine, theirs)


def full(clips, **options) -> ClipSet:
    """A set with all that a set can have."""
    source = clips(**options)
    n, n_windows = source.changed.shape[:2]
    return replace(
        source,
        truth=~source.changed,
        boxes=np.arange(n * n_windows * 12, dtype=np.float32).reshape(n, n_windows, 3, 4),
        length=np.full(n, n_windows),
        group=np.arange(n),
    )


def test_sparse_counts_are_the_counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, (7, 3, 10, 10)).astype(np.uint8)
    sparse = SparseCounts.from_dense(counts)
    assert len(sparse.cell) == np.count_nonzero(counts)
    np.testing.assert_array_equal(sparse.dense(), counts)
    np.testing.assert_array_equal(sparse.dense(2, 5), counts[2:5])


@pytest.mark.parametrize("with_frames", [False, True])
def test_joined_sets_are_cut_apart_again(clips, with_frames):
    parts = [full(clips, n=2, seed=seed, with_frames=with_frames) for seed in (0, 1)]
    joined = ClipSet.join(parts)
    assert len(joined) == 4
    same(joined[:2], parts[0])
    same(joined[2:], parts[1])


def test_joined_clips_of_unequal_length_are_filled_with_nothing(clips):
    short, long = full(clips, n=2, n_windows=3), full(clips, n=2, n_windows=5)
    joined = ClipSet.join([short, long])
    assert joined.n_windows == 5
    assert joined.lengths.tolist() == [3, 3, 5, 5]
    assert joined.counts[0].dense().shape[0] == 5
    assert not joined.counts[0].dense()[3:].any()
    assert not joined.changed[:2, 3:].any()
    assert np.isnan(joined.boxes[:2, 3:]).all()
    np.testing.assert_array_equal(joined.boxes[:2, :3], short.boxes)


def test_what_one_part_lacks_the_whole_lacks(clips):
    joined = ClipSet.join([full(clips, n=2), clips(n=2)])
    assert joined.boxes is None
    assert joined.truth is None


@pytest.mark.parametrize("with_frames", [False, True])
def test_a_file_gives_back_what_was_saved(clips, tmp_path, with_frames):
    source = full(clips, n=3, with_frames=with_frames)
    source.save(tmp_path / "one.npz")
    same(ClipSet.load(tmp_path / "one.npz"), source)
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"nothing of the kind"])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "one.npz"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"one\.npz: cannot read the clips.*delete it"):
        ClipSet.load(path)
