"""Frames: which one a window sees, and that they lie on the grid as the events do."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.core.grid import FITS, GridMap
from neurovlm.events.io import Frame
from neurovlm.events.windows import iter_windows
from neurovlm.pipeline.frames import FrameClock, to_rgb

SIDE = 224


def grey(t_us: int, value: int, shape: tuple[int, ...] = (128, 128)) -> Frame:
    return Frame(t_us, np.full(shape, value, np.uint8))


def textured(t_us: int, seed: int = 0) -> Frame:
    return Frame(t_us, np.random.default_rng(seed).integers(0, 256, (96, 128), np.uint8))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sensor", [(346, 260), (260, 346), (128, 128), (64, 48), (640, 480)])
def test_frames_and_events_agree_on_where_things_are(fit, sensor):
    """A bright square in the frame and events in the same pixels land on the same place."""
    width, height = sensor
    x0, y0, size = width // 2 + min(sensor) // 8, height // 2 - min(sensor) // 4, min(sensor) // 10
    pixels = np.zeros((height, width), np.uint8)
    pixels[y0 : y0 + size, x0 : x0 + size] = 255
    image = to_rgb(pixels, fit, SIDE)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    bright = image[:, :, 0].astype(float)
    places = np.arange(SIDE) + 0.5
    in_frame = np.array([bright.sum(0) @ places, bright.sum(1) @ places]) / bright.sum() / SIDE
    grid = GridMap.fit(sensor, 126, fit)
    columns, rows = grid.columns[x0 : x0 + size], grid.rows[y0 : y0 + size]
    assert (columns >= 0).all() and (rows >= 0).all()
    on_grid = (np.array([columns.mean(), rows.mean()]) + 0.5) / 126
    assert np.abs(in_frame - on_grid).max() < 1 / min(126, *sensor)  # one pixel, of either


def test_crop_cuts_letterbox_pads_stretch_keeps_all():
    pixels = np.full((100, 200), 200, np.uint8)
    pixels[:, :40] = 10
    assert (to_rgb(pixels, "crop", SIDE) == 200).all()  # the dark margin is cut off
    boxed = to_rgb(pixels, "letterbox", SIDE)
    assert (boxed[: SIDE // 4 - 1] == 0).all() and (boxed[-SIDE // 4 + 1 :] == 0).all()
    assert (to_rgb(pixels, "stretch", SIDE)[:, : SIDE // 5 - 1] == 10).all()


def test_a_uniform_frame_keeps_its_colour():
    pixels = np.broadcast_to(np.array([10, 100, 250], np.uint8), (90, 160, 3))
    for fit in ("crop", "stretch"):
        assert (to_rgb(np.ascontiguousarray(pixels), fit, SIDE) == [10, 100, 250]).all()


def test_the_clock_shows_the_last_frame_before_a_time():
    clock = FrameClock([grey(10, 1), grey(20, 2), grey(21, 3), grey(50, 4)], "crop", 8)
    assert clock.before(10) is None  # not earlier than 10
    shown = {t_us: int(clock.before(t_us)[0, 0, 0]) for t_us in (11, 20, 21, 22, 50, 51, 999)}
    assert shown == {11: 1, 20: 1, 21: 2, 22: 3, 50: 3, 51: 4, 999: 4}


def test_a_clock_without_frames_shows_none():
    assert FrameClock([], "crop", 8).before(10**9) is None


def test_grey_is_rgb_with_three_equal_channels(pipeline, stream):
    one = textured(int(stream.t[0]) + 60_000)
    three = Frame(one.t_us, np.repeat(one.pixels[..., None], 3, axis=2))
    results = [pipeline.run(stream, frames=[frame]) for frame in (one, three)]
    assert np.array_equal(results[0].probabilities, results[1].probabilities)


def test_a_frame_counts_from_its_window_on(pipeline, stream):
    start_us = int(stream.t[0])
    without = pipeline.run(stream)
    with_frame = pipeline.run(stream, frames=[textured(start_us + 60_000)])
    same = (with_frame.probabilities == without.probabilities).all(axis=1)
    assert same.tolist() == [True, True] + [False] * 8
    assert embedded(with_frame) == 8 and embedded(without) == 0
    assert [s.frame is not None for s in with_frame.snapshots] == [False] * 2 + [True] * 8
    assert np.array_equal(with_frame.mask.changed, without.mask.changed)


def test_a_frame_from_before_the_first_event_is_seen_at_once(pipeline, stream):
    early = pipeline.run(stream, frames=[textured(int(stream.t[0]) - 10_000)])
    assert embedded(early) == 10


def test_a_frame_after_the_end_is_not_seen(pipeline, stream):
    late = pipeline.run(stream, frames=[textured(int(stream.t[0]) + 250_000)])
    assert np.array_equal(late.probabilities, pipeline.run(stream).probabilities)


def test_colour_and_fit_reach_the_model(pipeline, stream):
    start_us = int(stream.t[0])
    seen = [
        pipeline.run(stream, frames=[frame], fit=fit).probabilities
        for frame in (textured(start_us, 0), textured(start_us, 1))
        for fit in ("crop", "stretch")
    ]
    assert all(not np.array_equal(a, b) for i, a in enumerate(seen) for b in seen[:i])


def test_frames_that_are_no_images_are_refused(pipeline, stream):
    bad = np.full((4, 4), 0.5)
    bad[1, 2] = np.nan
    with pytest.raises(InputFileError, match=r"pixel \(1, 2\) is NaN; repair the frame"):
        pipeline.run(stream, frames=[Frame(0, bad)])


def test_a_step_wants_the_frame_in_the_models_size(pipeline, stream):
    window = next(iter_windows([stream], 25_000))
    with pytest.raises(UsageError, match=r"frame must be \(224, 224, 3\), got \(96, 128\)"):
        pipeline.step(window, pipeline.start(), textured(0).pixels)


def embedded(result) -> int:
    """Windows in which a frame was embedded."""
    layers = [x for x in result.workload.layers if x.layer == "embed.frame"]
    return layers[0].executed.launches if layers else 0
