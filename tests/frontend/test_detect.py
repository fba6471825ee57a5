"""What the detector does: adapts, forgets, ignores noise, moves with the scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.events.scenes.simple import flicker_patch, moving_square, static_scene
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import iter_windows
from neurovlm.frontend.detect import Frontend, detect, read_mask
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.spiking.train import SpikeTrain

SENSOR = (128, 128)
WINDOW_US = 25_000
SIDE = PatchGrid().side


@pytest.fixture(scope="module")
def frontend():
    return Frontend.build()


@pytest.fixture(scope="module")
def square():
    """A square that crosses the picture at 80 px/s, with sensor noise."""
    return moving_square(duration_s=0.75, noise_hz=1.0, seed=3)


@pytest.fixture(scope="module")
def result(frontend, square):
    return frontend.run(square.stream)


def stream(events):
    t, x, y, p = (np.array(column) for column in zip(*events, strict=True))
    return EventStream(t, x, y, p.astype(bool), SENSOR)


def changed_in(clip):
    return detect(clip.stream).mask.changed


# --- bookkeeping -----------------------------------------------------------------------------


def test_window_by_window_equals_the_whole_run(frontend, square, result):
    state = frontend.start()
    for k, window in enumerate(iter_windows([square.stream], frontend.window_us)):
        step, state = frontend.step(frontend.encode(window), state)
        assert np.array_equal(step.mask.changed[0], result.mask.changed[k])
        assert np.array_equal(step.mask.score[0], result.mask.score[k])
        assert np.array_equal(step.counts[0], result.counts[k])
    assert k + 1 == len(result.mask)


def test_one_window_of_a_result_is_its_row(result):
    row = result.window(4)
    assert len(row.mask) == 1
    assert np.array_equal(row.mask.changed[0], result.mask.changed[4])
    assert np.array_equal(row.counts[0], result.counts[4])


def test_counts_hold_every_spike_of_input_and_filter(result):
    n_windows = len(result.mask)
    assert result.counts.shape == (n_windows, 3, 126, 126)
    assert result.counts.dtype == np.uint8
    inside = n_windows * 25  # the trailing ticks belong to no window
    filtered = result.trace.spikes["F"]
    assert result.counts[:, :2].sum() == len(result.trace.input)
    assert result.counts[:, 2].sum() == len(filtered.between(0, inside))


def test_mask_and_score_are_read_from_h(result):
    dense = result.trace.spikes["H"].dense()
    n = len(result.mask)
    windows = dense[: 25 * n].reshape(n, 25, -1)
    assert np.array_equal(result.mask.changed, windows[:, -1])
    assert np.array_equal(result.mask.score, windows.sum(axis=1))


def test_read_mask_leaves_out_an_unfinished_window():
    raster = np.zeros((8, 2))
    raster[[2, 7], 0] = raster[[4, 5], 1] = 1
    changed, score = read_mask(SpikeTrain.from_dense(raster, dt_s=1e-3), 3)
    assert changed.tolist() == [[True, False], [False, True]]
    assert score.tolist() == [[1, 0], [0, 2]]


def test_length_is_whole_windows_plus_the_depth(result, square):
    n_windows = -(-square.stream.duration_us // WINDOW_US)
    assert len(result.mask) == n_windows
    assert result.trace.n_ticks == 25 * n_windows + 3


def test_a_stream_shorter_than_a_window_is_one_padded_window():
    assert len(detect(stream([(5, 10, 10, 1), (900, 11, 10, 0)])).mask) == 1


@pytest.mark.parametrize("backend", ["reference", "fast"])
def test_any_backend_can_run_it(backend, square, result):
    piece = square.stream.between(0, square.start_us + 10 * WINDOW_US)
    mask = detect(piece, backend=backend).mask
    assert np.array_equal(mask.changed, result.mask.changed[: len(mask)])


# --- laws ------------------------------------------------------------------------------------


def test_when_the_recording_began_does_not_matter(square, result):
    s = square.stream
    later = EventStream(s.t + 987_654_321, s.x, s.y, s.p, s.sensor)
    assert np.array_equal(detect(later).mask.score, result.mask.score)


def test_polarities_count_alike(square, result):
    s = square.stream
    swapped = detect(EventStream(s.t, s.x, s.y, ~s.p, s.sensor))
    assert np.array_equal(swapped.mask.score, result.mask.score)
    assert np.array_equal(swapped.counts, result.counts[:, [1, 0, 2]])


def test_a_scene_moved_by_a_patch_moves_the_mask_by_a_patch():
    """Away from the border; the first event is the scene's own, so ticks stay aligned."""
    s = moving_square(duration_s=0.4, start_px=(40.0, 50.0), size_px=18.0).stream
    still = detect(s)
    moved = detect(EventStream(s.t, s.x + 9, s.y - 18, s.p, s.sensor))
    scores = [r.mask.score.reshape(-1, SIDE, SIDE) for r in (still, moved)]
    assert scores[0].any()
    assert np.array_equal(np.roll(scores[0], (-2, 1), axis=(1, 2)), scores[1])


def test_silence_gives_nothing(frontend):
    n_inputs = frontend.graph.network.n_inputs
    silence = SpikeTrain.from_dense(np.zeros((50, n_inputs), bool), dt_s=1e-3, shape=(2, 126, 126))
    step, state = frontend.step(silence, frontend.start())
    assert not step.mask.score.any()
    assert sum(len(train) for train in step.trace.spikes.values()) == 0
    assert not any(x.any() for cells in state.cells.values() for x in cells.values())


def test_one_noise_event_gives_no_filter_spike():
    trace = detect(stream([(0, 60, 60, 1)])).trace
    assert len(trace.input) == 1
    assert sum(len(train) for train in trace.spikes.values()) == 0


def test_a_pixel_never_supports_itself():
    """The filter's kernel has no centre, so a hot pixel wakes at most its neighbours."""
    hot = 60
    trace = detect(stream([(1000 * i, hot, hot, i % 2) for i in range(300)])).trace
    own = (hot - 1) * 126 + hot - 1  # one border pixel is cut off
    assert own not in trace.spikes["F"].neuron
    assert set(trace.input.neuron.tolist()) == {own, 126**2 + own}


def test_a_hot_pixel_of_100_hz_gives_no_filter_spike():
    trace = detect(stream([(10_000 * i, 60, 60, i % 2) for i in range(100)])).trace
    assert len(trace.input) == 100
    assert len(trace.spikes["F"]) == 0


def test_sensor_noise_alone_changes_no_patch():
    assert not changed_in(static_scene(noise_hz=1.0, duration_s=1.0, seed=1)).any()


def test_a_moving_square_is_found_and_nothing_far_from_it(square, result):
    """Every window finds some of it; all found lies within a patch of where it was just now."""
    changed = result.mask.changed.reshape(-1, SIDE, SIDE)
    truth = square.truth.reshape(-1, SIDE, SIDE)
    for k in range(2, len(changed)):
        assert (changed[k] & truth[k]).any()
        near = _dilated(truth[k] | truth[k - 1])
        assert not (changed[k] & ~near).any()


def _dilated(mask):
    padded = np.pad(mask, 1)
    return np.any(
        [padded[1 + dy : 15 + dy, 1 + dx : 15 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)],
        axis=0,
    )


def test_a_vacated_patch_is_forgotten_after_two_windows(square, result):
    """The read-out holds a change for about a window, not for ever."""
    changed, truth = result.mask.changed, square.truth
    left = np.zeros_like(truth[0])
    checked = 0
    for k in range(3, len(changed)):
        near = np.stack([_dilated(t.reshape(SIDE, SIDE)).ravel() for t in truth[k - 2 : k + 1]])
        left |= truth[k - 3]
        vacated = left & ~near.any(axis=0)
        checked += vacated.sum()
        assert not changed[k][vacated].any()
    assert checked > 20, "no patch was vacated and the test proves nothing"


def flicker_spikes(**changes):
    """D spikes of a patch that flickers at 20 Hz, in the first and the last 200 ms of 2 s."""
    patch = 7 * SIDE + 7
    clip = flicker_patch(patch, rate_hz=20.0, contrast=0.5, duration_s=2.0)
    d = detect(clip.stream, replace(DetectorConfig(), **changes)).trace.spikes["D"]
    tick = d.tick[d.neuron == patch]
    return (tick < 200).sum(), ((tick >= 1800) & (tick < 2000)).sum(), len(tick)


def test_flicker_tires_the_detector():
    """Threshold adaptation: fewer D spikes later than at the start."""
    first, last, whole = flicker_spikes()
    untired_first, untired_last, untired_whole = flicker_spikes(adapt_weight=0)
    assert first == untired_first, "the relay has not fired yet"
    assert 0 < last < 0.8 * first
    assert last < untired_last
    assert whole < untired_whole


def test_the_cap_pushes_back_when_everything_moves():
    """One neuron sums all patches; with its weight at zero more patches fire."""
    rng = np.random.default_rng(0)
    n = 100_000
    flood = EventStream(
        np.sort(rng.integers(0, 200_000, n)),
        rng.integers(0, 128, n),
        rng.integers(0, 128, n),
        rng.random(n) < 0.5,
        SENSOR,
    )
    capped, free = (
        detect(flood, config).trace.spikes for config in (None, DetectorConfig(cap_weight=0))
    )
    assert len(capped["C"])
    assert len(capped["D"]) < len(free["D"])


# --- messages --------------------------------------------------------------------------------


def test_windows_are_whole_ticks_and_at_most_255():
    with pytest.raises(UsageError, match=r"--window-ms must be a multiple of the tick \(1 ms\)"):
        Frontend.build(window_ms=2.5)
    with pytest.raises(UsageError, match="1 to 255 ticks, got 300"):
        Frontend.build(window_ms=300.0)


def test_a_stream_without_events_is_refused():
    with pytest.raises(UsageError, match="holds no events"):
        detect(EventStream.empty(SENSOR))
