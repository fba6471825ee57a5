"""Rasters."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm import viz
from neurovlm.core.errors import UsageError
from neurovlm.spiking.train import SpikeTrain


def test_every_spike_is_a_dot_at_its_time_and_neuron():
    train = SpikeTrain(np.array([0, 2, 2]), np.array([3, 0, 4]), 5, (5,), 0.002)
    ax = viz.raster(train)
    (dots,) = ax.lines
    np.testing.assert_allclose(dots.get_xdata(), [0.0, 0.004, 0.004])
    np.testing.assert_array_equal(dots.get_ydata(), [3, 0, 4])
    assert ax.get_xlim() == (0.0, 0.01)


def test_a_silent_train_is_drawn_over_its_whole_length():
    empty = np.empty(0, np.int32)
    ax = viz.raster(SpikeTrain(empty, empty, 10, (4,), 0.001))
    assert ax.get_xlim() == (0.0, 0.01)
    assert ax.get_title(loc="left") == "0 spikes of 4 neurons"


def test_a_trace_shows_its_output_by_default(trace):
    assert viz.raster(trace).get_title(loc="left").startswith("H: ")


def test_an_unknown_population_is_refused_and_the_known_ones_named(trace):
    with pytest.raises(UsageError, match=r"no population 'Q'.*D, F, H"):
        viz.raster(trace, population="Q")
