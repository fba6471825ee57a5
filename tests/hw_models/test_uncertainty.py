from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import EstimateError, Sourced
from hw_models.uncertainty import sample


def constant(value: float, low: float, high: float) -> Sourced:
    return Sourced(value, low, high, "assumption", "test", "assumed")


def test_columns_hold_nominal_then_tornado_then_samples() -> None:
    c = sample({"a": constant(2, 1, 4), "b": constant(5, 5, 5)}, samples=10, seed=0)
    assert c["a"][:5].tolist() == [2, 1, 4, 2, 2]
    assert c["b"].tolist() == [5] * 15
    assert (c["a"][5:] >= 1).all()
    assert (c["a"][5:] <= 4).all()


def test_samples_follow_the_triangle_in_the_logarithm() -> None:
    """At the mode the distribution function is (mode - low) / (high - low), in logarithms."""
    c = sample({"a": constant(10, 1, 10_000)}, samples=40_000, seed=1)
    below = float((c["a"][3:] < 10).mean())
    assert below == pytest.approx(1 / 4, abs=4 * np.sqrt(0.25 * 0.75 / 40_000))


def test_a_range_from_zero_is_a_triangle_in_the_value() -> None:
    c = sample({"a": constant(1, 0, 4)}, samples=40_000, seed=1)
    below = float((c["a"][3:] < 1).mean())
    assert below == pytest.approx(1 / 4, abs=4 * np.sqrt(0.25 * 0.75 / 40_000))


def test_interval_of_a_triangle_from_zero_matches_its_closed_form() -> None:
    """Triangle on [0, 1] with mode 0: quantile q is 1 - sqrt(1 - q)."""
    c = sample({"a": constant(0, 0, 1)}, samples=40_000, seed=2)
    interval = c.interval(c["a"])
    assert interval.value == interval.low == 0  # widened to include the nominal value
    assert interval.high == pytest.approx(1 - np.sqrt(0.05), abs=0.01)


@given(st.integers(2, 50), st.integers(0, 100))
def test_intervals_agree_with_numpy(samples: int, seed: int) -> None:
    c = sample({"a": constant(2, 1, 4)}, samples=samples, seed=seed)
    interval = c.interval(c["a"])
    low, high = np.percentile(c["a"][3:], [5, 95])
    assert interval.low == pytest.approx(min(low, 2))
    assert interval.high == pytest.approx(max(high, 2))


def test_draws_depend_on_seed_and_name_only() -> None:
    a, b = constant(2, 1, 4), constant(3, 1, 9)
    alone = sample({"a": a}, 50, seed=3)["a"][3:]
    beside = sample({"b": b, "a": a}, 50, seed=3)["a"][5:]
    assert np.array_equal(alone, beside)
    assert not np.array_equal(alone, sample({"a": a}, 50, seed=4)["a"][3:])
    assert not np.array_equal(alone, sample({"c": a}, 50, seed=3)["c"][3:])


def test_tornado_is_sorted_and_leaves_out_what_does_not_move() -> None:
    c = sample({"a": constant(2, 1, 4), "b": constant(1, 0, 9), "n": constant(1, 0, 9)}, 5, seed=0)
    swings = c.tornado(10 * c["a"] - 2 * c["b"])
    assert [(s.name, s.low, s.high) for s in swings] == [("a", 8, 38), ("b", 2, 20)]


def test_under_strips_the_prefix() -> None:
    c = sample({"x.a": constant(2, 1, 4), "xy.a": constant(3, 1, 4)}, 5, seed=0)
    assert c.under("x").sourced.keys() == {"a"}
    assert np.array_equal(c.under("x")["a"], c["x.a"])


@pytest.mark.parametrize(
    ("samples", "seed", "message"),
    [(1, 0, "samples must be at least 2, got 1"), (5, -1, "seed must be at least 0, got -1")],
)
def test_bad_parameters(samples: int, seed: int, message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        sample({}, samples, seed)
