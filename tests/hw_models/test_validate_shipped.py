"""The shipped tables against the shipped catalog."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hw_models import estimate
from hw_models.validate.command import SHIPPED, validate
from hw_models.validate.edge import predict_edge
from hw_models.validate.facts import facts
from hw_models.validate.outcome import Prediction
from hw_models.validate.question import device_of, network_of, precision_of
from hw_models.validate.rows import EdgeRow, effective_roles, read_rows
from hw_models.validate.summary import Summary
from hw_models.validate.targets import LATENCY


@pytest.fixture(scope="module")
def summary() -> Summary:
    return validate(SHIPPED, samples=100)


def test_every_row_is_predicted_or_says_why_not(summary: Summary) -> None:
    rows = [row for path in SHIPPED for row in read_rows(path)]
    assert {each.row.id for each in summary.outcomes} == {row.id for row in rows}
    keys = [
        (each.row.id, each.result.quantity)
        for each in summary.outcomes
        if isinstance(each.result, Prediction)
    ]
    assert len(keys) == len(set(keys))


def test_predictions_are_positive_and_lie_in_their_interval(summary: Summary) -> None:
    for each in summary.outcomes:
        if isinstance(each.result, Prediction):
            found = each.result.predicted
            assert 0 < found.low <= found.value <= found.high < math.inf, each.row.id
            assert each.result.measured > 0, each.row.id


def test_no_network_is_fitted_and_checked_on_one_device(summary: Summary) -> None:
    by_role: dict[str, set[tuple[str, str]]] = {"check": set(), "calibrate": set()}
    for each in summary.outcomes:
        if each.role in by_role and isinstance(each.result, Prediction):
            by_role[each.role].add((each.row.network, each.row.device))
    assert by_role["check"]
    assert by_role["calibrate"]
    assert not by_role["check"] & by_role["calibrate"]


def test_energies_are_compared_at_one_boundary(summary: Summary) -> None:
    for each in summary.outcomes:
        if isinstance(each.row, EdgeRow) and isinstance(each.result, Prediction):
            noted = facts(each.row).get("boundary")
            if each.result.unit == "J" and noted:
                assert each.result.boundary.startswith(str(noted)), each.row.id


def test_the_same_seed_gives_the_same_table(summary: Summary) -> None:
    assert validate(SHIPPED, samples=100).to_dict() == summary.to_dict()


def test_a_table_of_shipped_checks_alone_keeps_their_roles() -> None:
    shipped = [row for path in SHIPPED for row in read_rows(path)]
    for path in SHIPPED:
        rows = read_rows(path)
        checks = [row for row in rows if row.role == "check"]
        roles = effective_roles(rows)
        assert {row.id: roles[row.id] for row in checks} == effective_roles(checks, shipped)


def test_users_are_told_what_is_validated() -> None:
    """The prediction of a row equals the estimate that anybody gets for the same network."""
    rows = [row for row in read_rows(SHIPPED[0]) if row.id in ("AH0002", "AH0039", "JT0192")]
    assert len(rows) == 3
    for row in rows:
        assert isinstance(row, EdgeRow)
        result = next(iter(predict_edge(replace(row, notes=""), samples=200, seed=5)))
        assert isinstance(result, Prediction)
        precision = precision_of(row)
        network = network_of(row, {}, precision)  # type: ignore[arg-type]
        assert device_of(row) == result.device.partition("@")[0]
        report = estimate(
            network.workload,  # type: ignore[union-attr]
            result.device,
            deploy_as=precision,  # type: ignore[arg-type]
            samples=200,
            seed=5,
        )
        assert result.quantity == LATENCY
        assert report.latency_s is not None
        told = report.latency_s
        assert (told.value, told.low, told.high) == pytest.approx(
            (result.predicted.value, result.predicted.low, result.predicted.high), rel=1e-9
        )


@pytest.mark.parametrize("column", ["n_layers", "act_melems", "params_m", "op_class"])
def test_an_empty_column_widens_the_interval(column: str) -> None:
    """By less than nothing never; sampling and another nominal value may cost two percent."""
    rows = [row for row in read_rows(SHIPPED[0]) if isinstance(row, EdgeRow)]
    rows = [row for row in rows if row.latency_ms and row.op_class in ("cnn", "vit", "dw-cnn")]
    ratios = []
    for row in rows[::12]:
        empty = "" if column == "op_class" else None
        blank = replace(row, notes="", **{column: empty})  # type: ignore[arg-type]
        before = next(iter(predict_edge(row, samples=300)))
        after = next(iter(predict_edge(blank, samples=300)))
        if getattr(row, column) and isinstance(before, Prediction):
            assert isinstance(after, Prediction)
            ratios.append(after.width / before.width)
    assert len(ratios) > 10
    assert min(ratios) > 0.98
    assert max(ratios) > 1.1
