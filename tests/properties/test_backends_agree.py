"""Random sparse graphs, recurrence included: every engine gives the reference's spikes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import assert_same_spikes, layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.trace import Trace

N_INPUTS = 6
decays = st.one_of(st.integers(0, 4095), st.sampled_from([0, 1, 99, 4094, 4095]))


@st.composite
def graphs(draw, precisions=tuple(Precision)):
    """One to three populations, each fed by the input or another, of one sign per connection."""
    names = "abc"[: draw(st.integers(1, 3))]
    sizes = {name: draw(st.integers(1, 20)) for name in names}
    cells = {
        name: neurons(size, du=draw(decays), dv=max(draw(decays), 1), vth=draw(st.integers(0, 900)))
        for name, size in sizes.items()
    }
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fed = {"input": N_INPUTS} | sizes
    edges = [("input", "a"), *pairwise(names)]  # the output is reached
    edges += draw(st.lists(st.tuples(st.sampled_from([*fed]), st.sampled_from(names)), max_size=6))
    weights = {}
    for i, (source, target) in enumerate(edges):
        inhibitory = i >= len(names) and draw(st.booleans())
        matrix = rng.integers(1, 256, (sizes[target], fed[source]))
        matrix *= rng.random(matrix.shape) < draw(st.sampled_from([0.1, 0.5, 1.0]))
        weights[f"w{i}"] = (source, target, -matrix if inhibitory else matrix)
    dynamics = Dynamics(precision=draw(st.sampled_from(precisions)), allow_wrap=True)
    return layered(weights, cells, names[-1], dynamics)


@st.composite
def runs(draw, n_ticks, **options):
    """A graph and its input."""
    rate, seed = draw(st.sampled_from([0.02, 0.3, 0.9])), draw(st.integers(0, 2**32 - 1))
    return draw(graphs(**options)), random_input(N_INPUTS, rate, seed, n_ticks)


def assert_same_run(got, expected):
    assert_same_spikes(got, expected)
    assert got.connections == expected.connections
    for name in expected.spikes:
        assert np.array_equal(got.state.cells[name]["u"], expected.state.cells[name]["u"])
        assert np.array_equal(got.state.cells[name]["v"], expected.state.cells[name]["v"])
    for name, sent in expected.state.recent.items():
        for mine, theirs in zip(got.state.recent[name], sent, strict=True):
            assert np.array_equal(mine.neuron, theirs.neuron)


@settings(max_examples=60)
@given(runs(n_ticks=50))
def test_fast_equals_reference(run):
    graph, spikes = run
    assert_same_run(
        get_backend("fast").run(graph, spikes), get_backend("reference").run(graph, spikes)
    )


@settings(max_examples=25)
@given(runs(n_ticks=40), st.lists(st.integers(0, 40), max_size=4))
def test_fast_in_pieces_equals_fast_at_once(run, cuts):
    graph, spikes = run
    backend, state, parts = get_backend("fast"), None, []
    borders = [0, *sorted(cuts), spikes.n_ticks]
    for start, stop in pairwise(borders):
        parts.append(backend.run(graph, spikes.between(start, stop), state))
        state = parts[-1].state
    assert_same_run(Trace.join(parts), backend.run(graph, spikes))


@settings(max_examples=12)
@given(runs(n_ticks=25, precisions=(Precision.FLOAT64, Precision.FLOAT32)))
def test_snntorch_equals_reference(run):
    graph, spikes = run
    assert_same_run(
        get_backend("snntorch").run(graph, spikes), get_backend("reference").run(graph, spikes)
    )
