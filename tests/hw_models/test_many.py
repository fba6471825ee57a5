"""Many estimates at once say what one estimate says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw_models import EstimateError, Workload, device_names, estimate, estimate_many
from hw_models.many import Estimates

# every device and mode, and two systems
NAMES = (
    *(name for name in device_names() if "+" not in name),
    "loihi2+jetson-orin-nano",
    "loihi1+usb+jetson-nano",
)
QUANTITIES = ("energy_active_j", "energy_j", "power_w", "latency_s")


def column(estimates: Estimates, name: str) -> np.ndarray:
    amounts = getattr(estimates, name)
    assert isinstance(amounts, np.ndarray)
    return amounts


@pytest.mark.parametrize("name", NAMES)
def test_points_are_the_nominal_values_of_estimate(pipeline: Workload, name: str) -> None:
    """Runs of different length and an empty one, in one array, do not mix."""
    short = replace(pipeline, layers=pipeline.layers[:4], window_ms=10.0)
    runs = [pipeline, replace(pipeline, layers=()), short, pipeline + pipeline]
    many = estimate_many(runs, name)
    for index, run in enumerate(runs):
        one = estimate(run, name, samples=2)
        assert many.rate_hz[index] == one.rate_hz
        for quantity in QUANTITIES:
            value = getattr(one, quantity)
            if value is not None:
                assert column(many, quantity)[index] == pytest.approx(value.value, rel=1e-12)


def test_intervals_are_those_of_estimate(pipeline: Workload) -> None:
    runs = [pipeline, replace(pipeline, layers=pipeline.layers[:4])]
    many = estimate_many(runs, "loihi2+jetson-orin-nano", samples=500, seed=7)
    for index, run in enumerate(runs):
        one = estimate(run, "loihi2+jetson-orin-nano", samples=500, seed=7)
        for quantity in QUANTITIES:
            value = getattr(one, quantity)
            expected = [value.value, value.low, value.high]
            assert column(many, quantity)[index] == pytest.approx(expected, rel=1e-12)


def test_workloads_that_name_different_precisions_are_refused(pipeline: Workload) -> None:
    other = replace(pipeline, deploy_as="int8")
    with pytest.raises(EstimateError, match="workloads name different deploy_as: None, int8"):
        estimate_many([pipeline, other], "jetson-orin-nano")


def test_no_workloads_are_refused() -> None:
    with pytest.raises(EstimateError, match="estimate_many needs at least 1 workload"):
        estimate_many([], "loihi2")
