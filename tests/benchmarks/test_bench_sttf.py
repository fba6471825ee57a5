"""Verdicts of the STTF table: each part's figures against its targets."""

from __future__ import annotations

from benchmarks.bench_sttf import flood, folds, policy


def test_a_fold_that_misses_its_target_is_not_met():
    found = {"dense_%": {"mean": 92.9}, "sttf_%": {"mean": 92.0}, "retention_%": {"value": 99.0}}
    rows = folds("digits", 0.93, 0.92)(found)
    assert [(row[0], row[3]) for row in rows] == [
        ("digits: dense", False),
        ("digits: STTF", True),
        ("digits: STTF / dense", True),
    ]


def test_gains_are_averaged_over_seeds_of_the_same_budget():
    rows = [
        {"budget": 0.0, "gain": 0.02},
        {"budget": 0.0, "gain": -0.01},
        {"budget": 0.3, "gain": 0},
    ]
    assert [(round(row[2], 6), row[3]) for row in policy({"rows": rows})] == [
        (0.5, True),
        (0.0, False),
    ]


def test_a_flood_is_judged_by_step_and_by_second():
    row = {"policy": "quota", "worst step / cap": 6.1, "worst second / cap": 1.13}
    assert [each[3] for each in flood([row])] == [False, True]
