from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from hw_models import EstimateError, Sourced, Workload, estimate, load_device
from hw_models.uncertainty import sample

Draws = npt.NDArray[np.float64]


def constant(value: float, low: float, high: float, shares: str = "") -> Sourced:
    return Sourced(value, low, high, "assumption", "test", "assumed", shares)


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


# --- independent implementations and closed forms -------------------------------------------------

ENDS = st.lists(st.floats(1e-15, 1e15), min_size=3, max_size=3).map(sorted)


def quantiles_of(number: Sourced, samples: int, seed: int) -> Draws:
    """Return the uniform quantiles that a constant was drawn at, by the triangle's own formula."""
    drawn = sample({"a": number}, samples, seed)["a"][3:]
    low, mode, high = np.log([number.low, number.value, number.high])
    x = np.log(drawn)
    rising = (x - low) ** 2 / ((high - low) * (mode - low)) if mode > low else np.zeros_like(x)
    falling = 1 - (high - x) ** 2 / ((high - low) * (high - mode)) if high > mode else np.ones(1)
    return np.where(x < mode, rising, falling)


def test_draws_are_the_triangle_of_scipy() -> None:
    """Same quantiles, inverted by scipy's triangular distribution of the logarithm."""
    number = constant(3, 1, 20)
    drawn = sample({"a": number}, 500, seed=5)["a"][3:]
    quantile = quantiles_of(number, 500, seed=5)
    low, mode, high = np.log([1, 3, 20])
    triangle = stats.triang((mode - low) / (high - low), loc=low, scale=high - low)
    assert np.allclose(np.log(drawn), triangle.ppf(quantile), rtol=1e-12, atol=1e-12)
    assert stats.kstest(quantile, "uniform").pvalue > 0.01


def test_draws_have_the_distribution_of_numpys_own_triangle() -> None:
    ours = np.log(sample({"a": constant(2, 1, 30)}, 4000, seed=0)["a"][3:])
    theirs = np.random.default_rng(1).triangular(0, np.log(2), np.log(30), 4000)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01


@given(ENDS, st.integers(0, 9))
@example([999999999999996.0, 999999999999996.0, 999999999999997.0], 0)  # one logarithm
def test_draws_stay_in_the_range_and_a_point_stays_a_point(ends: list[float], seed: int) -> None:
    low, value, high = ends
    drawn = sample({"a": constant(value, low, high)}, 40, seed)["a"][3:]
    slack = 1 + 1e-12  # of exp(log(x))
    assert (drawn >= low / slack).all()
    assert (drawn <= high * slack).all()
    if low == high:
        assert (drawn == value).all()


@given(ENDS, ENDS, st.integers(0, 9))
def test_a_shared_cause_draws_at_the_same_quantile(
    first: list[float], second: list[float], seed: int
) -> None:
    """Perfect rank correlation; with a leading minus perfect anticorrelation."""
    a, b = (constant(v, low, high) for low, v, high in (first, second))
    together = {"a": replace(a, shares="x"), "b": replace(b, shares="x")}
    opposed = {"a": replace(a, shares="x"), "b": replace(b, shares="-x")}
    for sourced, sign in ((together, 1), (opposed, -1)):
        c = sample(sourced, 30, seed)
        order = np.argsort(c["a"][5:], kind="stable")
        steps = sign * np.diff(c["b"][5:][order])
        span = np.abs(c["b"][5:]).max()
        assert (steps >= -1e-9 * span).all() or np.ptp(c["a"][5:]) <= 1e-9 * c["a"].max()


def test_rank_correlations_are_1_minus_1_and_about_0() -> None:
    a, b = constant(2, 1, 4), constant(5, 0.5, 9)
    for shares, expected in (("x", 1.0), ("-x", -1.0)):
        c = sample({"a": replace(a, shares="x"), "b": replace(b, shares=shares)}, 400, seed=0)
        found = stats.spearmanr(c["a"][5:], c["b"][5:]).statistic
        assert found == pytest.approx(expected, abs=1e-12)
    c = sample({"a": a, "b": b}, 400, seed=0)
    assert abs(stats.spearmanr(c["a"][5:], c["b"][5:]).statistic) < 4 / np.sqrt(400)


def test_products_of_shared_independent_and_opposite_constants() -> None:
    """Symmetric triangles of half width h in the logarithm, variance h^2 / 6.

    The 95% quantile of one is h (1 - sqrt(0.1)); of a product of two at the same quantile twice
    that; of two independent ones the 95% quantile of the sum of two triangles, by convolution on
    a grid; of two opposite ones exactly 0.
    """
    h = np.log(3)
    number = constant(1, 1 / 3, 3)
    grid = np.linspace(-h, h, 2001)
    density = 1 - np.abs(grid) / h
    total = np.convolve(density, density)
    cumulative = np.cumsum(total) / total.sum()
    summed = np.interp(0.95, cumulative, np.linspace(-2 * h, 2 * h, len(total)))
    one = h * (1 - np.sqrt(0.1))
    for shares, expected in ((("", ""), summed), (("x", "x"), 2 * one), (("x", "-x"), 0.0)):
        first, second = (replace(number, shares=name) for name in shares)
        c = sample({"a": first, "b": second}, 40_000, seed=3)
        interval = c.interval(c["a"] * c["b"])
        assert np.log(interval.high) == pytest.approx(expected, abs=0.02)
        assert np.log(interval.low) == pytest.approx(-expected, abs=0.02)
    assert one < summed < 2 * one


def test_a_sum_of_two_ranges_from_zero_matches_its_closed_form() -> None:
    """Two triangles on [0, 1] with mode 0, at one quantile q: 2 (1 - sqrt(1 - q))."""
    number = constant(0, 0, 1)
    shared = replace(number, shares="x")
    together = sample({"a": shared, "b": shared}, 40_000, seed=1)
    high = together.interval(together["a"] + together["b"]).high
    assert high == pytest.approx(2 * (1 - np.sqrt(0.05)), abs=0.01)
    apart = sample({"a": number, "b": number}, 40_000, seed=1)
    assert apart.interval(apart["a"] + apart["b"]).high < high - 0.2


def test_the_tornado_moves_a_shared_cause_as_one_and_lists_it_once() -> None:
    """2 a + b with b opposite: at the low end of a, b is at its high end."""
    a, b = constant(2, 1, 4), constant(5, 3, 9)
    c = sample({"a": replace(a, shares="x"), "b": replace(b, shares="-x"), "n": b}, 5, seed=0)
    assert c.tornado(2 * c["a"] + c["b"] + 0 * c["n"]) == []  # 2 + 9 = 8 + 3: they cancel
    (only,) = c.tornado(c["a"] + c["b"])
    assert (only.name, only.low, only.high, only.falls) == ("a", 7, 10, True)
    both = sample({"a": replace(a, shares="x"), "b": replace(b, shares="x")}, 5, seed=0)
    (only,) = both.tornado(both["a"] + both["b"])
    assert (only.low, only.high, only.falls) == (4, 13, False)


def test_a_cause_of_that_name_is_the_constant_itself() -> None:
    """What shares the name of another constant moves with it."""
    c = sample({"a": constant(2, 1, 4), "b": constant(20, 10, 40, shares="a")}, 9, seed=0)
    assert np.allclose(c["b"][5:], 10 * c["a"][5:])
    assert c["b"][:5].tolist() == [20, 10, 40, 10, 40]


@given(st.integers(0, 50))
def test_a_seed_repeats_itself_exactly(seed: int) -> None:
    sourced = {"a": constant(2, 1, 4), "b": constant(3, 0, 9), "c": constant(1, 1, 5, shares="-s")}
    first, again = sample(sourced, 20, seed), sample(sourced, 20, seed)
    assert all(np.array_equal(first[name], again[name]) for name in sourced)


def test_intervals_of_1000_draws_hardly_depend_on_the_seed(pipeline: Workload) -> None:
    """Ends of the 90% interval of an estimate, over 12 seeds: within 8% of their mean."""
    reports = [estimate(pipeline, "jetson-orin-nano", seed=seed) for seed in range(12)]
    for name in ("energy_active_j", "latency_s"):
        for end in ("low", "high"):
            ends = np.array([getattr(getattr(report, name), end) for report in reports])
            assert np.abs(ends / ends.mean() - 1).max() < 0.08
    assert len({report.energy_active_j for report in reports}) == 12


def test_boards_of_one_type_share_their_draws_and_others_do_not() -> None:
    """Two links of one type in a system move together: one entry in the tornado."""
    device = load_device("jetson-nano+usb+jetson-nano")
    work = Workload.from_totals(10**9, 10**7, op_class="cnn")
    report = estimate(work, device)
    names = [each.name for each in report.dominant]
    assert names
    assert len({name.replace("#2", "") for name in names}) == len(names)
