"""Events per cell and bin against a plain loop, and against NumPy on real recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import FITS, GridMap, PatchGrid
from neurovlm.events.binning import count_cells, count_patches, straight
from neurovlm.events.io import read
from neurovlm.events.stream import EventStream


def stream(events, sensor=(8, 6)):
    t, x, y, p = zip(*sorted(events, key=lambda e: e[0]), strict=True) if events else ([],) * 4
    return EventStream(np.array(t), np.array(x), np.array(y), np.array(p, bool), sensor)


def by_numpy(events, cells, channels, t0_us, n_bins, bin_us):
    """Division and ``np.add.at``."""
    counts = np.zeros((n_bins, channels, cells.pixels, cells.pixels), np.int32)
    k = (events.t - t0_us) // bin_us
    column, row = cells.columns[events.x], cells.rows[events.y]
    keep = (k >= 0) & (k < n_bins) & (column >= 0) & (row >= 0)
    channel = events.p.astype(int) if channels == 2 else np.zeros(len(events), int)
    np.add.at(counts, (k[keep], channel[keep], row[keep], column[keep]), 1)
    return counts


events_of_8x6 = st.lists(
    st.tuples(st.integers(-500, 9_000), st.integers(0, 7), st.integers(0, 5), st.booleans()),
    max_size=80,
)


@given(
    events_of_8x6,
    st.sampled_from(FITS),
    st.sampled_from([1, 2]),
    st.integers(-1000, 4000),
    st.integers(0, 12),
    st.sampled_from([1, 250, 1000, 30_000]),
)
def test_any_events_against_numpy(events, fit, channels, t0_us, n_bins, bin_us):
    cells, events = GridMap.fit((8, 6), 4, fit), stream(events)
    options = {"channels": channels, "t0_us": t0_us, "n_bins": n_bins, "bin_us": bin_us}
    got = count_cells(events, cells, **options)
    assert got.dtype == np.int32
    assert np.array_equal(got, by_numpy(events, cells, **options))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 2**32))
def test_bins_as_busy_as_can_be_and_empty_ones(sizes, seed):
    """The end of a bin is searched from the size of the one before: any sizes may follow."""
    rng = np.random.default_rng(seed)
    sizes = np.array(sizes) ** 2
    k = np.repeat(np.arange(len(sizes)), sizes)
    t = np.sort(k * 100 + rng.integers(0, 100, len(k)))
    zero = np.zeros(len(k), int)
    counts = count_patches(
        EventStream(t, zero + 60, zero + 60, zero > 0, (126, 126)), 100, t0_us=0, n_bins=len(sizes)
    )
    assert np.array_equal(counts[:, 6, 6], sizes)
    assert counts.sum() == sizes.sum()


def test_the_defaults_hold_every_event_in_14_x_14_patches():
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(10**12, 10**12 + 20_500, 5000))
    x, y = rng.integers(1, 127, (2, 5000))
    counts = count_patches(EventStream(t, x, y, x > y, (128, 128)))
    assert counts.shape == ((t[-1] - t[0]) // 1000 + 1, 14, 14)
    assert counts.sum() == 5000
    at = ((t - t[0]) // 1000 == 3) & ((x - 1) // 9 == 5) & ((y - 1) // 9 == 2)
    assert counts[3, 2, 5] == at.sum()


def test_no_events_are_no_bins_unless_asked_for():
    none = EventStream.empty((128, 128))
    assert count_patches(none).shape == (0, 14, 14)
    assert not count_patches(none, grid=PatchGrid(7, 18), n_bins=3).any()


def test_bins_that_cannot_be_filled_are_refused():
    none = EventStream.empty((128, 128))
    with pytest.raises(UsageError, match="got 0 us and 0 bins"):
        count_patches(none, 0)
    with pytest.raises(UsageError, match="got 1000 us and -1 bins"):
        count_patches(none, n_bins=-1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("pattern", ["events_recordings/*/*.*", "events_gesture/*/*.bs2"])
def test_real_recordings_against_numpy(data_dir, pattern, channels):
    files = sorted(data_dir.glob(pattern))
    assert len(files) == 7
    for file in files:
        events = read(file, stop_s=0.3)
        cells = GridMap.fit(events.sensor, 126).cells(9)
        options = {"t0_us": int(events.t[0]), "n_bins": 310, "bin_us": 1000}
        got = count_cells(events, cells, channels=channels, **options)
        assert got.any()
        assert np.array_equal(got, by_numpy(events, cells, channels, *options.values()))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sensor", [(126, 126), (128, 128), (320, 240), (640, 480), (1280, 720)])
def test_a_straight_line_gives_every_cell_or_there_is_none(sensor, fit):
    grid = GridMap.fit(sensor, 126, fit)
    for cells in (grid.columns, grid.rows, grid.cells(9).columns, grid.cells(9).rows):
        slope, offset = straight(cells)
        if slope == 0:  # with borders on both sides of a letterbox no line ends in time
            assert fit == "letterbox"
            continue
        found = (np.arange(len(cells)) * int(slope) + int(offset)) >> 22
        outside = (found < 0) | (found > cells.max())
        assert np.array_equal(np.where(outside, -1, found), cells)


def test_cells_in_no_order_have_no_line():
    assert straight(np.array([0, 2, 1], np.int32)) == (0, 0)
    assert straight(np.array([-1, -1], np.int32)) == (0, 0)
