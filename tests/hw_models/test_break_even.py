from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw_models import (
    Accelerator,
    BreakEven,
    ComparisonError,
    EstimateError,
    Sourced,
    UnknownDeviceError,
    Workload,
    break_even,
    estimate,
    load_device,
    with_constant,
)
from hw_models.crossing import crossing_of
from hw_models.scaling import activity_of, event_rate_hz, with_activity, with_event_rate
from hw_models.sourced import sourced_items

SLOW, FAST = "jetson-orin-nano@7w", "jetson-orin-nano@15w"


def number(value: float) -> Sourced:
    return Sourced(value, value, value, "assumption", "a test", "assumed")


def pinned(name: str, **numbers: float) -> Accelerator:
    """Return a device whose constants are certain; numbers belong to its mode."""
    device = load_device(name)
    assert isinstance(device, Accelerator)
    for key, sourced in list(sourced_items(device)):
        device = with_constant(device, key, replace(sourced, low=sourced.value, high=sourced.value))
    for key, given in numbers.items():
        device = with_constant(device, f"modes.{device.mode}.{key}", number(given))
    return device


def swapped(result: BreakEven) -> tuple[object, ...]:
    return result.crossing, result.below, result.above, result.agreement


def test_a_straight_difference_crosses_where_it_must() -> None:
    """d = x - r with a root r per draw, on an uneven grid; the answer does not depend on it."""
    roots = np.linspace(2.0, 8.0, 201)
    for grid in (np.array([1.0, 9.0]), np.geomspace(1.0, 9.0, 7), np.linspace(1.0, 9.0, 40)):
        found = crossing_of(grid, grid[:, np.newaxis] - np.append(5.0, roots))
        assert found.at is not None
        ends = (found.at.value, found.at.low, found.at.high)
        assert ends == pytest.approx((5.0, *np.percentile(roots, [5, 95])))
        assert (found.n_changes, found.agreement) == (1, 1.0)


def test_draws_that_cross_beyond_the_range_count_at_its_end() -> None:
    x = np.linspace(1.0, 9.0, 9)
    roots = np.array([5.0, *np.full(30, -3.0), *np.full(40, 4.0), *np.full(30, 30.0)])
    found = crossing_of(x, x[:, np.newaxis] - roots)
    assert found.at is not None
    assert (found.at.value, found.at.low, found.at.high) == (5.0, 1.0, 9.0)
    assert found.agreement == 0.4


def test_no_crossing_and_several() -> None:
    x = np.linspace(0.0, 4.0, 5)
    above = np.ones((5, 4))
    above[:, 2] = -1.0  # one draw of three disagrees
    found = crossing_of(x, above)
    assert (found.at, found.n_changes) == (None, 0)
    assert found.agreement == pytest.approx(2 / 3)
    wave = np.array([-1.0, 1.0, 1.0, -1.0, -1.0])[:, np.newaxis] * np.ones(3)
    found = crossing_of(x, wave)
    assert found.at is not None
    assert (found.at.value, found.n_changes) == (0.5, 2)


def test_rate_with_known_energies_crosses_exactly(pipeline: Workload) -> None:
    """x = (P_a - P_b) / (E_b - E_a) from two certain boards, whatever the points."""
    a, b = pinned(FAST, idle_w=5.0, active_w=0.5), pinned(FAST, idle_w=2.0, active_w=60.0)
    active = [estimate(pipeline, board).energy_active_j for board in (a, b)]
    assert active[0] is not None and active[1] is not None
    exact = (5.0 - 2.0) / (active[1].value - active[0].value)
    for points in (2, 41):
        found = break_even(pipeline, a, b, over="rate", low=1.0, high=1e4, points=points)
        assert found.crossing is not None
        ends = (found.crossing.value, found.crossing.low, found.crossing.high)
        assert ends == pytest.approx((exact, exact, exact), rel=1e-12)
        assert (found.below, found.above) == (f"{FAST} (b)", f"{FAST} (a)")
        assert found.agreement == 1.0
        assert found.a_wins_share == (1.0 if exact < 40 else 0.0)


def test_rate_interval_is_that_of_the_draws(pipeline: Workload) -> None:
    """An independent way: draws of two reports, each draw's crossing, numpy's percentiles."""
    low, high = 1.0, 1e4
    a, b = "loihi2+jetson-orin-nano", "jetson-orin-nano"
    found = break_even(pipeline, a, b, over="rate", low=low, high=high, samples=500, seed=3)
    first, second = (estimate(pipeline, name, samples=500, seed=3) for name in (a, b))
    active = [report.draws["energy_active_j"] for report in (first, second)]
    idle = [
        (report.draws["energy_j"] - report.draws["energy_active_j"]) * report.rate_hz
        for report in (first, second)
    ]
    per_draw = (idle[0] - idle[1]) / (active[1] - active[0])
    inside = (low < per_draw) & (per_draw < high)
    assert inside.all()
    assert found.crossing is not None
    ends = (found.crossing.low, found.crossing.high)
    assert ends == pytest.approx(tuple(np.percentile(per_draw, [5, 95])), rel=1e-9)
    assert first.idle_w and second.idle_w and first.energy_active_j and second.energy_active_j
    exact = (first.idle_w.value - second.idle_w.value) / (
        second.energy_active_j.value - first.energy_active_j.value
    )
    assert found.crossing.value == pytest.approx(exact, rel=1e-12)
    wins = np.mean(first.draws["energy_j"] < second.draws["energy_j"])
    assert found.a_wins_share == pytest.approx(wins)


@pytest.mark.parametrize(
    ("over", "low", "high"),
    [("rate", 1.0, 1e4), ("event_rate", 1e3, 1e8), ("activity", 0.0, 1.0)],
)
def test_curves_are_what_estimate_says(
    pipeline: Workload, over: str, low: float, high: float
) -> None:
    found = break_even(
        pipeline,
        SLOW,
        FAST,
        over=over,  # type: ignore[arg-type]
        low=low,
        high=high,
        points=3,
        samples=300,
    )
    vary = {"event_rate": with_event_rate, "activity": with_activity}
    own = {"event_rate": event_rate_hz, "activity": activity_of}
    assert found.at == (40.0 if over == "rate" else own[over](pipeline))
    assert (found.x[0], found.x[-1]) == pytest.approx((low, high))
    if over != "rate":
        assert found.at in found.x  # energies may bend at the run's own activity
    for name, curve in ((SLOW, found.a), (FAST, found.b)):
        for x, energy in zip(found.x, curve.energy_j, strict=True):
            run = pipeline if over == "rate" else vary[over](pipeline, x)
            report = estimate(run, name, rate_hz=x if over == "rate" else 40.0, samples=300)
            assert report.energy_j is not None
            mine, its = ((each.value, each.low, each.high) for each in (energy, report.energy_j))
            assert mine == pytest.approx(its, rel=1e-9)
        assert curve.boundary == load_device(name).boundary


def test_devices_need_the_same_at_the_event_rate_found(pipeline: Workload) -> None:
    found = break_even(pipeline, "loihi1", "loihi2", over="event_rate", low=1e3, high=1e10)
    assert found.crossing is not None
    run = with_event_rate(pipeline, found.crossing.value)
    one, two = (estimate(run, name).energy_j for name in ("loihi1", "loihi2"))
    assert one is not None and two is not None
    assert one.value == pytest.approx(two.value, rel=1e-6)
    assert "front end only: do not rank against whole pipelines" in found.notes
    assert found.covers == ("frontend", "change")


def test_devices_need_the_same_at_the_activity_found(pipeline: Workload) -> None:
    """A board with much idle power and cheap MACs against one with little and dear ones."""
    steady = replace(pinned(FAST, idle_w=2.01), mac_j={"any": number(1e-13)})
    dear = replace(pinned(FAST, idle_w=2.0), mac_j={"any": number(1e-10)})
    found = break_even(pipeline, steady, dear, over="activity", low=0.0, high=1.0)
    assert found.crossing is not None
    assert 0.0 < found.crossing.value < 1.0
    assert (found.below, found.above) == (f"{FAST} (b)", f"{FAST} (a)")
    run = with_activity(pipeline, found.crossing.value)
    one, two = (estimate(run, board).energy_j for board in (steady, dear))
    assert one is not None and two is not None
    assert one.value == pytest.approx(two.value, rel=1e-9)


def test_changing_sides_changes_names_only(pipeline: Workload) -> None:
    there = break_even(pipeline, SLOW, FAST, over="rate", low=1.0, high=1e5)
    back = break_even(pipeline, FAST, SLOW, over="rate", low=1.0, high=1e5)
    assert swapped(there) == swapped(back)
    assert there.a_wins_share == pytest.approx(1 - back.a_wins_share)


def test_one_board_a_little_worse_loses_in_every_draw(pipeline: Workload) -> None:
    """Only paired draws can see a hundredth inside an interval of a fifth."""
    board = load_device(FAST)
    assert isinstance(board, Accelerator)
    idle = board.modes["15w"].idle_w
    assert idle is not None and idle.high > 1.1 * idle.low
    worse = with_constant(board, "modes.15w.idle_w", idle.scaled(1.01))
    found = break_even(pipeline, board, worse, over="rate", low=1.0, high=1e3)
    assert found.crossing is None
    assert found.below == found.above == f"{FAST} (a)"
    assert found.agreement == found.a_wins_share == 1.0
    assert found.verdict == (
        f"{FAST} (a) needs less energy everywhere from inference rate 1 Hz to 1 kHz "
        "(100% of draws agree)"
    )


def test_a_device_equals_itself(pipeline: Workload) -> None:
    found = break_even(pipeline, FAST, FAST, over="activity", low=0.1, high=0.9)
    assert (found.crossing, found.below, found.above) == (None, None, None)
    assert "need the same energy from activity 0.1 to 0.9" in found.verdict


def test_scopes_answer_different_questions(pipeline: Workload) -> None:
    """Above idle a chip in front saves energy; with its static power it does not pay at 40 Hz."""
    a, b = "loihi2+jetson-orin-nano", "jetson-orin-nano"
    ends = {"over": "event_rate", "low": 1e3, "high": 1e5, "points": 5}
    active = break_even(pipeline, a, b, scope="active", **ends)  # type: ignore[arg-type]
    whole = break_even(pipeline, a, b, scope="device", **ends)  # type: ignore[arg-type]
    fast = break_even(pipeline, a, b, scope="device", rate_hz=1e4, **ends)  # type: ignore[arg-type]
    assert (active.below, whole.below, fast.below) == (a, b, a)


def test_rates_out_of_reach_are_said(pipeline: Workload) -> None:
    found = break_even(pipeline, SLOW, FAST, over="rate", low=1.0, high=1e6)
    latency = estimate(pipeline, SLOW).latency_s
    assert latency is not None
    (note,) = (note for note in found.notes if note.startswith(f"{SLOW} does not keep up"))
    shown = f"{1 / latency.value / 1e3:.3g} kHz"
    assert note == f"{SLOW} does not keep up from inference rate {shown} on"
    calm = break_even(pipeline, SLOW, FAST, over="rate", low=1.0, high=10.0)
    assert not any("does not keep up" in note for note in calm.notes)


def test_a_crossing_out_of_reach_is_said(pipeline: Workload) -> None:
    """Latency does not depend on idle power, so the crossing can be put on either side of it."""
    note = "the crossing lies where not both keep up: within reach nobody changes places"
    a, b = pinned(FAST, active_w=1.0, idle_w=5.0), pinned(FAST, active_w=9.0)
    first, second = (estimate(pipeline, board) for board in (a, b))
    assert first.latency_s and first.energy_active_j and second.energy_active_j
    reach = 1 / first.latency_s.value
    saved_j = second.energy_active_j.value - first.energy_active_j.value
    for factor, beyond in ((0.9, False), (1.1, True)):
        less = with_constant(b, "modes.15w.idle_w", number(5.0 - factor * reach * saved_j))
        found = break_even(pipeline, a, less, over="rate", low=1.0, high=1e6)
        assert found.crossing is not None
        assert found.crossing.value == pytest.approx(factor * reach)
        assert (note in found.notes) is beyond


def test_an_interval_cut_by_the_range_says_so(pipeline: Workload) -> None:
    a, b = "loihi2+jetson-orin-nano", "jetson-orin-nano"
    wide = break_even(pipeline, a, b, over="rate", low=1.0, high=1e4)
    assert wide.crossing is not None
    cut = break_even(pipeline, a, b, over="rate", low=1.0, high=wide.crossing.value * 1.01)
    assert cut.crossing is not None
    assert cut.crossing.value == pytest.approx(wide.crossing.value)
    assert cut.crossing.high == cut.x[-1]
    assert cut.agreement < wide.agreement
    cut_note = "the interval of the crossing reaches an end of the range: a wider one may hold it"
    assert cut_note in cut.notes and cut_note not in wide.notes


def test_a_front_end_is_not_set_against_a_pipeline(pipeline: Workload) -> None:
    with pytest.raises(ComparisonError, match=r"loihi2 and jetson-nano: coverage differs"):
        break_even(pipeline, "loihi2", "jetson-nano", over="rate", low=1, high=10)
    ann = replace(pipeline, layers=pipeline.layers[3:])
    with pytest.raises(ComparisonError, match="or is empty, nothing and nothing"):
        break_even(ann, "loihi2", "loihi1", over="rate", low=1, high=10)


def test_scope_device_needs_idle_power_and_names_the_key(pipeline: Workload) -> None:
    board = load_device(FAST)
    assert isinstance(board, Accelerator)
    mode = replace(board.modes["15w"], idle_w=None)
    bare = replace(board, modes={**board.modes, "15w": mode})
    message = r"\(b\): no cited idle power.* give modes\.15w\.idle_w of jetson-orin-nano@15w"
    with pytest.raises(EstimateError, match=message):
        break_even(pipeline, board, bare, over="rate", low=1, high=10)
    found = break_even(pipeline, board, bare, over="activity", low=0, high=1, scope="active")
    assert found.below is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"over": "rates"}, "over must be one of .*, got 'rates', did you mean 'rate'"),
        ({"scope": "devic"}, "scope must be one of active, device, got 'devic', did you mean"),
        ({"scope": "active"}, "does not depend on the inference rate; take scope='device'"),
        ({"low": 20}, "rate: expected 0 < low < high, finite, got 20 and 10"),
        ({"low": 0}, "rate: expected 0 < low < high, finite, got 0 and 10"),
        ({"low": -1}, "rate: expected 0 < low < high, finite, got -1 and 10"),
        ({"low": float("nan")}, "rate: expected 0 < low < high, finite, got nan and 10"),
        ({"high": float("inf")}, "rate: expected 0 < low < high, finite, got 1 and inf"),
        ({"over": "activity"}, "activity: expected 0 <= low < high <= 1, got 1 and 10"),
        ({"points": 1}, "points must be at least 2, got 1"),
        ({"rate_hz": -1.0}, "rate_hz must be positive and finite"),
    ],
)
def test_bad_questions_are_refused(
    pipeline: Workload, changed: dict[str, object], message: str
) -> None:
    question: dict[str, object] = {"over": "rate", "low": 1, "high": 10, **changed}
    with pytest.raises(EstimateError, match=message):
        break_even(pipeline, SLOW, FAST, **question)  # type: ignore[arg-type]


def test_unknown_devices_are_refused(pipeline: Workload) -> None:
    with pytest.raises(UnknownDeviceError, match="did you mean 'loihi2'"):
        break_even(pipeline, "loihi22", "loihi1", over="rate", low=1, high=10)


def test_a_record_in_milli_units(pipeline: Workload) -> None:
    found = break_even(pipeline, SLOW, FAST, over="rate", low=1.0, high=10.0, points=5)
    record = found.to_dict()
    assert record["a_mj"][2] == found.a.energy_j[2].scaled(1e3)
    assert len(record["x"]) == len(record["a_mj"]) == len(record["b_mj"]) == 5
    assert (record["a"], record["b"], record["below"]) == (SLOW, FAST, found.below)
    assert record["verdict"] == found.verdict
