"""Whole networks known by their totals, clocks and a board's own idle power, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from hw_models import (
    Accelerator,
    CatalogError,
    EstimateError,
    OpKind,
    Sourced,
    Workload,
    WorkloadError,
    estimate,
    with_constant,
)
from hw_models.accelerator import KindConstants, PowerMode, SpikingKernel, at_clocks, with_own_idle


def number(value: float, low: float | None = None, high: float | None = None) -> Sourced:
    ends = (value if low is None else low, value if high is None else high)
    return Sourced(value, *ends, source="test", locator="by hand", basis="assumed")


def every(value: float) -> dict[Any, Sourced]:
    return {"any": number(value)}


ROUND = Accelerator(
    family="accelerator",
    name="round",
    title="A device with round numbers",
    boundary="a test",
    law="network",
    static_shapes=False,
    deploy_as="int8",
    mode="one",
    modes={
        "one": PowerMode(
            active_w=number(2),
            overhead_w=number(1),
            mac_per_s=every(1e12),
            byte_per_s=every(1e10),
            element_per_s=every(1e10),
            launch_s=every(1e-6),
            idle_w=number(4),
            dispatch_s=every(1e-4),
            processor_hz=number(1e9),
            memory_hz=number(2e9),
        )
    },
    kinds={
        OpKind.CNN: KindConstants(efficiency=every(0.5), combine="sum"),
        OpKind.VIT: KindConstants(efficiency=every(0.5), graph_layers=number(50), combine="hypot"),
        OpKind.HYBRID: KindConstants(efficiency=every(0.5), combine="max"),
        OpKind.DECODE: KindConstants(efficiency=every(1), mac_exponent=number(0.5)),
    },
    mac_j=every(1e-12),
    byte_j=number(1e-11),
    element_j=number(1e-10),
    activation_share=number(0),
    time_factor=number(1),
    assumed_factor={"any": number(1, 0.5, 2)},
    spiking=SpikingKernel(number(8), number(8), number(1)),
    idle_exponent=number(0.5),
)


def network(op_class: str, **given: int) -> Workload:
    """1 GMAC (2 ms at half of the peak), 5 M elements (0.5 ms), 10 MB (1 ms), 100 layers."""
    return Workload.from_totals(
        10**9, 10**7, op_class=op_class, **{"n_layers": 100, "act_elements": 5 * 10**6, **given}
    )


def latency_s(workload: Workload, device: Accelerator = ROUND) -> float:
    report = estimate(workload, device, samples=2)
    assert report.latency_s is not None
    return report.latency_s.value


@pytest.mark.parametrize(
    ("op_class", "launches", "busy_s"),
    [
        ("cnn", 100, 2.5e-3 + 1e-3),
        ("vit", 50, math.hypot(2.5e-3, 1e-3)),
        ("hybrid", 100, 2.5e-3),
    ],
)
def test_each_class_combines_its_times_in_its_own_way(
    op_class: str, launches: int, busy_s: float
) -> None:
    expected = 1e-4 + launches * 1e-6 + busy_s
    assert latency_s(network(op_class)) == pytest.approx(expected, rel=1e-12)


def test_energy_of_a_network_by_hand() -> None:
    report = estimate(network("cnn"), ROUND, rate_hz=100, samples=2)
    operations = 1e9 * 1e-12 + 5e6 * 1e-10 + 1e7 * 1e-11
    starting, working = 1e-4 + 100e-6, 3.5e-3
    active = operations + starting * 1 + working * 2
    assert report.energy_active_j is not None and report.energy_j is not None
    assert report.energy_active_j.value == pytest.approx(active, rel=1e-12)
    assert report.energy_j.value == pytest.approx(active + 4 / 100, rel=1e-12)


def test_a_batch_streams_weights_and_launches_once() -> None:
    one, eight = latency_s(network("cnn")), latency_s(network("cnn", batch=8))
    assert eight - one == pytest.approx(7 * 2.5e-3, rel=1e-12)


def test_macs_of_decoding_count_with_the_exponent() -> None:
    """4 GMAC at exponent 1/2 take as long as 2; a graph of one token has no fixed time."""
    four = Workload.from_totals(4 * 10**9, 0, op_class="decode", n_layers=0, act_elements=0)
    assert latency_s(four) == pytest.approx(2e-3, rel=1e-12)


def test_the_key_value_cache_is_read_as_bytes() -> None:
    device = replace(
        ROUND,
        kinds={OpKind.DECODE: KindConstants(efficiency=every(1), activation_share=every(2))},
    )
    run = Workload.from_totals(
        0, 10**7, op_class="decode", n_layers=0, act_elements=0, kv_elements=10**6
    )
    assert latency_s(run, device) == pytest.approx(1e-3 + 2e-4, rel=1e-12)


def test_what_is_not_given_is_typical_marked_and_widens_the_interval() -> None:
    known, guessed = network("cnn"), Workload.from_totals(10**9, 10**7)
    assert known.layers[0].assumed == ()
    assert guessed.layers[0].assumed == ("kind", "elements", "launches")
    narrow, wide = (estimate(each, ROUND).latency_s for each in (known, guessed))
    assert narrow is not None and wide is not None
    assert narrow.high / narrow.low == pytest.approx(1)
    assert wide.high / wide.low > 2


def test_a_measured_latency_stretches_time_and_the_energy_that_follows_it() -> None:
    plain = estimate(network("cnn"), ROUND, samples=2)
    slow = estimate(network("cnn"), ROUND, samples=2, latency_s=7.4e-3)
    assert plain.latency_s is not None and slow.latency_s is not None
    assert plain.energy_active_j is not None and slow.energy_active_j is not None
    assert plain.latency_s.value == pytest.approx(3.7e-3, rel=1e-12)
    assert slow.latency_s.value == pytest.approx(7.4e-3, rel=1e-12)
    operations = 1e9 * 1e-12 + 5e6 * 1e-10 + 1e7 * 1e-11
    active = plain.energy_active_j.value
    assert slow.energy_active_j.value == pytest.approx(operations + 2 * (active - operations))


@pytest.mark.parametrize("given", [0.0, -1.0, math.nan, math.inf])
def test_bad_latencies_are_refused(given: float) -> None:
    with pytest.raises(EstimateError, match="latency_s must be positive and finite"):
        estimate(network("cnn"), ROUND, latency_s=given)


def test_a_latency_belongs_to_one_processor(pipeline: Workload) -> None:
    with pytest.raises(EstimateError, match="for a single processor only"):
        estimate(pipeline, "loihi2+jetson-orin-nano", latency_s=1e-3)


def test_a_latency_of_nothing_is_refused() -> None:
    nothing = Workload.from_totals(0, 0, op_class="decode", n_layers=0, act_elements=0)
    with pytest.raises(EstimateError, match="latency_s: no layer takes any time"):
        estimate(nothing, ROUND, latency_s=1e-3)


def test_half_the_clock_takes_twice_the_time_but_for_memory() -> None:
    slow = at_clocks(ROUND, processor_hz=0.5e9)
    assert latency_s(network("cnn"), slow) == pytest.approx(2 * (2e-4 + 2.5e-3) + 1e-3, rel=1e-12)
    slow = at_clocks(ROUND, memory_hz=1e9)
    assert latency_s(network("cnn"), slow) == pytest.approx(2e-4 + 2.5e-3 + 2e-3, rel=1e-12)


def test_a_mode_without_clock_cannot_be_scaled() -> None:
    mode = replace(ROUND.modes["one"], processor_hz=None)
    with pytest.raises(EstimateError, match="round@one: no processor_hz on record"):
        at_clocks(replace(ROUND, modes={"one": mode}), processor_hz=1e9)


def test_a_board_that_idles_at_a_quarter_spends_half_above_idle() -> None:
    own = with_own_idle(ROUND, number(1))
    theirs, ours = (estimate(network("cnn"), each, samples=2) for each in (ROUND, own))
    assert theirs.energy_active_j is not None and ours.energy_active_j is not None
    assert ours.idle_w is not None and ours.idle_w.value == 1
    assert ours.energy_active_j.value == pytest.approx(theirs.energy_active_j.value / 2, rel=1e-12)


def test_one_number_of_a_device_can_be_replaced() -> None:
    own = with_constant(ROUND, "modes.one.idle_w", number(3))
    assert own.modes["one"].idle_w == number(3)
    assert ROUND.modes["one"].idle_w == number(4)
    with pytest.raises(CatalogError, match=r"cannot set modes.two.idle_w: there is no 'two'"):
        with_constant(ROUND, "modes.two.idle_w", number(3))


def test_classes_without_constants_are_refused_by_name() -> None:
    message = "round@one: no constants for layers of kind dw-cnn; it knows cnn, decode, hybrid, vit"
    with pytest.raises(EstimateError, match=message):
        estimate(network("dw-cnn"), ROUND)


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(WorkloadError, match=r"op_class must be one of cnn, grouped-cnn, .*'mlp'"):
        Workload.from_totals(1, 1, op_class="mlp")
    with pytest.raises(WorkloadError, match="macs must be at least 0, got -1"):
        Workload.from_totals(-1, 1, act_elements=0)


def test_elements_that_a_fit_counts_as_traffic_take_no_time_of_their_own() -> None:
    kinds = {OpKind.CNN: replace(ROUND.kinds[OpKind.CNN], element_time=False)}
    free = replace(ROUND, kinds=kinds)
    assert latency_s(network("cnn")) - latency_s(network("cnn"), free) == pytest.approx(0.5e-3)
