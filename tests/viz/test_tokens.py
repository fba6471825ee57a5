"""Masks over frames, tokens over time, label probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from neurovlm import viz
from neurovlm.viz import style
from neurovlm.viz.overview import spread
from neurovlm.viz.tokens import event_image

N = 196


def outlined(ax):
    """Patches outlined, by (colour, dotted)."""
    found = {}
    for collection in ax.collections:
        colour = to_hex(collection.get_edgecolor()[0]).upper()
        dotted = collection.get_linestyle()[0][1] is not None
        centres = [path.get_extents().get_points().mean(axis=0) for path in collection.get_paths()]
        found[colour, dotted] = [int(y) * 14 + int(x) for x, y in centres]
    return found


@pytest.fixture
def snapshot(run):
    return run.snapshots[0]


def test_changed_refreshed_and_left_out_patches_are_told_apart(snapshot):
    changed, active = np.zeros(N, bool), np.zeros(N, bool)
    changed[[3, 20]] = True
    active[[20, 100, 195]] = True
    assert outlined(viz.mask_over_frame(snapshot, changed, active)) == {
        (style.CHANGED, False): [20],
        (style.CHANGED, True): [3],
        (style.REFRESHED, False): [100, 195],
    }


def test_a_dense_window_outlines_the_changed_patches_only(snapshot):
    changed = np.arange(N) == 50
    ax = viz.mask_over_frame(snapshot, changed, np.ones(N, bool))
    drawn = outlined(ax)
    assert drawn[style.CHANGED, False] == [50]
    assert (style.REFRESHED, False) not in drawn
    assert "all computed" in ax.get_title()


def test_the_frame_is_shown_where_there_is_one_else_the_events(run):
    nothing = np.zeros(N, bool)
    without, with_frame = (viz.mask_over_frame(s, nothing, nothing) for s in run.snapshots[:2])
    np.testing.assert_array_equal(with_frame.images[0].get_array(), run.snapshots[1].frame)
    assert without.images[0].get_array().shape == (126, 126, 3)


def test_events_are_dark_for_on_and_grey_for_off():
    counts = np.zeros((3, 126, 126), np.uint8)
    counts[0, 5, 6] = 1
    counts[1, 7, 8] = 2
    image = event_image(counts)
    assert to_hex(image[5, 6]).upper() == style.OFF
    assert to_hex(image[7, 8]).upper() == style.ON
    assert (image.reshape(-1, 3).min(axis=1) < 1).sum() == 2


def test_lines_are_the_counts_of_the_run_and_dense_steps_are_marked(run):
    ax = viz.tokens_over_time(run)
    computed, changed, refreshed = (p.get_data().values for p in ax.patches)
    np.testing.assert_array_equal(changed, run.mask.changed.sum(axis=1))
    np.testing.assert_array_equal(computed[1:], run.active[1:].sum(axis=1))
    np.testing.assert_array_equal(refreshed[1:], run.refreshed[1:].sum(axis=1))
    assert np.isnan(computed[0])
    cap, dense = ax.lines
    assert set(cap.get_ydata()) == {run.spec.policy.max_active}
    np.testing.assert_allclose(dense.get_xdata(), [0.0025])  # middle of the first 5 ms window
    assert ax.get_xlim() == pytest.approx((0.0, 6 * 0.005))


def test_probabilities_are_shaded_between_0_and_1(run):
    probabilities = np.linspace(0.2, 0.6, 12, dtype=np.float32).reshape(6, 2)
    ax = viz.label_probabilities(replace(run, probabilities=probabilities))
    (mesh,) = ax.collections
    np.testing.assert_allclose(np.asarray(mesh.get_array()), probabilities.T)
    assert mesh.get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["left", "right"]


def test_snapshots_are_spread_and_dense_windows_come_last(run):
    assert [s.window for s in spread(run, 2)] == [1, 4]
    assert [s.window for s in spread(run, 9)] == [1, 2, 3, 4]
    assert [s.window for s in spread(replace(run, dense=np.ones(6, bool)), 2)] == [0, 4]
