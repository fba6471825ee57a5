"""Counts of a run against a count over the dense raster; joined halves against the whole."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import CASES
from neurovlm.spiking.trace import Trace

RECURRENT = next(case for case in CASES if case.name == "recurrent")


@pytest.fixture
def runs():
    """The whole run, and the same in two parts."""
    graph, spikes = RECURRENT.build()
    run = get_backend("reference").run
    first = run(graph, spikes.between(0, 173))
    second = run(graph, spikes.between(173, spikes.n_ticks), first.state)
    return run(graph, spikes), first, second


def test_every_neuron_is_updated_in_every_tick(runs):
    whole, *_ = runs
    for count in whole.populations:
        assert count.neuron_updates == count.neurons * whole.n_ticks
        assert count.spikes == whole.spikes[count.name].dense().sum()


def test_synops_are_spikes_times_nonzero_weights_until_the_last_tick(runs):
    whole, *_ = runs
    for count, c in zip(whole.connections, whole.network.connections, strict=True):
        train = whole.input if c.source == "input" else whole.spikes[c.source]
        delivered = 0
        for tick, neuron in zip(train.tick, train.neuron, strict=True):
            if tick < whole.n_ticks - 1:
                delivered += np.count_nonzero(c.matrix.toarray()[:, neuron])
        assert count.synops == delivered
        assert count.synapses == np.count_nonzero(c.matrix.toarray())


def test_spikes_carried_over_are_counted_where_they_are_delivered(runs):
    whole, first, second = runs
    for name in ("a", "slow", "input"):
        last = (first.input if name == "input" else first.spikes[name]).between(172, 173)
        assert second.carried[name][0].neuron.tolist() == last.neuron.tolist()
    parts = zip(whole.connections, first.connections, second.connections, strict=True)
    assert all(w.synops == a.synops + b.synops for w, a, b in parts)


def test_joined_halves_equal_the_whole(runs):
    whole, first, second = runs
    joined = Trace.join([first, second])
    assert joined.n_ticks == whole.n_ticks
    assert all(joined.spikes[name].differing(train) == 0 for name, train in whole.spikes.items())
    assert joined.input.differing(whole.input) == 0
    assert (joined.populations, joined.connections) == (whole.populations, whole.connections)
    for name in ("a", "slow"):
        assert np.array_equal(joined.state.cells[name]["u"], whole.state.cells[name]["u"])
        assert np.array_equal(joined.state.cells[name]["v"], whole.state.cells[name]["v"])


def test_out_is_the_exported_population(runs):
    whole, *_ = runs
    assert whole.out is whole.spikes[whole.network.output]
