"""Patches against a loop; the map from any sensor to the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import FITS, GridMap, PatchGrid

GRID = PatchGrid()
SENSORS = [(128, 128), (346, 260), (1280, 720), (640, 480), (320, 240), (34, 34)]


def inside(table):
    return np.flatnonzero(table >= 0)


def test_default_grid_is_196_patches_of_9_pixels():
    assert (GRID.pixels, GRID.n_patches) == (126, 196)


def test_to_patches_against_a_loop():
    grid = PatchGrid(side=3, patch=2)
    image = np.random.default_rng(0).integers(0, 99, (5, 2, 6, 6))
    patches = grid.to_patches(image)
    assert patches.shape == (5, 9, 2 * 4)
    for n in range(5):
        for row in range(3):
            for column in range(3):
                cut = image[n, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert np.array_equal(patches[n, 3 * row + column], cut.ravel())


def test_to_patches_refuses_another_size():
    with pytest.raises(UsageError, match="126 x 126 pixels, got 128 x 128"):
        GRID.to_patches(np.zeros((1, 128, 128)))


@pytest.mark.parametrize(("side", "patch"), [(0, 9), (14, 0)])
def test_empty_grids_are_refused(side, patch):
    with pytest.raises(UsageError, match=f"at least 1, got {side} and {patch}"):
        PatchGrid(side, patch)


def test_128_is_cut_by_one_pixel_at_each_border():
    grid_map = GridMap.fit((128, 128), 126)
    assert grid_map.columns.tolist() == [-1, *range(126), -1]
    assert grid_map.rows.tolist() == grid_map.columns.tolist()


def test_crop_of_346x260_keeps_the_centred_square():
    grid_map = GridMap.fit((346, 260), 126)
    assert inside(grid_map.columns).tolist() == list(range(43, 303))
    assert inside(grid_map.rows).tolist() == list(range(260))
    assert grid_map.columns[43 + 100] == 100 * 126 // 260


def test_letterbox_of_1280x720_leaves_bands_above_and_below():
    grid_map = GridMap.fit((1280, 720), 126, "letterbox")
    assert (grid_map.columns.min(), grid_map.columns.max()) == (0, 125)
    first, last = grid_map.rows[0], grid_map.rows[-1]
    assert grid_map.rows.min() >= 0
    assert first == 280 * 126 // 1280
    assert abs(first - (125 - last)) <= 1, "the picture is centred"


def test_stretch_fills_both_axes():
    grid_map = GridMap.fit((346, 260), 126, "stretch")
    for table, length in ((grid_map.columns, 346), (grid_map.rows, 260)):
        assert table.tolist() == [i * 126 // length for i in range(length)]


def test_a_small_sensor_spreads_over_the_grid():
    grid_map = GridMap.fit((34, 34), 126)
    assert grid_map.columns.tolist() == [i * 126 // 34 for i in range(34)]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sensor", SENSORS)
def test_axis_laws(sensor, fit):
    grid_map = GridMap.fit(sensor, 126, fit)
    for table, length in zip((grid_map.columns, grid_map.rows), sensor, strict=True):
        assert table.shape == (length,)
        _check_axis(table)


@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from(FITS), st.integers(1, 200))
def test_axis_laws_for_any_sensor(width, height, fit, pixels):
    grid_map = GridMap.fit((width, height), pixels, fit)
    _check_axis(grid_map.columns, pixels)
    _check_axis(grid_map.rows, pixels)
    assert len(inside(grid_map.columns))
    assert len(inside(grid_map.rows))


def _check_axis(table, pixels=126):
    """Order is kept, nothing leaves the grid, and what is cut off lies at the two ends."""
    kept = inside(table)
    assert table.max() < pixels
    assert table.min() >= -1
    assert (np.diff(table[kept]) >= 0).all()
    assert (np.diff(kept) == 1).all()


def test_messages():
    with pytest.raises(UsageError, match="crop, letterbox, stretch, got 'fill'"):
        GridMap.fit((10, 10), 126, "fill")
    with pytest.raises(UsageError, match="at least 1x1, got 0x5"):
        GridMap.fit((0, 5), 126)
