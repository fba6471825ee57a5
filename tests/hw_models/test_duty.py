from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hw_models import (
    Accelerator,
    EstimateError,
    Interval,
    NeuromorphicChip,
    Placed,
    Sourced,
    System,
    Workload,
    battery_life,
    duty_cycle,
    estimate,
    load_device,
    with_constant,
)
from hw_models.sourced import sourced_items

JETSON = "jetson-orin-nano@15w"


def number(value: float, low: float | None = None, high: float | None = None) -> Sourced:
    low, high = (value if end is None else end for end in (low, high))
    return Sourced(value, low, high, "assumption", "a test", "assumed")


def sleeper(sleep_w: Sourced, wake_s: float, idle_w: float = 5.0) -> Accelerator:
    """Return a board on which only the sleep power is uncertain."""
    board = load_device(JETSON)
    assert isinstance(board, Accelerator)
    for key, sourced in list(sourced_items(board)):
        board = with_constant(board, key, replace(sourced, low=sourced.value, high=sourced.value))
    board = with_constant(board, "modes.15w.idle_w", number(idle_w))
    board = with_constant(board, "modes.15w.wake_s", number(wake_s))
    return with_constant(board, "modes.15w.sleep_w", sleep_w)


@pytest.mark.parametrize("name", ["loihi1", JETSON, "loihi2+usb+jetson-orin-nano"])
@pytest.mark.parametrize("rate", [0.1, 40.0])
def test_a_device_that_never_sleeps_is_what_estimate_says(
    pipeline: Workload, name: str, rate: float
) -> None:
    report = estimate(pipeline, name, rate_hz=rate)
    duty = duty_cycle(pipeline, name, rate_hz=rate)
    for mine, its in (
        (duty.power_w, report.power_w),
        (duty.idling_w, report.power_w),
        (duty.energy_j, report.energy_j),
        (duty.latency_s, report.latency_s),
    ):
        assert its is not None
        ends = (its.value, its.low, its.high)
        assert (mine.value, mine.low, mine.high) == pytest.approx(ends, rel=1e-12)
    assert duty.covers == report.covers
    assert duty.not_covered == report.not_covered
    assert not any(part.sleeps for part in duty.parts)


def test_the_default_rate_is_one_inference_per_window(pipeline: Workload) -> None:
    assert duty_cycle(pipeline, JETSON).rate_hz == 40.0


@pytest.mark.parametrize("wake_at", ["idle", "active"])
def test_a_period_of_sleep_by_hand(pipeline: Workload, wake_at: str) -> None:
    board = sleeper(number(0.5), wake_s=0.2)
    report = estimate(pipeline, board)
    assert report.latency_s is not None and report.energy_active_j is not None
    busy_s, active_j = report.latency_s.value, report.energy_active_j.value
    wake_w = 5.0 + (active_j / busy_s if wake_at == "active" else 0.0)
    period_j = 5.0 * busy_s + active_j + 0.2 * wake_w + 0.5 * (2.0 - busy_s - 0.2)
    duty = duty_cycle(pipeline, board, rate_hz=0.5, sleep=True, wake_at=wake_at)  # type: ignore[arg-type]
    assert duty.power_w.value == pytest.approx(period_j / 2.0, rel=1e-12)
    assert duty.idling_w.value == pytest.approx(5.0 + active_j / 2.0, rel=1e-12)
    assert duty.energy_j.value == pytest.approx(period_j, rel=1e-12)
    assert duty.parts[0].sleeps
    assert duty.parts[0].busy_share.value == pytest.approx(busy_s / 2.0)
    assert duty.latency_s == report.latency_s  # waking ends when the inference begins


def test_sleep_needs_a_gap_longer_than_waking(pipeline: Workload) -> None:
    """At idle power waking costs nothing extra, so only the length of the gap decides."""
    board = sleeper(number(0.5), wake_s=0.2)
    latency = duty_cycle(pipeline, board).latency_s.value
    for margin, sleeps in ((1.001, True), (0.999, False)):
        rate = 1 / ((latency + 0.2) * margin)
        duty = duty_cycle(pipeline, board, rate_hz=rate, sleep=True, wake_at="idle")
        assert duty.parts[0].sleeps is sleeps
        assert (duty.power_w.value < duty.idling_w.value) is sleeps


def test_waking_at_active_power_must_pay(pipeline: Workload) -> None:
    """A gap g pays when (P_i - P_s) (g - w) exceeds (P_w - P_i) w."""
    board = sleeper(number(0.5), wake_s=0.2)
    report = estimate(pipeline, board)
    assert report.latency_s is not None and report.energy_active_j is not None
    busy_w = report.energy_active_j.value / report.latency_s.value
    gap_s = 0.2 + 0.2 * busy_w / (5.0 - 0.5)
    for margin, sleeps in ((1.001, True), (0.999, False)):
        rate = 1 / (report.latency_s.value + gap_s * margin)
        duty = duty_cycle(pipeline, board, rate_hz=rate, sleep=True)
        assert duty.parts[0].sleeps is sleeps


def test_a_device_that_rarely_works_draws_its_sleep_power(pipeline: Workload) -> None:
    duty = duty_cycle(pipeline, sleeper(number(0.5), wake_s=0.2), rate_hz=1e-6, sleep=True)
    assert duty.power_w.value == pytest.approx(0.5, rel=1e-4)


def test_the_cheaper_is_done_draw_by_draw(pipeline: Workload) -> None:
    """Sleep power is log-triangular from 1 to 25 W around idle: quantiles of min(P_i, P(s))."""
    board = sleeper(number(5.0, 1.0, 25.0), wake_s=0.0)
    rate = 1e-6
    duty = duty_cycle(pipeline, board, rate_hz=rate, sleep=True, samples=20_000)
    # the lower half of a symmetric triangle holds probability q up to sqrt(q / 2) of its width
    low = math.exp(math.sqrt(0.05 / 2) * math.log(25.0))
    assert duty.power_w.low == pytest.approx(low, rel=0.02)
    assert duty.power_w.high == pytest.approx(5.0, rel=1e-4)  # never more than idling
    assert duty.power_w.value == pytest.approx(5.0, rel=1e-4)


def test_a_system_sleeps_where_it_can(pipeline: Workload) -> None:
    chip = load_device("loihi2")
    assert isinstance(chip, NeuromorphicChip)
    board = sleeper(number(0.5), wake_s=0.2)
    named = load_device(f"loihi2+usb+{JETSON}")
    assert isinstance(named, System)
    chip_part, board_part = named.parts
    system = System((chip_part, Placed(board, board_part.stages)), named.links)
    duty = duty_cycle(pipeline, system, rate_hz=0.5, sleep=True)
    assert [part.sleeps for part in duty.parts] == [False, True]
    assert duty.notes == (
        "loihi2 idles between inferences: to let it sleep give constants.sleep_w and "
        "constants.wake_s",
    )
    of_parts = sum(part.power_w.value for part in duty.parts)
    report = estimate(pipeline, system)
    link_j = sum(row.amount.value for row in report.rows if row.term == "link")
    assert duty.power_w.value == pytest.approx(of_parts + 0.5 * link_j, rel=1e-12)
    for key, value in (("sleep_w", 0.01), ("wake_s", 0.1)):
        chip = with_constant(chip, f"constants.{key}", number(value))
    both = replace(system, parts=(replace(chip_part, device=chip), system.parts[1]))
    asleep = duty_cycle(pipeline, both, rate_hz=0.5, sleep=True)
    assert [part.sleeps for part in asleep.parts] == [True, True]
    assert asleep.notes == ()
    assert asleep.power_w.value < duty.power_w.value


def test_too_many_inferences_are_said_and_not_clipped(pipeline: Workload) -> None:
    board = sleeper(number(0.5), wake_s=0.2)
    duty = duty_cycle(pipeline, board, rate_hz=1e6, sleep=True)
    report = estimate(pipeline, board, rate_hz=1e6)
    assert duty.keeps_up is False and report.realtime is False
    assert duty.power_w == report.power_w
    assert duty.parts[0].busy_share.value > 1
    assert duty.notes[0].startswith("does not keep up: 1e+06 inferences per second of")
    assert duty_cycle(pipeline, board, rate_hz=0.1).keeps_up is True


def test_sleep_without_a_cited_power_names_the_key(pipeline: Workload) -> None:
    board = load_device(JETSON)
    assert isinstance(board, Accelerator)
    mode = replace(board.modes["15w"], sleep_w=None, wake_s=None)
    board = replace(board, modes={**board.modes, "15w": mode})
    message = (
        r"jetson-orin-nano@15w cannot sleep: no cited number; give modes\.15w\.sleep_w and "
        r"modes\.15w\.wake_s of jetson-orin-nano@15w$"
    )
    with pytest.raises(EstimateError, match=message):
        duty_cycle(pipeline, board, sleep=True)
    half = with_constant(board, "modes.15w.sleep_w", number(0.5))
    with pytest.raises(EstimateError, match=r"give modes\.15w\.wake_s of"):
        duty_cycle(pipeline, half, sleep=True)
    assert duty_cycle(pipeline, board).parts[0].sleeps is False


def test_unknown_idle_power_names_the_key(pipeline: Workload) -> None:
    board = load_device(JETSON)
    assert isinstance(board, Accelerator)
    mode = replace(board.modes["15w"], idle_w=None)
    board = replace(board, modes={**board.modes, "15w": mode})
    with pytest.raises(EstimateError, match=r"no cited idle power.*give modes\.15w\.idle_w"):
        duty_cycle(pipeline, board)


def test_bad_questions_are_refused(pipeline: Workload) -> None:
    with pytest.raises(EstimateError, match="rate_hz must be positive and finite, got nan"):
        duty_cycle(pipeline, JETSON, rate_hz=float("nan"))
    with pytest.raises(EstimateError, match="wake_at must be idle or active, got 'hot'"):
        duty_cycle(pipeline, JETSON, wake_at="hot")  # type: ignore[arg-type]
    ann = replace(pipeline, layers=pipeline.layers[3:])
    with pytest.raises(EstimateError, match="loihi2: nothing of 'pipeline' runs there"):
        duty_cycle(ann, "loihi2")


def test_a_record_in_milli_units(pipeline: Workload) -> None:
    duty = duty_cycle(pipeline, "loihi2", rate_hz=10)
    record = duty.to_dict()
    assert record["power_mw"] == duty.power_w.scaled(1e3)
    assert record["energy_mj"]["value"] == pytest.approx(record["power_mw"]["value"] / 10)
    assert [each["stage"] for each in record["not_covered"]] == ["encoder", "decoder"]
    assert record["parts"][0]["device"] == "loihi2"
    assert record["notes"] == ["front end only: do not rank against whole pipelines"]


def test_battery_life_turns_the_interval_round() -> None:
    life = battery_life(Interval(2.0, 1.0, 4.0), 50.0)
    assert life == Interval(25.0, 12.5, 50.0)


@pytest.mark.parametrize("capacity", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_batteries_are_refused(capacity: float) -> None:
    with pytest.raises(EstimateError, match="capacity_wh must be positive and finite"):
        battery_life(Interval(2.0, 1.0, 4.0), capacity)


@pytest.mark.parametrize("power", [Interval(1, 0, 2), Interval(1, 1, math.inf)])
def test_a_battery_needs_a_power(power: Interval) -> None:
    with pytest.raises(EstimateError, match="power_w must be positive and finite"):
        battery_life(power, 50.0)


def test_sleep_constants_can_stand_in_a_file(pipeline: Workload, tmp_path: Path) -> None:
    catalog = Path(duty_cycle.__code__.co_filename).parent / "catalog" / "jetson-orin-nano.toml"
    cited = 'low = {0}, high = {0}, source = "assumption", locator = "mine", basis = "measured"'
    lines = [
        f"{k} = {{ value = {v}, {cited.format(v)} }}"
        for k, v in (("sleep_w", 0.1), ("wake_s", 0.2))
    ]
    path = tmp_path / "mine.toml"
    path.write_text(catalog.read_text().replace("[modes.15w]", "\n".join(["[modes.15w]", *lines])))
    duty = duty_cycle(pipeline, path, rate_hz=1e-3, sleep=True)
    assert duty.parts[0].sleeps
    assert duty.power_w.value < 0.11
