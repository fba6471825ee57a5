"""Fast equals reference on real recordings and on procedural streams of every sensor size."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.grid import FITS
from neurovlm.events.io import read
from neurovlm.events.scenes.simple import moving_square
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import assert_same_spikes
from neurovlm.spiking.encoding import encode_events, grid_for

N_TICKS = 2000
GESTURES = [f"events_gesture/dvs128_gesture/{n}.bs2" for n in (1, 2, 3, 4, 6, 8, 9)]
RECORDINGS = [
    "events_recordings/spinning_object_320x240/dvs.es",
    "events_recordings/sparks_640x480/evt2.raw",
    "events_recordings/driving_1280x720/evt3_sample.raw",
    "events_recordings/davis346_traffic/davis346.aedat4",
    "events_recordings/dvxplorer_person/data_sample.aedat4",
    "events_recordings/dvs128_person/alex_walking_again.aedat",
    "events_recordings/dvs128_person/cam255_alex_standing_up.aedat",
]
QUICK = {*RECORDINGS[:3], GESTURES[0]}
FILES = [
    pytest.param(f, marks=() if f in QUICK else pytest.mark.slow) for f in (*RECORDINGS, *GESTURES)
]


def encoded(stream, graph, n_ticks=N_TICKS, fit="crop"):
    """Input of the ``n_ticks`` ticks with most events, or of all there are plus the depth."""
    dt_us = graph.dynamics.dt_us
    n_ticks = min(n_ticks, -(-stream.duration_us // dt_us) + graph.network.depth)
    n_events = np.searchsorted(stream.t, stream.t + n_ticks * dt_us) - np.arange(len(stream))
    t0_us = int(stream.t[n_events.argmax()])
    grid = grid_for(graph.network.input_shape, stream.sensor, fit)
    return encode_events(stream, grid, channels=2, t0_us=t0_us, n_ticks=n_ticks, dt_us=dt_us)


def assert_agree(name, other, graph, spikes):
    """Same spikes in every population, same state at the end, same counts."""
    got, expected = (get_backend(n).run(graph, spikes) for n in (name, other))
    assert len(expected.spikes["F"]), "a silent detector proves nothing"
    assert_same_spikes(got, expected)
    assert got.connections == expected.connections
    for p in expected.spikes:
        assert np.array_equal(got.state.cells[p]["u"], expected.state.cells[p]["u"])
        assert np.array_equal(got.state.cells[p]["v"], expected.state.cells[p]["v"])


def test_the_list_names_every_recording(data_dir):
    folder = data_dir / "events_recordings"
    there = {str(p.relative_to(data_dir)) for p in folder.rglob("*") if p.is_file()}
    there |= {str(p.relative_to(data_dir)) for p in data_dir.glob("events_gesture/*/*.bs2")}
    assert there == {*RECORDINGS, *GESTURES}


@pytest.mark.parametrize("file", FILES)
def test_fast_equals_reference_in_loihi_precision(data_dir, file):
    graph = change_detector()
    assert_agree("fast", "reference", graph, encoded(read(data_dir / file), graph))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("file", [RECORDINGS[0], pytest.param(GESTURES[3], marks=pytest.mark.slow)])
def test_fast_equals_reference_in_floats(data_dir, file, precision):
    graph = change_detector(precision=precision)
    assert_agree("fast", "reference", graph, encoded(read(data_dir / file), graph, 300))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    ("file", "n_ticks"),
    [
        (GESTURES[0], 100),
        pytest.param(RECORDINGS[0], 1000, marks=pytest.mark.slow),
        pytest.param(GESTURES[4], 1000, marks=pytest.mark.slow),
    ],
)
def test_snntorch_equals_reference(data_dir, file, n_ticks, precision):
    graph = change_detector(precision=precision)
    spikes = encoded(read(data_dir / file), graph, n_ticks)
    assert_agree("snntorch", "reference", graph, spikes)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sensor", [(34, 34), (128, 128), (346, 260), (1280, 720)], ids=str)
def test_every_sensor_size(sensor, fit):
    """A square filmed at 128 x 128, its events spread over the sensor."""
    s = moving_square(duration_s=0.1, velocity_px_s=(300.0, 150.0), start_px=(60.0, 50.0)).stream
    x = s.x.astype(np.int64) * sensor[0] // 128
    y = s.y.astype(np.int64) * sensor[1] // 128
    graph = change_detector()
    spikes = encoded(EventStream(s.t, x, y, s.p, sensor), graph, fit=fit)
    assert_agree("fast", "reference", graph, spikes)


def test_a_flood_in_which_every_pixel_fires_in_every_tick():
    graph = change_detector()
    y, x = (a.ravel() for a in np.mgrid[:126, :126])
    t = np.repeat(np.arange(20) * 1000, 2 * x.size)
    x, y = np.tile(x, 40), np.tile(y, 40)
    p = np.tile(np.repeat([False, True], 126 * 126), 20)
    spikes = encoded(EventStream(t, x, y, p, (126, 126)), graph)
    assert len(spikes) == 20 * 2 * 126 * 126
    assert_agree("fast", "reference", graph, spikes)
