"""Potentials, rates, work and agreement of small runs whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm import viz
from neurovlm.core.errors import UsageError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import layered, neurons
from neurovlm.spiking.trace import Trace, probe
from neurovlm.spiking.train import SpikeTrain


@pytest.fixture(scope="module")
def counting():
    """Two neurons without leak: one spike of weight 10 or 20 every second tick, threshold 35."""
    cells = neurons(2, du=4095, dv=1, vth=35)
    graph = layered({"w": ("input", "a", np.diag([10, 20]))}, {"a": cells}, "a")
    raster = np.zeros((20, 2))
    raster[::2] = 1
    spikes = SpikeTrain.from_dense(raster, dt_s=1e-3)
    return get_backend("reference").run(graph, spikes, probes=[probe("a", ["v", "s"])])


def test_potentials_are_in_units_of_weight_beside_the_threshold(counting):
    ax = viz.membrane(counting, "a", [0, 1])
    lines = {line.get_label(): line for line in ax.lines}
    v = lines["neuron 0"].get_ydata()
    assert v[1] == 10.0  # the spike of tick 0 arrives in tick 1
    assert v.max() < 35 < v.max() + 10
    np.testing.assert_array_equal(lines["threshold"].get_ydata(), 35.0)
    assert "weights" in ax.get_ylabel()


def test_spikes_stand_above_the_potential(counting):
    ax = viz.membrane(counting, "a", [1])
    marks = [line for line in ax.lines if line.get_marker() == "|"]
    fired = np.flatnonzero(counting.probed["a"]["s"][:, 1])
    np.testing.assert_allclose(marks[0].get_xdata(), (fired + 1) * 1e-3)


def test_rates_are_spikes_per_neuron_and_second(counting):
    ax = viz.rates(counting, bin_s=0.010)
    values, edges, _ = ax.patches[0].get_data()
    spikes = counting.out.dense().reshape(2, 10, 2).sum(axis=(1, 2))
    np.testing.assert_allclose(values, spikes / (2 * 0.010))
    np.testing.assert_allclose(edges, [0.0, 0.010, 0.020])


def test_work_shows_the_counts_of_the_trace(counting):
    ax = viz.work(counting)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [len(counting.out), counting.connections[0].synops, 2 * 20]


def test_a_differing_spike_is_ringed_and_counted(counting):
    fewer = SpikeTrain(counting.out.tick[1:], counting.out.neuron[1:], 20, (2,), 1e-3)
    other = Trace(counting.input, {"a": fewer}, counting.network, None, {})
    ax = viz.agreement({"one": counting, "other": other})
    assert ax.get_title(loc="left") == "a: 1 differing spikes"
    rings = next(line for line in ax.lines if line.get_label() == "differs")
    np.testing.assert_allclose(rings.get_xdata(), [counting.out.tick[0] * 1e-3])
    same = viz.agreement({"one": counting, "again": counting})
    assert not [line for line in same.lines if line.get_label() == "differs"]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda t: viz.membrane(t, "a", variable="u"), r"'u' of population 'a' was not probed"),
        (lambda t: viz.membrane(t, "a", [2]), r"has neurons 0\.\.1, got 2"),
        (lambda t: viz.rates(t, bin_s=1e-5), "at least a tick"),
        (lambda t: viz.agreement({}), "at least one trace"),
    ],
)
def test_what_cannot_be_drawn_is_said(counting, draw, message):
    with pytest.raises(UsageError, match=message):
        draw(counting)
