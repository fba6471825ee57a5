"""Laws of the estimate, on every device of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hw_models
from hw_models import (
    Accelerator,
    EnergyReport,
    EstimateError,
    Interval,
    LayerOps,
    OpKind,
    Ops,
    System,
    Workload,
    device_names,
    estimate,
    load_device,
)
from hw_models.ops import SPIKING_STAGES
from hw_models.report import Row

QUANTITIES = ("energy_active_j", "energy_j", "power_w", "latency_s", "idle_w")
# every device and mode; of the systems one per chip, and one of three parts
SYSTEMS = (
    "loihi1+jetson-nano",
    "loihi2+jetson-orin-nano@7w",
    "loihi2-n3c1+snapdragon-8-gen-3",
    "loihi2-kapoho-point+usb+jetson-agx-orin@maxn",
    "loihi2+jetson-orin-nano+snapdragon-8-elite",
)
ALL = (*(name for name in device_names() if "+" not in name), *SYSTEMS)
PIPELINES = [name for name in ALL if not isinstance(load_device(name), hw_models.NeuromorphicChip)]
EMPTY = Workload("empty", 40, 25, ())


def value(report: EnergyReport, name: str) -> float:
    quantity = getattr(report, name)
    assert isinstance(quantity, Interval)
    return quantity.value


@pytest.mark.parametrize("name", ALL)
def test_rows_sum_to_the_totals(pipeline: Workload, name: str) -> None:
    report = estimate(pipeline, name)
    assert report.dense_twin is not None
    for each in (report, report.dense_twin):
        energy = sum(row.amount.value for row in each.rows)
        idle = sum(row.amount.value for row in each.rows if row.term == "idle")
        assert energy == pytest.approx(value(each, "energy_j"), rel=1e-12)
        assert energy - idle == pytest.approx(value(each, "energy_active_j"), rel=1e-9)
        assert idle == pytest.approx(value(each, "idle_w") / each.rate_hz, rel=1e-12)
        times = sum(row.amount.value for row in each.times)
        assert times == pytest.approx(value(each, "latency_s"), rel=1e-12)
        stages = sum(interval.value for interval in each.by_stage.values())
        assert stages == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rate", [None, 1.0, 40.0, 1000.0])
def test_power_and_energy_follow_their_definitions(
    pipeline: Workload, name: str, rate: float | None
) -> None:
    report = estimate(pipeline, name, rate_hz=rate)
    used = 40.0 if rate is None else rate
    power = value(report, "idle_w") + used * value(report, "energy_active_j")
    assert report.rate_hz == used
    assert value(report, "power_w") == pytest.approx(power, rel=1e-12)
    assert value(report, "energy_j") == pytest.approx(power / used, rel=1e-12)
    assert report.realtime is (used * value(report, "latency_s") <= 1)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_run_costs_idle_power_only(name: str) -> None:
    report = estimate(EMPTY, name)
    assert report.energy_active_j == Interval(0, 0, 0)
    assert report.latency_s == Interval(0, 0, 0)
    assert report.power_w == report.idle_w
    assert value(report, "idle_w") > 0
    assert [row.term for row in report.rows] == ["idle"]
    assert report.dominant == ()
    assert report.realtime is True


def without_fixed_terms(report: EnergyReport) -> tuple[float, float]:
    """Return energy and latency without what every inference costs, whatever it counts.

    Those are idle, the dispatch of a graph, the latency of the link, and the launches of spiking
    kernels on a processor (one per layer and window).
    """

    def varies(row: Row) -> bool:
        launches = row.term == "launch" and row.stage in SPIKING_STAGES
        return row.term not in ("idle", "dispatch", "link latency") and not launches

    return (
        sum(row.amount.value for row in filter(varies, report.rows)),
        sum(row.amount.value for row in filter(varies, report.times)),
    )


@settings(max_examples=30, deadline=None)
@given(factor=st.integers(2, 1000), name=st.sampled_from(ALL))
def test_energy_and_latency_are_linear_in_counts(
    pipeline: Workload, scale: Callable[[Workload, int], Workload], factor: int, name: str
) -> None:
    """Counts and ticks times k cost k times as much, beside what is fixed per inference."""
    one = without_fixed_terms(estimate(pipeline, name, samples=2))
    many = without_fixed_terms(estimate(scale(pipeline, factor), name, samples=2))
    assert many == pytest.approx([factor * each for each in one], rel=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_a_recording_twice_as_long_costs_the_same_per_inference(
    pipeline: Workload, name: str
) -> None:
    once, twice = estimate(pipeline, name), estimate(pipeline + pipeline, name)
    for quantity in QUANTITIES:
        assert getattr(twice, quantity) == getattr(once, quantity)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_dense_twin_is_the_estimate_of_the_dense_counts(pipeline: Workload, name: str) -> None:
    dense = replace(
        pipeline,
        layers=tuple(
            replace(layer, executed=layer.dense, padded=layer.dense)
            for layer in pipeline.layers
            if layer.kind is not OpKind.GATHER
        ),
    )
    twin, alone = estimate(pipeline, name).dense_twin, estimate(dense, name)
    assert twin is not None
    for quantity in QUANTITIES:
        assert getattr(twin, quantity) == getattr(alone, quantity)
    assert not any(row.term == "gather" for row in twin.rows)


@pytest.mark.parametrize("name", ALL)
def test_intervals_enclose_the_value_and_repeat_with_the_seed(
    pipeline: Workload, name: str
) -> None:
    report, same = estimate(pipeline, name, seed=3), estimate(pipeline, name, seed=3)
    other = estimate(pipeline, name, seed=4)
    assert report == same
    for quantity in QUANTITIES:
        interval = getattr(report, quantity)
        assert interval.low <= interval.value <= interval.high
        assert getattr(other, quantity).value == interval.value
    assert other.energy_active_j != report.energy_active_j


@pytest.mark.parametrize("name", ALL)
def test_three_dominant_constants_are_named_in_order(pipeline: Workload, name: str) -> None:
    report = estimate(pipeline, name)
    spans = [each.energy_active_high_j - each.energy_active_low_j for each in report.dominant]
    assert len(spans) == 3
    assert spans == sorted(spans, reverse=True)
    for each in report.dominant:
        assert each.energy_active_low_j <= value(report, "energy_active_j")
        assert each.energy_active_high_j >= value(report, "energy_active_j")
        assert each.name.split(".")[0] in (
            *name.split("+"),
            load_device(name).full_name,
            *load_device(name).full_name.split("+"),
            "ethernet",
        )


def test_a_bare_chip_covers_the_spiking_stages_and_says_why(pipeline: Workload) -> None:
    report = estimate(pipeline, "loihi2")
    assert report.covers == ("frontend", "change")
    assert [each.stage for each in report.not_covered] == ["encoder", "decoder"]
    assert all("sigma-delta" in each.reason for each in report.not_covered)
    assert report.notes[0] == "front end only: do not rank against whole pipelines"
    assert report.front_end_only
    assert "(front end only)" in report.heading
    assert report.deploy_as is None


def test_a_bare_chip_says_nothing_about_an_ann() -> None:
    ann = Workload("ann", 1, 25, (LayerOps("encoder", "x", OpKind.GEMM, Ops(macs=1)),))
    report = estimate(ann, "loihi2")
    assert report.covers == ()
    assert [getattr(report, name) for name in QUANTITIES] == [None] * len(QUANTITIES)
    assert report.realtime is None
    assert report.rows == ()


def test_a_system_is_the_sum_of_its_parts_and_the_link(pipeline: Workload) -> None:
    spiking = tuple(layer for layer in pipeline.layers if layer.is_spiking)
    rest = tuple(layer for layer in pipeline.layers if not layer.is_spiking)
    system = estimate(pipeline, "loihi2+jetson-orin-nano")
    chip = estimate(replace(pipeline, layers=spiking), "loihi2")
    gpu = estimate(replace(pipeline, layers=rest), "jetson-orin-nano")
    link_bytes = 2000 / 40 * 4  # spikes of the last spiking layer per window
    link_j, link_s = link_bytes * 10e-9, 0.23e-3 + link_bytes / 1e8
    parts = value(chip, "energy_active_j") + value(gpu, "energy_active_j") + link_j
    assert value(system, "energy_active_j") == pytest.approx(parts, rel=1e-12)
    times = value(chip, "latency_s") + value(gpu, "latency_s") + link_s
    assert value(system, "latency_s") == pytest.approx(times, rel=1e-12)
    idle = value(chip, "idle_w") + value(gpu, "idle_w")
    assert value(system, "idle_w") == pytest.approx(idle, rel=1e-12)
    assert system.covers == pipeline.stages
    assert system.not_covered == ()
    assert system.fits is True


def test_too_slow_is_said_and_not_clipped(pipeline: Workload) -> None:
    slow = estimate(pipeline, "jetson-orin-nano", rate_hz=1e6)
    power = value(slow, "idle_w") + 1e6 * value(slow, "energy_active_j")
    assert slow.realtime is False
    assert value(slow, "power_w") == pytest.approx(power)
    assert any("exceeds what the device can sustain" in note for note in slow.notes)
    assert any(note.startswith("1e+06 Hz replays the counts") for note in slow.notes)


def test_a_window_of_its_own_rate_needs_no_note(pipeline: Workload) -> None:
    notes = estimate(pipeline, "jetson-orin-nano", rate_hz=40).notes
    assert not any("replays" in note for note in notes)


def test_precision_order_argument_workload_device(pipeline: Workload) -> None:
    chosen = replace(pipeline, deploy_as="int8")
    assert estimate(pipeline, "jetson-orin-nano").deploy_as == "fp16"
    assert estimate(chosen, "jetson-orin-nano").deploy_as == "int8"
    assert estimate(chosen, "jetson-orin-nano", deploy_as="fp32").deploy_as == "fp32"


def test_phone_energy_and_jetson_nano_energy_admit_what_they_are(pipeline: Workload) -> None:
    phone = estimate(pipeline, "snapdragon-8-gen-3")
    assert any("All Snapdragon phone energy is assumed" in note for note in phone.notes)
    nano = estimate(pipeline, "jetson-nano")
    assert any("energy constants are derived or assumed" in note for note in nano.notes)
    assert "assumed" in phone.basis and "assumed" in nano.basis


def test_injection_that_is_not_counted_is_said(pipeline: Workload) -> None:
    without = replace(pipeline, layers=pipeline.layers[1:])
    assert any("no input layer" in note for note in estimate(without, "loihi1").notes)
    assert not any("no input layer" in note for note in estimate(pipeline, "loihi1").notes)


def test_a_device_without_idle_power_reports_the_active_scope(
    pipeline: Workload, tmp_path: Path
) -> None:
    catalog = Path(hw_models.__file__).parent / "catalog" / "jetson-nano.toml"
    lines = [line for line in catalog.read_text().splitlines() if not line.startswith("idle_w")]
    path = tmp_path / "no-idle.toml"
    path.write_text("\n".join(lines))
    report, known = estimate(pipeline, path), estimate(pipeline, "jetson-nano")
    assert report.scope == "active"
    assert known.scope == "device"
    assert report.energy_j is None and report.power_w is None and report.idle_w is None
    assert report.energy_active_j == known.energy_active_j
    assert not any(row.term == "idle" for row in report.rows)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_rates_are_refused(rate: float) -> None:
    with pytest.raises(EstimateError, match="rate_hz must be positive and finite"):
        estimate(EMPTY, "loihi2", rate_hz=rate)


def test_bad_precision_is_refused() -> None:
    with pytest.raises(
        EstimateError, match="deploy_as must be one of fp32, fp16, bf16, int8, w8a16, w4"
    ):
        estimate(EMPTY, "jetson-nano", deploy_as="fp4")  # type: ignore[arg-type]


def test_a_loaded_device_and_its_name_give_the_same(pipeline: Workload) -> None:
    system = load_device("loihi1+jetson-nano")
    assert isinstance(system, System)
    assert isinstance(system.parts[1].device, Accelerator)
    by_device, by_name = estimate(pipeline, system), estimate(pipeline, system.full_name)
    assert by_device == by_name
