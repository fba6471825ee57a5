"""Scores of predictions against measurements, and verdicts on targets."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hw_models.uncertainty import Interval
from hw_models.validate.outcome import Outcome, Prediction, Refusal
from hw_models.validate.rows import EDGE_COLUMNS, EdgeRow
from hw_models.validate.score import Score, Scored, Target, predictions, score, scores_by
from hw_models.validate.summary import summarise
from hw_models.validate.targets import ENERGY, ENERGY_GIVEN, LATENCY, TARGETS

EMPTY = EdgeRow(**dict.fromkeys(EDGE_COLUMNS, ""))  # type: ignore[arg-type]


def guess(
    measured: float, value: float, low: float, high: float, quantity: str = LATENCY
) -> Prediction:
    return Prediction(quantity, measured, Interval(value, low, high), "s", "jetson-orin-nano@15w")


def scored(name: str, prediction: Prediction, **cells: str) -> Scored:
    row = replace(EMPTY, id=name, workload=name, op_class="cnn", **cells)  # type: ignore[arg-type]
    return Scored(Outcome(row, "check", prediction), prediction)


def only(found: Score | None) -> Score:
    assert found is not None
    return found


def test_figures_of_one_prediction() -> None:
    prediction = guess(measured=2.0, value=1.0, low=0.5, high=1.5)
    assert prediction.ratio == 0.5
    assert prediction.error == 0.5
    assert prediction.factor == 2
    assert prediction.width == 3
    assert not prediction.inside
    assert replace(prediction, measured=1.5).inside


def test_interval_score_by_hand() -> None:
    within = guess(measured=1.0, value=1.0, low=0.5, high=2.0)
    assert within.interval_score == pytest.approx(math.log(4))
    above = replace(within, measured=4.0)
    assert above.interval_score == pytest.approx(math.log(4) + 20 * math.log(2))
    below = replace(within, measured=0.25)
    assert below.interval_score == pytest.approx(above.interval_score)


def test_interval_score_is_least_for_the_true_quantiles() -> None:
    """The score is proper: of all intervals the 5-95% one scores least on average."""
    measured = np.exp(np.random.default_rng(3).normal(size=4000)).tolist()

    def mean(z: float) -> float:
        low, high = math.exp(-z), math.exp(z)
        return float(np.mean([guess(x, 1.0, low, high).interval_score for x in measured]))

    assert mean(1.645) < min(mean(1.2), mean(2.2))


def test_score_of_different_networks_by_hand() -> None:
    group = [
        scored("a", guess(1.0, 2.0, 1.0, 4.0)),
        scored("b", guess(1.0, 0.5, 0.25, 0.75)),
        scored("c", guess(1.0, 1.0, 0.9, 1.1)),
    ]
    found = only(score("group", group))
    assert (found.rows, found.points, found.networks) == (3, 3, 3)
    assert found.ratio == pytest.approx(1.0)
    assert found.mean_error == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.median_error == 0.5
    assert found.worst == 2
    assert found.inside == pytest.approx(2 / 3)
    assert found.width == pytest.approx(3)


def test_rows_of_one_point_count_once_but_the_worst_stands() -> None:
    repeats = [scored("a", guess(1.0, value, 0.5, 5.0)) for value in (2.0, 4.0, 2.0)]
    repeats = [
        Scored(replace(each.outcome, row=replace(each.outcome.row, id=str(index))), each.prediction)
        for index, each in enumerate(repeats)
    ]
    found = only(score("group", [*repeats, scored("b", guess(1.0, 1.0, 0.5, 2.0))]))
    assert (found.rows, found.points, found.networks) == (4, 2, 2)
    assert found.ratio == pytest.approx(math.sqrt(16 ** (1 / 3)))
    assert found.mean_error == pytest.approx((1 + 3 + 1) / 3 / 2)
    assert found.worst == 4


def test_nothing_has_no_score() -> None:
    assert score("group", []) is None


def test_quantities_are_never_scored_together() -> None:
    group = [scored("a", guess(1, 1, 1, 1)), scored("a", guess(1, 2, 1, 3, ENERGY))]
    names = [each.name for each in scores_by(lambda each: "x", group)]
    assert names == [f"{ENERGY}: x", f"{LATENCY}: x"]


def test_only_checks_are_scored() -> None:
    each = scored("a", guess(1, 1, 1, 1)).outcome
    fitted = replace(each, role="calibrate")
    refused = replace(each, result=Refusal("no device"))
    assert [found.outcome for found in predictions([each, fitted, refused])] == [each]


GROUP = [scored(name, guess(1.0, 1.1, 0.9, 1.5)) for name in "abc"]


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({}, "no limit"),
        ({"mean_error": 0.11, "worst": 1.2, "width": 1.7, "ratio": (0.85, 1.18)}, "met"),
        ({"mean_error": 0.05}, "missed: mean error 10.0%"),
        ({"worst": 1.05, "width": 1.2}, "missed: worst 1.10x, width 1.667"),
        ({"ratio": (0.9, 1.05)}, "missed: ratio 1.10"),
    ],
)
def test_verdict(limits: dict[str, float], verdict: str) -> None:
    target = Target("group", lambda each: True, **limits)  # type: ignore[arg-type]
    assert target.verdict(score("group", GROUP)) == verdict


def test_two_networks_are_indicative_even_where_the_figures_are_good() -> None:
    target = Target("group", lambda each: True, mean_error=0.5)
    assert target.verdict(score("group", GROUP[:2])) == "indicative (2 networks)"
    strict = replace(target, mean_error=0.01)
    text = "indicative (1 network; beyond the limits: mean error 10.0%)"
    assert strict.verdict(score("group", GROUP[:1])) == text


def test_no_rows_no_verdict() -> None:
    assert Target("group", lambda each: True).verdict(None) == "no check rows here"


@pytest.mark.parametrize(
    ("prediction", "cells", "names"),
    [
        (guess(1, 1, 1, 1), {}, {"Jetson latency, CNN and ViT"}),
        (guess(1, 1, 1, 1), {"op_class": "llm"}, set()),
        (
            replace(guess(1, 1, 1, 1, ENERGY_GIVEN), precision="int8"),
            {},
            {"Jetson int8 energy, latency given"},
        ),
        (replace(guess(1, 1, 1, 1, ENERGY_GIVEN), precision="fp16"), {}, set()),
        (
            guess(1, 1, 1, 1, ENERGY),
            {"op_class": "llm", "workload": "Net decode (per token)"},
            {"LM decode on Orin Nano, energy per token"},
        ),
        (
            replace(guess(1, 1, 1, 1), device="snapdragon-8-gen-3"),
            {},
            {"Snapdragon NPU latency, 8 Gen 3"},
        ),
        (
            replace(guess(1, 1, 1, 1), device="qcs6490"),
            {},
            {"Snapdragon NPU latency, other devices"},
        ),
        (
            replace(guess(1, 1, 1, 1), device="loihi1", quantity="core energy"),
            {},
            {"Loihi 1 core energy, activity known"},
        ),
        (
            replace(
                guess(1, 1, 1, 1),
                device="loihi1",
                quantity="core energy",
                note="activity assumed",
            ),
            {},
            set(),
        ),
    ],
)
def test_which_targets_a_prediction_counts_for(
    prediction: Prediction, cells: dict[str, str], names: set[str]
) -> None:
    row = replace(EMPTY, **({"op_class": "cnn"} | cells))  # type: ignore[arg-type]
    each = Scored(Outcome(row, "check", prediction), prediction)
    assert {target.name for target in TARGETS if target.selects(each)} == names


def test_a_summary_tells_checks_from_calibration() -> None:
    outcomes = [each.outcome for each in GROUP]
    outcomes.append(replace(outcomes[0], role="calibrate"))
    demoted = replace(outcomes[0].row, id="d", role="calibrate")
    outcomes.append(Outcome(demoted, "check", guess(1.0, 1.1, 0.9, 1.5)))
    outcomes.append(Outcome(EMPTY, "check", Refusal("no device for 'X' in the catalog")))
    summary = summarise(["t.csv"], outcomes)
    jetson = next(each for each in summary.targets if each.target.name.startswith("Jetson lat"))
    assert jetson.found is not None
    assert jetson.calibrated is not None
    assert (jetson.found.rows, jetson.found.points, jetson.calibrated.rows) == (4, 3, 1)
    assert summary.checked_only == ("d",)
    assert summary.refused == [("no device for 'X' in the catalog", 1)]
    assert summary.coverage == "missed: 100%"
    plain = summary.to_dict()
    assert len(plain["predictions"]) == 5
    assert plain["not_predicted"] == [
        {"id": "", "role": "check", "reason": "no device for 'X' in the catalog", "quantity": ""}
    ]
