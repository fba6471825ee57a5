"""Contrast camera: closed forms, invariances, statistics of the noise, messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.camera import (
    ContrastParams,
    contrast_step,
    first_state,
    frames_to_events,
    log_luminance,
    merge,
    noise_events,
)
from neurovlm.events.stream import EventStream

IDEAL = ContrastParams(
    threshold_on=0.2, threshold_off=0.25, mismatch=0.0, refractory_us=0, noise_hz=0, hot_pixels=0
)


def run(log_frames, t_us, params, seed=0):
    log_frames = np.asarray(log_frames, np.float32)
    state = first_state(log_frames[0], int(t_us[0]), params, np.random.default_rng(seed))
    return contrast_step(log_frames[1:], np.asarray(t_us[1:]), state, params)


def ramp(deltas, n_frames, stop_us):
    """One pixel per delta in a row, each rising linearly from 0 to its delta."""
    t_us = np.linspace(0, stop_us, n_frames).round().astype(np.int64)
    return (t_us / stop_us)[:, None, None] * np.asarray(deltas, float)[None, None, :], t_us


def test_a_ramp_gives_floor_of_delta_over_threshold():
    deltas = [0.0, 0.19, 0.21, 0.99, 1.01, 3.05, -0.24, -0.26, -0.99, -1.01, -3.1]
    frames, t_us = ramp(deltas, 11, 100_000)
    events, _ = run(frames, t_us, IDEAL)
    for pixel, delta in enumerate(deltas):
        mine = events.x == pixel
        expected = int(delta / 0.2) if delta > 0 else int(-delta / 0.25)
        assert mine.sum() == expected
        assert np.all(events.p[mine] == (delta > 0))


@given(
    delta=st.floats(0.3, 4.0),
    threshold=st.floats(0.05, 0.6),
    n_frames=st.integers(2, 40),
    rising=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_events_of_a_ramp_come_at_the_crossing_times(delta, threshold, n_frames, rising):
    params = replace(IDEAL, threshold_on=threshold, threshold_off=threshold)
    frames, t_us = ramp([delta if rising else -delta], n_frames, 1_000_000)
    events, _ = run(frames, t_us, params)
    expected = np.arange(1, int(delta / threshold + 1e-4) + 1) * threshold / delta * 1e6
    assert abs(len(events) - len(expected)) <= (abs(delta / threshold % 1 - 0.5) > 0.4999)
    n = min(len(events), len(expected))
    # frames are float32: one part in 2**23 of the level, divided by the slope, plus rounding down
    assert np.all(np.abs(events.t[:n] - expected[:n]) <= 3)


def test_reference_stays_within_one_threshold_of_the_scene():
    rng = np.random.default_rng(1)
    frames = np.cumsum(rng.normal(0, 0.3, (50, 6, 7)), axis=0).astype(np.float32)
    params = replace(IDEAL, mismatch=0.05)
    events, state = run(frames, np.arange(50) * 1000, params)
    gap = frames[-1] - state.reference
    assert np.all(gap < state.threshold_on)
    assert np.all(-gap < state.threshold_off)
    moved = np.zeros((6, 7))
    at = (events.y, events.x)
    np.add.at(moved, at, np.where(events.p, state.threshold_on[at], -state.threshold_off[at]))
    np.testing.assert_allclose(state.reference - frames[0], moved, atol=1e-9)


def test_refractory_period_separates_events_of_a_pixel():
    frames, t_us = ramp([2.0, -2.0, 0.5], 21, 10_000)
    free, _ = run(frames, t_us, IDEAL)
    events, _ = run(frames, t_us, replace(IDEAL, refractory_us=1500))
    assert np.diff(free.t[free.x == 0]).min() == 1000
    # crossings every 1000 us, blind for 1500 us: every second one is lost
    np.testing.assert_array_equal(events.t[events.x == 0], free.t[free.x == 0][::2])
    for pixel in range(3):
        assert np.all(np.diff(events.t[events.x == pixel]) >= 1500)


@pytest.mark.parametrize("cut", [1, 7, 30, 39])
def test_in_pieces_equals_at_once(cut):
    rng = np.random.default_rng(2)
    frames = np.cumsum(rng.normal(0, 0.2, (40, 5, 9)), axis=0).astype(np.float32)
    t_us = np.arange(40) * 700
    params = ContrastParams(refractory_us=900)
    whole, end = run(frames, t_us, params)
    first, state = run(frames[: cut + 1], t_us[: cut + 1], params)
    kept = state.reference.copy()
    parts = [first]
    if cut < 39:
        second, state_end = contrast_step(frames[cut + 1 :], t_us[cut + 1 :], state, params)
        parts.append(second)
        np.testing.assert_array_equal(state.reference, kept)
        np.testing.assert_array_equal(state_end.reference, end.reference)
        np.testing.assert_array_equal(state_end.last_us, end.last_us)
    joined = EventStream.join(parts)
    order = [np.lexsort((s.p, s.x, s.y, s.t)) for s in (joined, whole)]
    for name in "txyp":
        np.testing.assert_array_equal(
            getattr(joined, name)[order[0]], getattr(whole, name)[order[1]]
        )


def test_mismatch_spreads_the_thresholds():
    params = ContrastParams(threshold_on=0.2, threshold_off=0.3, mismatch=0.03)
    blank = np.zeros((200, 200), np.float32)
    state = first_state(blank, 0, params, np.random.default_rng(0))
    n = blank.size
    for drawn, mean in ((state.threshold_on, 0.2), (state.threshold_off, 0.3)):
        assert abs(drawn.mean() - mean) < 5 * 0.03 / np.sqrt(n)
        assert abs(drawn.std() - 0.03) < 5 * 0.03 / np.sqrt(2 * n)
    wild = first_state(blank, 0, replace(params, mismatch=1.0), np.random.default_rng(0))
    assert wild.threshold_on.min() == pytest.approx(0.02)


@pytest.mark.parametrize("noise_hz", [0.1, 1.0, 5.0])
def test_noise_is_poisson_at_its_rate(noise_hz):
    params = ContrastParams(noise_hz=noise_hz, hot_pixels=0)
    state = first_state(np.zeros((128, 128), np.float32), 0, params, np.random.default_rng(0))
    noise = noise_events(1000, 2_001_000, state, params, np.random.default_rng(3))
    expected = noise_hz * 128 * 128 * 2.0
    assert abs(len(noise) - expected) < 5 * np.sqrt(expected)
    assert abs(noise.p.sum() - len(noise) / 2) < 5 * np.sqrt(len(noise) / 4)
    assert noise.t[0] >= 1000
    assert noise.t[-1] < 2_001_000
    per_block = np.histogram2d(noise.y, noise.x, bins=(8, 8), range=((0, 128), (0, 128)))[0]
    mean = len(noise) / 64
    assert abs(((per_block - mean) ** 2 / mean).sum() - 63) < 5 * np.sqrt(2 * 63)


def test_hot_pixels_fire_at_their_rate_and_nowhere_else():
    params = ContrastParams(noise_hz=0.0, hot_pixels=5, hot_hz=100.0)
    state = first_state(np.zeros((20, 30), np.float32), 0, params, np.random.default_rng(0))
    noise = noise_events(0, 10_000_000, state, params, np.random.default_rng(1))
    pixel = noise.y.astype(int) * 30 + noise.x
    assert set(pixel) == set(state.hot)
    assert len(set(state.hot)) == 5
    for hot in state.hot:
        assert abs((pixel == hot).sum() - 1000) < 5 * np.sqrt(1000)


def test_merge_keeps_order_and_says_who_is_who():
    sensor = (4, 3)
    a = EventStream([1, 5, 9], [0, 1, 2], [0, 0, 0], [1, 1, 1], sensor)
    b = EventStream([0, 5, 7], [3, 3, 3], [2, 2, 2], [0, 0, 0], sensor)
    stream, from_a = merge(a, b)
    assert stream.t.tolist() == [0, 1, 5, 5, 7, 9]
    assert from_a.tolist() == [False, True, True, False, False, True]
    np.testing.assert_array_equal(stream.p, from_a)
    with pytest.raises(UsageError, match="sensors differ"):
        merge(a, EventStream.empty((5, 3)))


def test_only_contrast_counts_not_exposure():
    rng = np.random.default_rng(5)
    scene = rng.uniform(0.1, 0.4, (100, 8, 8))
    params = ContrastParams(noise_hz=0, hot_pixels=0)
    dark, bright = (
        frames_to_events(
            [(1000 * i, gain * frame) for i, frame in enumerate(scene)],
            params,
            np.random.default_rng(0),
        )
        for gain in (1.0, 2.0)
    )
    assert len(dark) > 1000
    # gain 2 moves the float32 log by log 2, so a crossing may round to the neighbouring microsecond
    assert abs(len(dark) - len(bright)) <= 2
    n = min(len(dark), len(bright))
    assert np.mean(np.abs(dark.t[:n] - bright.t[:n]) <= 1) > 0.99


def test_frames_to_events_streams_a_generator_and_is_seeded():
    rng = np.random.default_rng(6)
    frames = [(500 * i, rng.uniform(0.2, 0.8, (6, 10))) for i in range(150)]
    params = ContrastParams(noise_hz=5.0)
    streams = [frames_to_events(iter(frames), params, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert streams[0].sensor == (10, 6)
    np.testing.assert_array_equal(streams[0].to_tonic(), streams[1].to_tonic())
    assert len(streams[0]) != len(streams[2]) or np.any(streams[0].t != streams[2].t)


@pytest.mark.parametrize(
    ("bad", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-0.5, "-0.5")], ids=str
)
def test_bad_luminance_is_named(bad, said):
    frame = np.full((3, 4), 0.5)
    frame[1, 2] = bad
    with pytest.raises(InputFileError, match=rf"index \(1, 2\) is {said}"):
        log_luminance(frame)


def test_wrong_use_is_refused():
    rng = np.random.default_rng(0)
    frame = np.full((3, 4), 0.5)
    with pytest.raises(UsageError, match="at least one frame"):
        frames_to_events([], ContrastParams(), rng)
    with pytest.raises(UsageError, match="frame 1 at 5 us is not later"):
        frames_to_events([(0, frame), (5, frame), (5, frame)], ContrastParams(), rng)
    with pytest.raises(UsageError, match="thresholds must be above 0"):
        ContrastParams(threshold_on=0)
    with pytest.raises(UsageError, match="noise_hz cannot be negative"):
        ContrastParams(noise_hz=-1)


def test_a_still_scene_is_silent():
    frames = [(1000 * i, np.full((5, 5), 0.3)) for i in range(20)]
    quiet = ContrastParams(noise_hz=0, hot_pixels=0)
    assert len(frames_to_events(frames, quiet, np.random.default_rng(0))) == 0
