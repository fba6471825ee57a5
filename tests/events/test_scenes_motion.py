"""Motion levels and chains: what moves, what stands still; old clips stay what they were."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import MOTIONS, STYLES, render_chain, render_clip, subject_from_seed
from neurovlm.events.scenes.clip import perform, pose
from neurovlm.events.scenes.motion import lamp, motion_clock
from neurovlm.events.scenes.subject import moving_wall_texture, wall_texture

TIMES_US = np.arange(0, 2_000_000, 5_000)


def clip_of(motion, style="hard", **options):
    options = {"duration_s": 0.5, "seed": 21, "noise_hz": 0.0} | options
    return render_clip(
        1, subject_from_seed(8), style=style, motion=motion, with_frames=False, **options
    )


GOLDEN = {0: "5cbb1c46a3d5ac03", 7: "0bb707ffb5cddd6f", 9: "172243eb98f64c60"}


def digest(clip):
    parts = (clip.stream.t, clip.stream.x, clip.stream.y, clip.stream.p, clip.from_scene)
    arrays = [*parts, clip.truth, *([] if clip.frames is None else [clip.frames])]
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(data + clip.caption.encode()).hexdigest()[:16]


@pytest.mark.parametrize("label", GOLDEN)
def test_hard_clips_are_those_of_before_styles_and_motions(label):
    clip = render_clip(
        label,
        subject_from_seed(label * 7 + 3),
        seed=label + 100,
        duration_s=0.5,
        with_frames=label < 3,
    )
    assert digest(clip) == GOLDEN[label]


@pytest.mark.parametrize("style", STYLES)
def test_order_of_how_much_moves(style):
    changed = {motion: clip_of(motion, style).truth.sum(axis=1).mean() for motion in MOTIONS}
    assert changed["static"] == 0
    assert 0 < changed["slow"] < changed["fast"]
    assert changed["global"] > 100
    assert changed["flicker"] > changed["gesture"]
    assert changed["translate"] > changed["slow"]


def test_stop_and_go_stands_still_in_between_and_never_goes_back():
    for seed in range(20):
        clock = motion_clock("stop-and-go", seed, TIMES_US)
        steps = np.diff(clock)
        assert set(steps[(steps != 0) & (steps != 5_000)]) <= set(range(5_000))
        assert 0.2 < (steps == 0).mean() < 0.8


def test_walking_crosses_the_middle_of_the_view():
    for seed in range(10):
        performance = perform(0, subject_from_seed(seed), seed, motion="translate")
        x = pose(performance, TIMES_US).moved(np.zeros((len(TIMES_US), 2))).capsules[:, 0, 0]
        still = perform(0, subject_from_seed(seed), seed)
        shift = x - pose(still, TIMES_US).capsules[:, 0, 0]
        assert shift[0] * shift[-1] < 0


def test_a_wall_that_does_not_move_is_the_wall():
    subject = subject_from_seed(4)
    x, y = np.linspace(-60, 60, 40), np.linspace(-50, 50, 30)
    amplitude = subject.texture[0][3]
    moved = moving_wall_texture(subject, x, y, np.array([[0.0, 0.0], [3.0, -2.0]]), amplitude)
    np.testing.assert_allclose(moved[0], wall_texture(subject, x, y), atol=1e-5)
    np.testing.assert_allclose(moved[1], wall_texture(subject, x - 3, y + 2), atol=1e-5)


def test_the_lamp_lights_a_disc_and_nothing_else():
    x = np.arange(-63.5, 64)
    lit = np.abs(lamp(3, TIMES_US[:40], x, x)).max(axis=0) > 0
    rows, columns = np.nonzero(lit)
    assert np.pi * 5**2 < lit.sum() < np.pi * 12**2
    assert np.ptp(rows) < 24 and np.ptp(columns) < 24 and rows.max() < 64


def test_a_chain_is_the_first_gesture_then_the_second():
    subject = subject_from_seed(6)
    chain = render_chain(3, 0, subject, seed=5, duration_s=1.2, noise_hz=0.0)
    alone = render_clip(3, subject, seed=5, duration_s=1.2, noise_hz=0.0, with_frames=False)
    assert chain.labels == (3, 0) and chain.switch_us == 600_000
    before = slice(0, 350_000 // chain.window_us)
    np.testing.assert_array_equal(chain.truth[before], alone.truth[before])
    np.testing.assert_array_equal(chain.boxes[before], alone.boxes[before])
    other = render_chain(0, 3, subject, seed=5, duration_s=1.2, noise_hz=0.0)
    assert (other.truth != chain.truth).any()


@pytest.mark.parametrize("style", STYLES)
def test_nobody_jumps_in_a_chain_of_mirrored_gestures(style):
    chain = render_chain(1, 2, subject_from_seed(6), seed=5, duration_s=1.0, style=style)
    head = chain.boxes[:, 0]
    assert np.abs(np.diff(head, axis=0)).max() < 3.0


def test_messages():
    subject = subject_from_seed(1)
    with pytest.raises(UsageError, match="motion must be one of gesture, static"):
        render_clip(0, subject, seed=0, motion="jump")
    with pytest.raises(UsageError, match="style must be one of hard, natural, got 'soft'"):
        render_clip(0, subject, seed=0, style="soft")
    with pytest.raises(UsageError, match="the switch must lie between 200000 us and the end"):
        render_chain(0, 1, subject, seed=0, duration_s=0.3)
