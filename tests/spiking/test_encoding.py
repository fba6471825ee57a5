"""Events to spikes against a naive loop in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.core.grid import FITS, GridMap
from neurovlm.events.binning import count_cells
from neurovlm.events.stream import EventStream
from neurovlm.spiking.encoding import encode_events, grid_for

DT_US = 1000


def stream(events, sensor=(8, 6)):
    t, x, y, p = zip(*sorted(events, key=lambda e: e[0]), strict=True) if events else ([],) * 4
    return EventStream(np.array(t), np.array(x), np.array(y), np.array(p, bool), sensor)


def naive(events, grid, channels, t0_us, n_ticks, dt_us):
    """The set of (tick, neuron) that the definition asks for."""
    spikes = set()
    for t, x, y, p in zip(events.t, events.x, events.y, events.p, strict=True):
        tick = (int(t) - t0_us) // dt_us
        column, row = int(grid.columns[x]), int(grid.rows[y])
        if 0 <= tick < n_ticks and column >= 0 and row >= 0:
            channel = int(p) if channels == 2 else 0
            spikes.add((tick, (channel * grid.pixels + row) * grid.pixels + column))
    return sorted(spikes)


def pairs(train):
    return list(zip(train.tick.tolist(), train.neuron.tolist(), strict=True))


def check(events, *, pixels=4, fit="crop", channels=2, t0_us=0, n_ticks=10, dt_us=DT_US):
    grid = GridMap.fit(events.sensor, pixels, fit)
    options = {"channels": channels, "t0_us": t0_us, "n_ticks": n_ticks, "dt_us": dt_us}
    train = encode_events(events, grid, **options)
    assert pairs(train) == naive(events, grid, **options)
    assert train.shape == (channels, pixels, pixels)
    assert (train.n_ticks, train.dt_s) == (n_ticks, dt_us / 1e6)
    return train


events_of_8x6 = st.lists(
    st.tuples(st.integers(-500, 9_000), st.integers(0, 7), st.integers(0, 5), st.booleans()),
    max_size=60,
)


@given(
    events_of_8x6,
    st.sampled_from(FITS),
    st.sampled_from([1, 2]),
    st.integers(-1000, 4000),
    st.integers(1, 12),
    st.sampled_from([250, 1000, 3000]),
)
def test_any_events_against_the_loop(events, fit, channels, t0_us, n_ticks, dt_us):
    check(stream(events), fit=fit, channels=channels, t0_us=t0_us, n_ticks=n_ticks, dt_us=dt_us)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sensor", [(346, 260), (1280, 720), (34, 34), (128, 128)], ids=str)
def test_any_sensor_against_the_loop(sensor, fit):
    rng = np.random.default_rng(5)
    n = 3000
    events = EventStream(
        np.sort(rng.integers(0, 8000, n)),
        rng.integers(0, sensor[0], n),
        rng.integers(0, sensor[1], n),
        rng.random(n) < 0.5,
        sensor,
    )
    assert len(check(events, pixels=126, fit=fit))


def test_tick_borders_are_half_open():
    train = check(stream([(t, 2, 1, 0) for t in (0, 999, 1000, 1999, 2000)]), n_ticks=2)
    assert train.tick.tolist() == [0, 1]


def test_one_spike_per_pixel_polarity_and_tick():
    repeated = [(10, 3, 2, 1)] * 5 + [(900, 3, 2, 1), (900, 3, 2, 0)]
    assert len(check(stream(repeated))) == 2
    assert len(check(stream(repeated), channels=1)) == 1


def test_off_is_channel_zero():
    train = check(stream([(0, 1, 0, 0), (0, 1, 0, 1)]), pixels=6)
    assert train.neuron.tolist() == [0, 36]  # column 1 of 8 is the first that the crop keeps


def test_pixels_cut_off_give_no_spike():
    assert len(check(stream([(0, 0, 0, 1), (0, 7, 0, 1)]), pixels=6)) == 0


def test_no_events_are_no_spikes():
    assert len(check(stream([]))) == 0


@given(
    events_of_8x6,
    st.sampled_from(FITS),
    st.sampled_from([1, 2]),
    st.integers(-1000, 4000),
    st.integers(1, 12),
)
def test_graded_spikes_count_their_events(events, fit, channels, t0_us, n_ticks):
    events, grid = stream(events), GridMap.fit((8, 6), 4, fit)
    options = {"channels": channels, "t0_us": t0_us, "n_ticks": n_ticks, "dt_us": DT_US}
    train = encode_events(events, grid, message_bits=8, **options)
    assert pairs(train) == pairs(encode_events(events, grid, **options))
    counts = count_cells(events, grid, channels=channels, t0_us=t0_us, n_bins=n_ticks, bin_us=DT_US)
    assert np.array_equal(train.dense_values(), counts.reshape(n_ticks, -1))


def test_more_events_than_the_message_can_count_are_an_error():
    events = stream([(1500, 2, 1, True)] * 4)
    grid = GridMap.fit((8, 6), 6)
    options = {"channels": 2, "t0_us": 0, "n_ticks": 3, "dt_us": DT_US}
    assert encode_events(events, grid, message_bits=3, **options).value.tolist() == [4]
    with pytest.raises(
        UsageError, match=r"4 of tick 1 meet in input cell \(1, 1, 1\).*to 3; raise"
    ):
        encode_events(events, grid, message_bits=2, **options)


@pytest.mark.parametrize("sensor", [(128, 128), (640, 480), (34, 34)], ids=str)
def test_a_side_that_divides_the_model_takes_cells_of_its_grid(sensor):
    fine, patches = grid_for((2, 126, 126), sensor), grid_for((1, 14, 14), sensor)
    assert patches.pixels == 14
    for a, b in ((fine.columns, patches.columns), (fine.rows, patches.rows)):
        assert np.array_equal(b, np.where(a < 0, -1, a // 9))


@pytest.mark.parametrize("shape", [(2, 126, 126), (1, 34, 34)])
def test_grid_for_an_input_of_channels_and_a_square(shape):
    assert grid_for(shape, (128, 128)).pixels == shape[1]


@pytest.mark.parametrize("shape", [(10,), (3, 8, 8), (2, 8, 9), (2, 64)])
def test_other_inputs_take_no_events(shape):
    with pytest.raises(GraphError, match=r"\(2, side, side\) or \(1, side, side\)"):
        grid_for(shape, (128, 128))
