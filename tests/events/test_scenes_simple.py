"""Simple motion clips against plain geometry."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import flicker_patch, moving_square, static_scene


def test_moving_square_changes_the_patches_it_enters_and_leaves():
    # two patches wide, one patch per window, aligned with the grid: columns 1-2, rows 4-5 first;
    # 24 ms is a multiple of the 2 ms between rendered frames
    clip = moving_square(
        velocity_px_s=(375.0, 0.0),
        start_px=(10.0, 37.0),
        size_px=18.0,
        duration_s=0.24,
        window_ms=24.0,
    )
    assert clip.start_us < 2000
    assert clip.from_scene.all()
    grid = clip.truth.reshape(-1, 14, 14)
    for k in range(10):
        assert grid[k, 4:6, 1 + k].all(), "vacated"
        assert grid[k, 4:6, 3 + k].all(), "entered"
        # the first event comes a little after the start: the next column may just be touched
        outside = grid[k].copy()
        outside[4:6, 1 + k : 5 + k] = False
        assert not outside.any()


def test_moving_square_moves_both_ways():
    clip = moving_square(velocity_px_s=(0.0, -120.0), start_px=(50.0, 90.0), duration_s=0.3)
    rows = clip.truth.reshape(-1, 14, 14).any(axis=2)
    top = rows.argmax(axis=1)
    assert np.all(np.diff(top) <= 0)
    assert top[0] - top[-1] == pytest.approx(0.3 * 120 / 9, abs=1)


@pytest.mark.parametrize("patch", [0, 100, 195])
def test_flicker_stays_in_its_patch(patch):
    clip = flicker_patch(patch, rate_hz=40.0)
    assert clip.truth[:, patch].all()
    assert clip.truth.sum() == clip.n_windows
    assert abs(int(clip.stream.p.sum()) - int((~clip.stream.p).sum())) < 0.1 * len(clip.stream)


def test_static_scene_is_noise_only():
    clip = static_scene(noise_hz=2.0, duration_s=1.0, seed=4)
    expected = 2.0 * 128 * 128
    assert not clip.truth.any()
    assert not clip.from_scene.any()
    assert abs(len(clip.stream) - expected) < 5 * np.sqrt(expected)
    silent = static_scene(noise_hz=0.0)
    assert len(silent.stream) == 0
    assert silent.n_windows == 20


def test_unknown_patch_is_refused():
    with pytest.raises(UsageError, match=r"0\.\.195, got 196"):
        flicker_patch(196)
