"""Costs of devices."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm import viz
from neurovlm.core.errors import UsageError


def spans(ax):
    """End points of every error bar, (low, high) each."""
    return [
        tuple(segment[:, 0])
        for container in ax.containers
        if hasattr(container, "has_xerr")
        for bars in container[2]
        for segment in bars.get_segments()
    ]


def test_bars_are_the_energies_above_idle_with_their_intervals(reports):
    ax = viz.devices(reports)
    costs = [report.energy_active_j for report in reports.values()]
    np.testing.assert_allclose(
        [bar.get_width() for bar in ax.patches], [c.value * 1e3 for c in costs]
    )
    np.testing.assert_allclose(spans(ax), [(c.low * 1e3, c.high * 1e3) for c in costs])


def test_a_front_end_stands_apart_and_is_named_so(reports):
    ax = viz.devices({"loihi2": reports["loihi2"], **reports})
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["jetson-orin-nano", "loihi2+jetson-orin-nano", "loihi2\nfront end only"]
    places = ax.get_yticks()
    assert places[2] - places[1] > places[1] - places[0]
    assert [bar.get_hatch() for bar in ax.patches] == [None, None, "////"]


def test_stages_stand_in_pipeline_order_with_idle_last(reports):
    ax = viz.energy_by_stage(reports)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows[:3] == ["frontend", "change", "encoder"]
    assert rows[-1] == "idle"
    assert "device" not in rows


def test_rows_of_a_device_sum_to_its_energy(reports):
    report = reports["loihi2+jetson-orin-nano"]
    ax = viz.energy_by_stage({report.device: report})
    drawn_mj = ax.containers[0][0].get_xdata(orig=False)
    assert sum(drawn_mj) == pytest.approx(report.energy_j.value * 1e3)


def test_macs_are_per_window_with_the_dense_twin_beside(run):
    ax = viz.macs_dense_vs_sttf(run)
    assert [bar.get_width() for bar in ax.patches] == [6.0, 1.0]  # 36 and 6 M over 6 windows
    assert [label.get_text() for label in ax.get_yticklabels()] == ["encoder"]


def test_the_twin_is_shown_for_whole_pipelines_only(reports):
    ax = viz.energy_dense_vs_sttf(reports)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["jetson-orin-nano", "loihi2+jetson-orin-nano"]
    twins = [reports[name].dense_twin.energy_active_j for name in names]
    np.testing.assert_allclose(
        ax.containers[0][0].get_xdata(orig=False), [t.value * 1e3 for t in twins]
    )
    with pytest.raises(UsageError, match="no report covers the whole pipeline"):
        viz.energy_dense_vs_sttf({"loihi2": reports["loihi2"]})


@pytest.mark.parametrize("draw", [viz.devices, viz.energy_by_stage])
def test_no_reports_are_refused(draw):
    with pytest.raises(UsageError, match="at least one report"):
        draw({})
