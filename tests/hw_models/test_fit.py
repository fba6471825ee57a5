"""Whether parameters fit a processor's memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw_models import EnergyReport, Workload, WorkloadError, estimate
from hw_models.published import load_published


def reason(report: EnergyReport) -> list[str]:
    return [note for note in report.notes if "parameters" in note]


def test_seven_billion_at_16_bits_exceed_8_gb_and_at_4_bits_do_not() -> None:
    llava = load_published("llava-1.5-7b")
    assert llava.params is not None
    full = estimate(llava, "jetson-orin-nano", samples=2)
    quarter = estimate(llava, "jetson-orin-nano", deploy_as="w4", samples=2)
    assert full.fits is False and quarter.fits is True
    expected = f"do not fit: {2 * llava.params / 1e9:.3g} GB at fp16, memory 8 GB"
    assert len(reason(full)) == 1 and expected in reason(full)[0]
    assert estimate(llava, "jetson-agx-orin", samples=2).fits is True


def test_parameters_of_a_published_network_are_counted_once() -> None:
    """Decoding streams them twenty times; memory holds them once."""
    nano = load_published("nanovlm-222m")
    assert nano.params == pytest.approx(222.1e6, rel=0.01)
    assert nano.total().weight_bytes > 10 * nano.params


def test_nothing_is_claimed_where_parameters_are_unknown(pipeline: Workload) -> None:
    report = estimate(pipeline, "jetson-orin-nano", samples=2)
    assert pipeline.params is None and report.fits is None and reason(report) == []


def test_a_system_says_both_what_fits_the_chip_and_what_the_memory(pipeline: Workload) -> None:
    big = replace(pipeline, params=10**11)
    report = estimate(big, "loihi2+jetson-orin-nano", samples=2)
    assert report.fits is False
    assert any(note.startswith("the spiking network fits") for note in report.notes)
    assert "100,000 M parameters do not fit: 200 GB at fp16" in reason(report)[0]


def test_an_ann_spread_over_two_processors_is_not_judged(pipeline: Workload) -> None:
    big = replace(pipeline, params=10**11)
    report = estimate(big, "loihi2+jetson-orin-nano+snapdragon-8-elite", samples=2)
    assert reason(report) == []


def test_negative_parameters_are_refused(pipeline: Workload) -> None:
    with pytest.raises(WorkloadError, match="params must be at least 0, got -1"):
        replace(pipeline, params=-1)
    with pytest.raises(WorkloadError, match="params differs, None and 5"):
        pipeline + replace(pipeline, params=5)
