"""Events straight to spikes equal the reference on the encoded train."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import FITS
from neurovlm.events.io import read
from neurovlm.events.scenes.simple import moving_square
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends import fast_events
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import assert_same_spikes
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.encoding import encode
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.simulate import run_events
from neurovlm.spiking.trace import probe

RECORDINGS = [
    *(f"events_gesture/dvs128_gesture/{n}.bs2" for n in (1, 2, 3, 4, 6, 8, 9)),
    "events_recordings/spinning_object_320x240/dvs.es",
    "events_recordings/sparks_640x480/evt2.raw",
    "events_recordings/driving_1280x720/evt3_sample.raw",
    "events_recordings/davis346_traffic/davis346.aedat4",
    "events_recordings/dvxplorer_person/data_sample.aedat4",
    "events_recordings/dvs128_person/alex_walking_again.aedat",
    "events_recordings/dvs128_person/cam255_alex_standing_up.aedat",
]
SENSORS = [(34, 34), (128, 128), (320, 240), (346, 260), (640, 480), (1280, 720)]
PRECISIONS = list(Precision)


def noise(seed, *, n=30_000, duration_us=60_000, sensor=(128, 128)):
    """Uniform events with one very busy corner and a silence of ten ticks."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, sensor[0], n), rng.integers(0, sensor[1], n)
    busy = rng.random(n) < 0.5
    x[busy], y[busy] = x[busy] // 4, y[busy] // 4
    t = np.sort(rng.integers(0, duration_us, n))
    t = t + 10_000 * (t > duration_us // 2)
    return EventStream(t, x, y, rng.random(n) < 0.5, sensor)


def counting(precision="loihi", *, bits=11, seed=0, channels=1, side=6, allow_wrap=False):
    """One-to-one neurons that all differ, with biases of both signs."""
    rng = np.random.default_rng(seed)
    shape = (channels, side, side)
    decays_u, decays_v = rng.integers(400, 4095, (2, *shape))
    neurons = nir.CubaLIF(
        tau_syn=1e-3 * 4096 / decays_u,
        tau_mem=1e-3 * 4096 / decays_v,
        r=4096 / decays_v,
        w_in=4096 / decays_u,
        v_leak=np.zeros(shape),
        v_threshold=rng.integers(50, 900, shape).astype(float),
        v_reset=np.zeros(shape),
    )
    weights = rng.integers(1, 100, shape) * 2.0
    nodes = {
        "input": nir.Input({"input": np.array(shape)}),
        "scale": nir.Scale(weights),
        "bias": nir.Affine(np.eye(side * side * channels), rng.integers(-9, 9, weights.size) * 1.0),
        "flat": nir.Flatten({"input": np.array(shape)}, 0, -1),
        "lif": neurons,
        "output": nir.Output({"output": np.array(shape)}),
    }
    order = ["input", "scale", "flat", "bias", "lif", "output"]
    edges = list(pairwise(order))
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    dynamics = Dynamics(precision=precision, allow_wrap=allow_wrap)
    return SpikingGraph(graph, dynamics, "counting", {"input": Extension(message_bits=bits)})


def assert_equals_reference(graph, events, *, fit="crop", n_ticks=None):
    """Same spikes, state and counts; returns the trace."""
    got = run_events(graph, events, fit=fit, n_ticks=n_ticks)
    train = encode(graph, events, t0_us=int(events.t[0]), n_ticks=got.n_ticks, fit=fit)
    expected = get_backend("reference").run(graph, train)
    assert_same_spikes(got, expected)
    assert got.counts == expected.counts
    for name, cells in expected.state.cells.items():
        for variable, values in cells.items():
            assert got.state.cells[name][variable].dtype == values.dtype
            assert np.array_equal(got.state.cells[name][variable], values)
    assert got.state.recent.keys() == expected.state.recent.keys()
    for name, sent in expected.state.recent.items():
        for mine, theirs in zip(got.state.recent[name], sent, strict=True):
            assert np.array_equal(mine.neuron, theirs.neuron)
            assert (mine.value is None) == (theirs.value is None)
            assert mine.value is None or np.array_equal(mine.value, theirs.value)
    return got


@pytest.mark.parametrize("file", RECORDINGS)
def test_patch_lif_on_every_recording(data_dir, file):
    events = read(data_dir / file, stop_s=0.3)
    trace = assert_equals_reference(patch_lif(threshold=4), events)
    assert len(trace.out) > 20


def test_the_list_names_every_recording(data_dir):
    folder = data_dir / "events_recordings"
    there = {str(p.relative_to(data_dir)) for p in folder.rglob("*") if p.is_file()}
    there |= {str(p.relative_to(data_dir)) for p in data_dir.glob("events_gesture/*/*.bs2")}
    assert there == set(RECORDINGS)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("sensor", SENSORS, ids=str)
def test_patch_lif_on_every_sensor_size(sensor, precision):
    s = moving_square(duration_s=0.1, velocity_px_s=(300.0, 150.0), start_px=(60.0, 50.0)).stream
    x, y = (c.astype(np.int64) * side // 128 for c, side in zip((s.x, s.y), sensor, strict=True))
    stretched = EventStream(s.t, x, y, s.p, sensor)
    for fit in FITS:
        trace = assert_equals_reference(
            patch_lif(threshold=12, precision=precision), stretched, fit=fit
        )
        assert len(trace.out)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("channels", "side"), [(1, 6), (2, 6), (2, 10), (1, 1)])
def test_neurons_that_differ_and_both_polarities(channels, side, precision):
    graph = counting(precision, channels=channels, side=side, bits=10, allow_wrap=True)
    assert fast_events.serves(graph)
    trace = assert_equals_reference(graph, noise(1))
    assert len(trace.out) > 10


def test_a_flood_wraps_u_and_saturates_v_as_loihi_does():
    """The most events a tick may have, in every tick, with weights that the proof would refuse."""
    n_ticks, most = 40, 1023
    t = np.repeat(np.arange(n_ticks) * 1000, most)
    where = np.full(len(t), 64)
    flood = EventStream(t, where, where, t % 2000 == 0, (128, 128))
    graph = counting(bits=10, side=1, allow_wrap=True, seed=4)
    (p,) = graph.network.populations
    trace = assert_equals_reference(graph, flood)
    train = encode(graph, flood, t0_us=0, n_ticks=n_ticks)
    assert set(train.value.tolist()) == {most}
    run = get_backend("reference").run(graph, train, probes=[probe(p.name, ["u"])])
    u = run.probed[p.name]["u"]
    assert u.min() < 0 < u.max()  # all weights are positive: only a wrap makes u negative
    assert len(trace.out)


@pytest.mark.parametrize("cut", [0, 1, 13, 69, 70])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_two_halves_are_the_whole(cut, precision):
    graph, events = patch_lif(threshold=18, precision=precision), noise(2)
    whole = run_events(graph, events, t0_us=0, n_ticks=70)
    first = run_events(graph, events, t0_us=0, n_ticks=cut)
    second = run_events(graph, events, t0_us=cut * 1000, n_ticks=70 - cut, state=first.state)
    assert len(whole.out) > 50
    assert first.out.join([first.out, second.out]).differing(whole.out) == 0
    assert first.counts + second.counts == whole.counts
    state, other = whole.state.to_arrays(), second.state.to_arrays()
    assert state.keys() == other.keys()
    assert all(np.array_equal(state[key], other[key]) for key in state)


def test_blocks_leave_no_seam():
    """More ticks than one block, against the reference in one piece."""
    assert_equals_reference(patch_lif(threshold=6), noise(3, n=40_000, duration_us=1_300_000))


def test_counts_equal_brute_force():
    graph, events = patch_lif(), noise(4)
    trace = run_events(graph, events)
    n_ticks = (int(events.t[-1]) - int(events.t[0])) // 1000 + 1 + 1
    tick = (events.t - events.t[0]) // 1000
    inside = (abs(events.x - 63.5) < 63) & (abs(events.y - 63.5) < 63)
    patch = (events.y.astype(int) - 1) // 9 * 14 + (events.x.astype(int) - 1) // 9
    pairs = set(zip(tick[inside].tolist(), patch[inside].tolist(), strict=True))
    assert trace.n_ticks == n_ticks
    assert trace.counts.input_spikes == len(pairs)
    assert trace.counts.connections[0].synops == len(pairs)  # the last tick has no events
    assert trace.counts.populations[0].neuron_updates == 196 * n_ticks


def test_the_input_is_counted_but_not_kept():
    trace = run_events(patch_lif(), noise(5))
    assert trace.input_spikes > 1000
    with pytest.raises(UsageError, match=r"kept only the counts.*spiking\.encoding\.encode"):
        _ = trace.input


def test_other_graphs_are_encoded_first():
    graph, events = change_detector(), moving_square(duration_s=0.05, seed=1).stream
    assert not fast_events.serves(graph)
    trace = assert_equals_reference(graph, events)
    assert len(trace.input) and len(trace.out)


@pytest.mark.parametrize("n_ticks", [None, 3])
def test_too_many_events_in_a_cell_name_tick_cell_and_cure(n_ticks):
    graph = patch_lif(message_bits=4)
    t = np.repeat([5, 1005, 2005], [15, 16, 40])
    events = EventStream(t, t * 0 + 46, t * 0 + 19, t > 0, (128, 128))
    message = (
        r"events: 16 of tick 1 meet in input cell \(0, 2, 5\), its graded spikes count to 15; "
        r"raise message_bits"
    )
    with pytest.raises(UsageError, match=message):
        run_events(graph, events, t0_us=5, n_ticks=n_ticks)
    with pytest.raises(UsageError, match=message):
        encode(graph, events, t0_us=5, n_ticks=3)


def test_silence_needs_a_time_and_a_length():
    graph, none = patch_lif(), EventStream.empty((128, 128))
    for given in ({}, {"t0_us": 0}, {"n_ticks": 5}):
        with pytest.raises(UsageError, match="the stream holds no events"):
            run_events(graph, none, **given)
    trace = run_events(graph, none, t0_us=0, n_ticks=5)
    assert (trace.n_ticks, len(trace.out), trace.input_spikes) == (5, 0, 0)
