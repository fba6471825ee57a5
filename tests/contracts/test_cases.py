"""The contract cases hold what their names promise, else agreement on them would prove nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import CASES, case_named
from neurovlm.spiking.fixed_point import LIMIT
from neurovlm.spiking.loihi import SignMode, weight_form
from neurovlm.spiking.network import Feature
from neurovlm.spiking.trace import probe


@cache
def run(name):
    """Trace of the reference with u, v, s of every LIF population, in Loihi precision."""
    graph, spikes = case_named(name).build()
    lif = [p.name for p in graph.network.populations if not p.graded]
    return get_backend("reference").run(graph, spikes, probes=[probe(p, "uvs") for p in lif])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_large_and_busy(case):
    trace = run(case.name)
    assert sum(count.neuron_updates for count in trace.populations) >= 1e5
    for count, p in zip(trace.populations, trace.network.populations, strict=True):
        fires = p.kind != "li"
        assert (count.spikes > 100) == fires, f"{p.name}: {count.spikes} spikes"
        assert count.spikes < 0.9 * count.neuron_updates


def test_every_feature_has_a_case():
    needed = {f for case in CASES for f in case.build()[0].network.needs}
    assert needed == set(Feature)


def test_ties_lie_exactly_at_the_threshold_in_every_precision():
    graph, spikes = case_named("ties-at-threshold").build()
    for precision, scale in (("loihi", 64), ("float64", 1), ("float32", 1)):
        trace = get_backend("reference").run(
            graph.with_precision(precision), spikes, probes=[probe("a", "vs")]
        )
        tie = trace.probed["a"]["v"] == 100 * scale
        assert tie.sum() > 1000
        assert not trace.probed["a"]["s"][tie].any()


def test_states_saturate_and_wrap():
    v = run("saturation").probed["a"]["v"]
    assert (v == 1 - LIMIT).sum() > 1000
    assert run("saturation").probed["a"]["s"].any(), "only a saturated v is above the threshold"
    u = run("wrap").probed["a"]["u"]
    assert ((np.diff(u, axis=0) < -LIMIT).sum(axis=0) > 3).all(), "each neuron wraps several times"


def test_neurons_fire_in_consecutive_ticks_and_at_both_ends():
    fired = run("consecutive-firing").probed["a"]["s"]
    assert (fired[:-1] & fired[1:]).sum() > 1000
    assert fired[60:149].any(), "it goes on after the input has stopped"
    busy = np.flatnonzero(run("bursts").input.counts(1).sum(axis=1) == 64)
    assert len(busy) == 6


def test_states_become_negative():
    probed = run("negative-state").probed["a"]
    assert (probed["u"] < 0).mean() > 0.4
    assert (probed["v"] < 0).mean() > 0.4


def test_weights_need_signs_and_exponents():
    (mixed,) = run("mixed-signs").network.connections
    assert weight_form(mixed).sign_mode is SignMode.MIXED
    assert mixed.matrix.min() == -256
    forms = [weight_form(c) for c in run("exponents").network.connections]
    assert [form.exponent for form in forms] == [3, 2]
    into_b = [c.matrix for c in run("parallel-connections").network.connections if c.target == "b"]
    assert [m.max() <= 255 for m in into_b] == [True] * 3
    assert sum(into_b).max() > 255


def test_delays_differ_and_outlast_the_shortest_cut():
    network = run("delays-per-neuron").network
    delays = np.concatenate([c.delay for c in network.connections])
    assert set(range(12)) <= set(delays.tolist())


@pytest.mark.parametrize("name", ["refractory", "adaptive-threshold", "refractory-and-adaptive"])
def test_without_their_extension_neurons_would_fire_more(name):
    graph, spikes = case_named(name).build()
    bare = type(graph)(graph.nir, graph.dynamics)
    assert len(get_backend("reference").run(bare, spikes).out) > 1.2 * len(run(name).out)


def test_messages_have_both_signs_and_many_values():
    trace = run("sigma-delta")
    for name in ("delta", "sum"):
        value = trace.spikes[name].value
        assert value.min() < 0 < value.max()
        assert len(np.unique(value)) > 20
