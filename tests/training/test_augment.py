from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import FLIP, LABELS
from neurovlm.events.stream import EventStream
from neurovlm.training.augment import (
    Affine,
    Augment,
    DropArea,
    DropEvents,
    DropTime,
    Noise,
    Shift,
    Sometimes,
    SpatialJitter,
    SwapPolarity,
    TimeJitter,
    TimeSkew,
    compose,
    mirror,
    mirrored,
)
from neurovlm.training.mix import CUT_MIX, EVENT_MIX, Mix
from neurovlm.training.variations import DIGITS, EVENT_SSM, SPIKING_PATCHES

KEEP_ALL = (Shift(5, wrap=True), TimeSkew(1.5), TimeJitter(50.0), SwapPolarity())
LOSE_SOME = (
    Shift(5),
    Affine(20, 1.3, 0.2),
    SpatialJitter(1.0),
    DropEvents(0.5),
    DropTime(0.5),
    DropArea(0.5),
)
PRESETS = (EVENT_SSM, SPIKING_PATCHES, DIGITS)
NOTHING = (
    Shift(0),
    Shift(0, wrap=True),
    Affine(),
    SpatialJitter(0),
    DropEvents(0),
    DropTime(0),
    DropArea(0),
    TimeSkew(1),
    TimeJitter(0),
    Noise(),
    Sometimes(0.0, (SwapPolarity(),)),
    compose(),
)


def same(a: EventStream, b: EventStream) -> bool:
    return a.sensor == b.sensor and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp"
    )


def random_stream(seed: int, n: int, sensor: tuple[int, int] = (40, 30)) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(10**15, 10**15 + 50_000, n))
    x, y = rng.integers(0, sensor[0], n), rng.integers(0, sensor[1], n)
    return EventStream(t, x, y, rng.random(n) < 0.5, sensor)


stream_of = st.builds(random_stream, st.integers(0, 10**6), st.integers(0, 300))
seeds = st.integers(0, 10**6)


# EventStream itself raises on disorder and on an event outside the sensor
@pytest.mark.parametrize("augment", [*KEEP_ALL, *LOSE_SOME, *PRESETS, Noise(20, 3)])
@settings(max_examples=20)
@given(stream=stream_of, seed=seeds)
def test_result_is_a_stream_of_the_sensor_and_the_seed(
    augment: Augment, stream: EventStream, seed: int
) -> None:
    before = stream.to_tonic()
    one, two = (augment(stream, np.random.default_rng(seed)) for _ in range(2))
    assert same(one, two)
    assert one.sensor == stream.sensor
    assert np.array_equal(stream.to_tonic(), before)
    if len(one):
        assert one.t[0] >= stream.t[0]


@settings(max_examples=20)
@given(stream=stream_of, seed=seeds)
def test_counts(stream: EventStream, seed: int) -> None:
    def size(augment: Augment) -> int:
        return len(augment(stream, np.random.default_rng(seed)))

    assert [size(a) for a in KEEP_ALL] == [len(stream)] * len(KEEP_ALL)
    assert all(size(a) <= len(stream) for a in LOSE_SOME)
    assert size(Noise(20, 3)) >= len(stream)


@pytest.mark.parametrize("augment", NOTHING)
@given(stream=stream_of, seed=seeds)
@settings(max_examples=10)
def test_zero_strength_changes_nothing(augment: Augment, stream: EventStream, seed: int) -> None:
    assert same(augment(stream, np.random.default_rng(seed)), stream)


@given(stream=stream_of, seed=seeds)
def test_involutions(stream: EventStream, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert same(mirror(mirror(stream)), stream)
    assert same(SwapPolarity()(SwapPolarity()(stream, rng), rng), stream)


def test_mirror_swaps_columns_and_labels() -> None:
    stream = EventStream([1, 2], [0, 9], [3, 4], [True, False], (40, 30))
    assert mirror(stream).x.tolist() == [39, 30]
    rng = np.random.default_rng(0)
    label = LABELS.index("right arm clockwise")
    drawn = [mirrored(stream, label, FLIP, rng) for _ in range(40)]
    assert {LABELS[new] for _, new in drawn} == {
        "right arm clockwise",
        "left arm counter clockwise",
    }
    assert all((new == label) == same(varied, stream) for varied, new in drawn)
    assert all(mirrored(stream, 3, None, rng) == (stream, 3) for _ in range(20))


@given(stream=stream_of, seed=seeds)
def test_drops_leave_the_rest_as_it_is(stream: EventStream, seed: int) -> None:
    events = set(stream.to_tonic().tolist())
    for augment in (DropEvents(0.7), DropTime(0.7), DropArea(0.7)):
        left = augment(stream, np.random.default_rng(seed))
        assert set(left.to_tonic().tolist()) <= events


def test_drop_shares_are_those_asked_for() -> None:
    grid_y, grid_x = np.mgrid[:100, :100].reshape(2, -1)
    t = np.arange(10_000)
    stream = EventStream(t, grid_x, grid_y, t % 2 == 0, (100, 100))
    for augment in (DropEvents(0.6), DropTime(0.6), DropArea(0.6)):
        rng = np.random.default_rng(3)
        lost = [1 - len(augment(stream, rng)) / len(stream) for _ in range(400)]
        # uniform on 0..0.6: mean 0.3, standard error 0.173 / 20
        assert np.mean(lost) == pytest.approx(0.3, abs=0.035)
        assert 0.5 < max(lost) < 0.63


def test_rotation_about_the_middle_by_hand() -> None:
    class Always(np.random.Generator):
        """Draws the upper end of every range."""

        def uniform(self, low: float = 0.0, high: float = 1.0, size: object = None) -> float:
            return high

    rng = Always(np.random.PCG64(0))
    stream = EventStream([1, 2], [10, 4], [5, 5], [True, True], (11, 11))
    turned = Affine(max_degrees=90)(stream, rng)
    assert list(zip(turned.x.tolist(), turned.y.tolist(), strict=True)) == [(5, 10), (5, 4)]
    larger = Affine(max_scale=2)(stream, rng)  # (10, 5) leaves the sensor
    assert list(zip(larger.x.tolist(), larger.y.tolist(), strict=True)) == [(3, 5)]
    stream = replace(stream, y=np.array([5, 7], np.uint16))
    sheared = Affine(max_shear=0.5)(stream, rng)
    assert list(zip(sheared.x.tolist(), sheared.y.tolist(), strict=True)) == [(10, 5), (5, 7)]
    assert TimeSkew(2)(stream, rng).t.tolist() == [1, 3]


def test_noise_has_the_rate_asked_for() -> None:
    stream = EventStream([0, 999_999], [0, 1], [0, 1], [True, False], (40, 30))
    rng = np.random.default_rng(0)
    added = [len(Noise(rate_hz=4)(stream, rng)) - 2 for _ in range(300)]
    # mean rate 2 Hz on 1,200 pixels for 1 s; standard error 1,386 / 17.3
    assert np.mean(added) == pytest.approx(2400, abs=240)
    hot = Noise(n_hot=1, hot_rate_hz=1000)
    varied = [hot(stream, rng) for _ in range(20)]
    assert {len(set(zip(v.x.tolist(), v.y.tolist(), strict=True))) for v in varied} <= {2, 3}
    assert max(len(v) for v in varied) > 900


@pytest.mark.parametrize("mix", [Mix(("time",)), CUT_MIX, EVENT_MIX, Mix()])
@settings(max_examples=30)
@given(base=stream_of, other=stream_of, seed=seeds)
def test_mixed_events_come_from_both_and_the_share_counts_them(
    mix: Mix, base: EventStream, other: EventStream, seed: int
) -> None:
    # polarity tells the two apart
    base = replace(base, p=np.ones(len(base), bool))
    other = replace(other, p=np.zeros(len(other), bool))
    mixed, share = mix(base, other, np.random.default_rng(seed))
    if len(mixed):
        assert share == pytest.approx(np.mean(~mixed.p))
        assert base.t[0] <= mixed.t[0] and mixed.t[-1] <= base.t[-1]
    assert set(mixed[:].to_tonic()[mixed.p].tolist()) <= set(base.to_tonic().tolist())


@given(stream=stream_of, seed=seeds)
def test_a_stream_mixed_with_itself_is_itself(stream: EventStream, seed: int) -> None:
    mixed, _ = Mix(("time", "box"))(stream, stream, np.random.default_rng(seed))
    assert sorted(mixed.to_tonic().tolist()) == sorted(stream.to_tonic().tolist())


@given(base=stream_of, other=stream_of, seed=seeds)
@settings(max_examples=20)
def test_a_mask_of_no_size_mixes_nothing(base: EventStream, other: EventStream, seed: int) -> None:
    mixed, share = Mix(max_share=0)(base, other, np.random.default_rng(seed))
    assert mixed is base and share == 0.0


@pytest.mark.parametrize("mask", ["time", "box", "blob"])
def test_masks_cover_the_share_asked_for(mask: str) -> None:
    stream = random_stream(0, 20_000)
    rng = np.random.default_rng(1)
    shares = [Mix((mask,), 0.6)(stream, stream, rng)[1] for _ in range(200)]  # type: ignore[arg-type]
    if mask == "blob":  # part of it lies over the edge
        assert 0.05 < np.mean(shares) < 0.3
    else:
        assert np.mean(shares) == pytest.approx(0.3, abs=0.05)
    assert max(shares) < 0.65


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DropEvents(1.5), "0..1, got DropEvents"),
        (lambda: TimeSkew(0.5), "max_factor must be at least 1"),
        (lambda: Shift(-1), "max_px must be at least 0"),
        (lambda: Sometimes(0.5, ()), "at least one choice"),
        (lambda: Mix(("circle",)), "time, box, blob"),  # type: ignore[arg-type]
        (lambda: Mix(max_share=2), "0..1, got 2"),
    ],
)
def test_wrong_settings_say_so(build: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()  # type: ignore[operator]


def test_streams_of_two_sensors_do_not_mix() -> None:
    one, two = random_stream(0, 10), random_stream(0, 10, (30, 30))
    with pytest.raises(UsageError, match="one sensor, got"):
        CUT_MIX(one, two, np.random.default_rng(0))
