"""Dynamics: what is refused, and with which words."""

from __future__ import annotations

import json

import pytest

from neurovlm.core.errors import GraphError
from neurovlm.spiking.dynamics import Dynamics, Precision


def test_defaults_are_loihi_at_one_millisecond():
    dynamics = Dynamics()
    assert (dynamics.dt_s, dynamics.precision, dynamics.dt_us) == (1e-3, Precision.LOIHI, 1000)


@pytest.mark.parametrize("dt_s", [0.0, -1e-3, float("inf"), float("nan")])
def test_time_step_must_be_positive_and_finite(dt_s):
    with pytest.raises(GraphError, match=f"dt_s must be .* got {dt_s}"):
        Dynamics(dt_s=dt_s)


@pytest.mark.parametrize("dt_s", [1.5e-6, 1e-7])
def test_events_need_whole_microseconds(dt_s):
    with pytest.raises(GraphError, match="whole number of microseconds"):
        _ = Dynamics(dt_s=dt_s).dt_us


def test_precision_by_name():
    assert Dynamics(precision="float32").precision is Precision.FLOAT32
    with pytest.raises(GraphError, match="loihi, float64, float32, got 'int8'"):
        Dynamics(precision="int8")


@pytest.mark.parametrize(
    ("field", "value"), [("integrator", "exact"), ("comparator", ">="), ("reset", "subtract")]
)
def test_what_no_backend_honours_is_refused(field, value):
    with pytest.raises(GraphError, match=f"{field} must be .* got '{value}'"):
        Dynamics(**{field: value})


def test_survives_json():
    dynamics = Dynamics(dt_s=2e-3, precision="float64", allow_wrap=True)
    assert Dynamics(**json.loads(json.dumps(dynamics.to_dict()))) == dynamics
