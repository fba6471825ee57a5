from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw_models import ComparisonError, Workload, compare, estimate

SLOW, FAST = "jetson-orin-nano@7w", "jetson-orin-nano@15w"


def test_ratios_are_those_of_the_draws(pipeline: Workload) -> None:
    reports = [estimate(pipeline, name, samples=400, seed=2) for name in (SLOW, FAST)]
    (ratio,) = compare(reports).ratios()
    assert (ratio.device, ratio.first) == (FAST, SLOW)
    for name, got in (
        ("energy_active_j", ratio.energy_active),
        ("energy_j", ratio.energy),
        ("latency_s", ratio.latency),
    ):
        assert got is not None
        slow, fast = (getattr(report, name).value for report in reports)
        assert got.value == pytest.approx(fast / slow)
        draws = reports[1].draws[name] / reports[0].draws[name]
        assert (got.low, got.high) == pytest.approx(tuple(np.percentile(draws, [5, 95])))


def test_draws_are_the_samples_behind_the_interval(pipeline: Workload) -> None:
    report = estimate(pipeline, FAST, samples=300)
    for name in ("energy_active_j", "energy_j", "latency_s"):
        assert report.draws[name].shape == (300,)
        low, high = np.percentile(report.draws[name], [5, 95])
        quantity = getattr(report, name)
        assert (quantity.low, quantity.high) == pytest.approx((low, high))
    assert "draws" not in repr(report)
    assert report == replace(report, draws={})


def test_what_two_devices_share_cancels(pipeline: Workload) -> None:
    """The same board behind two links: energies spread widely, their ratio hardly."""
    names = ["loihi2+jetson-orin-nano", "loihi2+usb+jetson-orin-nano"]
    reports = [estimate(pipeline, name) for name in names]
    (ratio,) = compare(reports).ratios()
    assert ratio.energy_active is not None
    for report in reports:
        assert report.energy_active_j is not None
        assert report.energy_active_j.high > 1.3 * report.energy_active_j.low
    assert ratio.energy_active.high < 1.05 * ratio.energy_active.low


def test_a_run_over_its_dense_twin(pipeline: Workload) -> None:
    report = estimate(pipeline, FAST)
    assert report.dense_twin is not None
    (same,) = compare([report, report]).ratios()
    assert same.energy is not None
    assert (same.energy.value, same.energy.low, same.energy.high) == (1.0, 1.0, 1.0)
    (twin,) = compare([report, report.dense_twin]).ratios()
    assert twin.latency is not None and report.dense_twin.latency_s is not None
    assert report.latency_s is not None
    expected = report.dense_twin.latency_s.value / report.latency_s.value
    assert twin.latency.value == pytest.approx(expected)


def test_unknown_and_empty_quantities_have_no_ratio(pipeline: Workload) -> None:
    report = estimate(pipeline, FAST)
    bare = replace(report, scope="active", energy_j=None, power_w=None)
    (ratio,) = compare([bare, bare]).ratios()
    assert ratio.energy is None and ratio.energy_active is not None
    nothing = estimate(Workload("nothing", 1, 25, ()), "loihi2")
    (ratio,) = compare([nothing, nothing]).ratios()
    assert ratio.energy_active is None and ratio.latency is None
    assert ratio.energy is not None  # idle power remains


def test_draws_of_other_seeds_do_not_pair(pipeline: Workload) -> None:
    both = compare([estimate(pipeline, SLOW, seed=0), estimate(pipeline, FAST, seed=1)])
    message = r"draw by draw: samples and seed differ, \(1000, 0\) and \(1000, 1\)"
    with pytest.raises(ComparisonError, match=message):
        both.ratios()
    assert "draw by draw" not in both.to_markdown()


def test_ratios_stand_in_the_text(pipeline: Workload) -> None:
    text = compare([estimate(pipeline, SLOW), estimate(pipeline, FAST)]).to_markdown()
    assert f"Over {SLOW}, draw by draw:" in text
