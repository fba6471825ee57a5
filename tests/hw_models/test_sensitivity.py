"""Swings against estimates with the constant replaced; layers under the ceilings by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw_models import (
    Accelerator,
    EstimateError,
    LayerOps,
    OpKind,
    Ops,
    Workload,
    estimate,
    layer_roofline,
    load_device,
    sensitivity,
    with_constant,
)
from hw_models.sensitivity import Quantity
from hw_models.sourced import sourced_items

SYSTEM = "loihi2+jetson-orin-nano"


@pytest.mark.parametrize(
    ("name", "quantity", "falls"),
    [
        ("byte_j", "energy_active_j", False),
        ("idle_w", "power_w", False),
        ("idle_w", "energy_j", False),
        ("spiking.bytes_per_update", "latency_s", False),
        ("kinds.gemm.efficiency", "latency_s", True),
    ],
)
def test_a_swing_is_the_estimate_with_the_constant_at_its_ends(
    pipeline: Workload, name: str, quantity: Quantity, falls: bool
) -> None:
    board = load_device("jetson-orin-nano@15w")
    found = sensitivity(pipeline, board, quantity)
    swing = next(s for s in found.swings if s.name == f"{board.full_name}.{name}")
    mine = replace(swing.constant, shares="")
    keys = [key for key, each in sourced_items(board) if replace(each, shares="") == mine]
    assert keys
    results = []
    for end in (swing.constant.low, swing.constant.high):
        changed = board
        for key in keys:
            pinned = replace(mine, value=end, low=end, high=end)
            changed = with_constant(changed, key, pinned)
        amount = getattr(estimate(pipeline, changed, samples=2), quantity)
        results.append(amount.value)
    assert [swing.low, swing.high] == pytest.approx(sorted(results), rel=1e-12)
    assert swing.falls == falls == (results[1] < results[0])


def test_the_widest_swings_are_those_of_the_report(pipeline: Workload) -> None:
    found = sensitivity(pipeline, SYSTEM)
    report = estimate(pipeline, SYSTEM)
    assert found.device == SYSTEM
    assert report.energy_active_j is not None
    assert found.value == report.energy_active_j.value
    first = [(s.name, s.low, s.high) for s in found.swings[: len(report.dominant)]]
    assert first == [
        (d.name, d.energy_active_low_j, d.energy_active_high_j) for d in report.dominant
    ]
    widths = [swing.high - swing.low for swing in found.swings]
    assert widths == sorted(widths, reverse=True)


def test_unknown_idle_power_is_said(pipeline: Workload) -> None:
    board = load_device("jetson-orin-nano")
    assert isinstance(board, Accelerator)
    mode = replace(board.modes[board.mode], idle_w=None)
    unknown = replace(board, modes={board.mode: mode})
    assert sensitivity(pipeline, unknown).swings
    with pytest.raises(EstimateError, match="power_w needs idle power"):
        sensitivity(pipeline, unknown, "power_w")


def test_intensity_by_hand(pipeline: Workload) -> None:
    """Padded MACs over bytes at fp16: half of what was counted at fp32, 40 inferences."""
    board = load_device("jetson-orin-nano")
    assert isinstance(board, Accelerator)
    (point,) = layer_roofline(pipeline, board).points
    n_bytes = (8_000_000 + board.activation_share.value * 740_000) / 2 / 40
    assert (point.stage, point.layer, point.kind) == ("encoder", "qkv", OpKind.GEMM)
    assert point.mac_per_byte == pytest.approx(64e6 / 40 / n_bytes)
    assert point.mac_per_s * point.time_s == pytest.approx(64e6 / 40)
    assert point.bound == "launch"


@pytest.mark.parametrize("name", ["jetson-orin-nano", "jetson-nano"])
def test_times_of_the_layers_make_the_latency(pipeline: Workload, name: str) -> None:
    found = layer_roofline(pipeline, name)
    latency = estimate(pipeline, name, samples=2).latency_s
    assert latency is not None
    total_s = sum(point.time_s for point in found.points) + found.other_s
    assert total_s == pytest.approx(latency.value)
    assert len(found.points) + found.other_layers == len(pipeline.layers)


@pytest.mark.parametrize(
    ("macs", "n_bytes", "launches", "bound"),
    [(10**11, 1000, 1, "compute"), (1000, 10**9, 1, "memory"), (1000, 1000, 10**6, "launch")],
)
def test_what_takes_longest_is_named(macs: int, n_bytes: int, launches: int, bound: str) -> None:
    counts = Ops(macs=macs, weight_bytes=n_bytes, launches=launches)
    layer = LayerOps("encoder", "x", OpKind.GEMM, counts, ran_as="fp16")
    found = layer_roofline(Workload("w", 1, 25, (layer,)), "jetson-orin-nano")
    (point,) = found.points
    assert point.bound == bound
    ceiling = min(found.peak_mac_per_s, point.mac_per_byte * found.byte_per_s)
    assert point.mac_per_s <= ceiling
    assert found.ridge_mac_per_byte == found.peak_mac_per_s / found.byte_per_s


def test_a_system_shows_its_processor(pipeline: Workload) -> None:
    found = layer_roofline(pipeline, SYSTEM, deploy_as="int8")
    alone = layer_roofline(pipeline, "jetson-orin-nano", deploy_as="int8")
    assert found.points == alone.points
    assert found.other_layers == alone.other_layers - 3  # the spiking layers run on the chip
    assert found.precision == "int8"


def test_a_chip_has_no_roofline(pipeline: Workload) -> None:
    with pytest.raises(EstimateError, match="loihi2: a roofline needs a processor"):
        layer_roofline(pipeline, "loihi2")


def test_each_processor_of_a_system_shows_what_it_runs(pipeline: Workload) -> None:
    system = "jetson-orin-nano+jetson-nano"
    first, last = (layer_roofline(pipeline, system, processor=i) for i in (0, 1))
    assert (first.device, last.device) == ("jetson-orin-nano@15w", "jetson-nano@10w")
    assert [point.layer for point in first.points] == ["qkv"]
    assert last.other_layers == 1  # the head of the decoder moves no bytes
    assert layer_roofline(pipeline, system) == last
    with pytest.raises(EstimateError, match="has 2 processors, got processor=2"):
        layer_roofline(pipeline, system, processor=2)
