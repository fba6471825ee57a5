"""Random sparse graphs, recurrence included: every engine gives the reference's spikes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import BackendError
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import assert_same_spikes, layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.extension import PLAIN, Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import Trace, probe

N_INPUTS = 6
DT = Dynamics().dt_s
decays = st.one_of(st.integers(0, 4095), st.sampled_from([0, 1, 99, 4094, 4095]))
rates, seeds = st.sampled_from([0.02, 0.3, 0.9]), st.integers(0, 2**32 - 1)


@st.composite
def wirings(draw, names, sizes):
    """Connections between populations, each of one sign: ``(source, target, matrix)``."""
    rng = np.random.default_rng(draw(seeds))
    fed = {"input": N_INPUTS} | sizes
    edges = [("input", "a"), *pairwise(names)]  # the output is reached
    edges += draw(st.lists(st.tuples(st.sampled_from([*fed]), st.sampled_from(names)), max_size=6))
    weights = {}
    for i, (source, target) in enumerate(edges):
        inhibitory = i >= len(names) and draw(st.booleans())
        matrix = rng.integers(1, 256, (sizes[target], fed[source]))
        matrix *= rng.random(matrix.shape) < draw(st.sampled_from([0.1, 0.5, 1.0]))
        weights[f"w{i}"] = (source, target, -matrix if inhibitory else matrix)
    return weights


@st.composite
def graphs(draw, precisions=tuple(Precision)):
    """One to three plain populations, each fed by the input or another."""
    names = "abc"[: draw(st.integers(1, 3))]
    sizes = {name: draw(st.integers(1, 20)) for name in names}
    cells = {
        name: neurons(size, du=draw(decays), dv=max(draw(decays), 1), vth=draw(st.integers(0, 900)))
        for name, size in sizes.items()
    }
    dynamics = Dynamics(precision=draw(st.sampled_from(precisions)), allow_wrap=True)
    return layered(draw(wirings(names, sizes)), cells, names[-1], dynamics)


@st.composite
def runs(draw, n_ticks, **options):
    """A graph and its input."""
    return draw(graphs(**options)), random_input(N_INPUTS, draw(rates), draw(seeds), n_ticks)


@st.composite
def kinds(draw, size, last):
    """A node of any kind with its extension; one that never fires only where nothing follows."""
    kind = draw(st.sampled_from(["plain", "mixed", "extended", "encoder"] + ["silent"] * last))
    if kind == "encoder":
        encoding = draw(st.sampled_from(["delta", "sigma-delta", "sigma-delta-relu"]))
        threshold = np.full(size, float(draw(st.integers(0, 400))))
        return nir.IF(np.full(size, 1 / DT), threshold), Extension(encoding=encoding)
    cell = neurons(size, du=draw(decays), dv=max(draw(decays), 1), vth=draw(st.integers(0, 900)))
    if kind == "silent":
        names = ("tau_syn", "tau_mem", "r", "v_leak", "w_in")
        return nir.CubaLI(**{name: getattr(cell, name) for name in names}), PLAIN
    if kind == "mixed":
        cell.v_threshold = np.random.default_rng(draw(seeds)).integers(0, 900, size).astype(float)
    if kind != "extended":
        return cell, PLAIN
    tau, step = draw(st.sampled_from([(0.0, 0.0), (2e-3, 5.0), (20e-3, 300.0), (0.1, 41.0)]))
    return cell, Extension(draw(st.integers(0, 4)) * DT, tau, step)


@st.composite
def rich_graphs(draw, *, bits=0):
    """Any neurons, delays per source, biases, graded input of ``bits``."""
    names = "abc"[: draw(st.integers(1, 3))]
    sizes = {name: draw(st.integers(1, 12)) for name in names}
    nodes = {"input": nir.Input({"input": np.array([N_INPUTS])})}
    extensions = {"input": Extension(message_bits=bits)}
    rng = np.random.default_rng(draw(seeds))
    for name in names:
        nodes[name], extensions[name] = draw(kinds(sizes[name], name == names[-1]))
    silent = isinstance(nodes[names[-1]], nir.CubaLI)
    edges = [(names[-1], "output")]
    for label, (source, target, matrix) in draw(wirings(names, sizes)).items():
        if silent and source == names[-1]:
            continue
        graded = bits if source == "input" else bool(extensions[source].encoding)
        matrix = matrix.astype(float) if not graded else np.sign(matrix).astype(float)
        bias = rng.integers(0, 30, sizes[target]).astype(float) * draw(st.booleans())
        nodes[label] = nir.Affine(matrix, bias)
        edges.append((label, target))
        if draw(st.booleans()):
            late = f"d{label}"
            nodes[late] = nir.Delay(rng.integers(0, draw(st.integers(1, 6)), matrix.shape[1]) * DT)
            edges += [(source, late), (late, label)]
        else:
            edges.append((source, label))
    nodes["output"] = nir.Output({"output": np.array([sizes[names[-1]]])})
    dynamics = Dynamics(precision=draw(st.sampled_from(tuple(Precision))), allow_wrap=True)
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "rich", extensions)


@st.composite
def rich_runs(draw, n_ticks):
    """A graph with everything the specification has, and its input."""
    bits = draw(st.sampled_from([0, 0, 3]))
    graph, spikes = draw(rich_graphs(bits=bits)), random_input(N_INPUTS, draw(rates), 1, n_ticks)
    if bits:
        values = np.random.default_rng(draw(seeds)).integers(1, 1 << bits, len(spikes))
        spikes = replace(spikes, value=values)
    return graph, spikes


def assert_same_run(got, expected):
    """Same spikes, counts, state and probes."""
    assert_same_spikes(got, expected)
    assert got.connections == expected.connections
    for name, cells in expected.state.cells.items():
        assert set(got.state.cells[name]) == set(cells)
        for variable, values in cells.items():
            assert got.state.cells[name][variable].dtype == values.dtype
            assert np.array_equal(got.state.cells[name][variable], values)
    for name, sent in expected.state.recent.items():
        for mine, theirs in zip(got.state.recent[name], sent, strict=True):
            assert np.array_equal(mine.neuron, theirs.neuron)
            assert (mine.value is None) == (theirs.value is None)
            assert theirs.value is None or np.array_equal(mine.value, theirs.value)
    for name, variables in expected.probed.items():
        for variable, values in variables.items():
            assert got.probed[name][variable].dtype == values.dtype
            assert np.array_equal(got.probed[name][variable], values)


def outcome(backend, graph, spikes, state=None, probes=()):
    """A trace, or the error that all backends must raise alike."""
    try:
        return get_backend(backend).run(graph, spikes, state, probes=probes)
    except BackendError as error:
        return str(error)


def assert_same_outcome(got, expected):
    if isinstance(expected, str):
        assert got == expected
    else:
        assert_same_run(got, expected)


def everything(graph):
    """Probes of all there is."""
    return [probe(p.name, (*p.variables, "s")) for p in graph.network.populations]


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
    assert_pieces_equal_whole(*run, cuts)


def assert_pieces_equal_whole(graph, spikes, cuts, backends=("fast",)):
    state, parts = None, []
    borders = [0, *sorted(cuts), spikes.n_ticks]
    for i, (start, stop) in enumerate(pairwise(borders)):
        backend = get_backend(backends[i % len(backends)])
        parts.append(backend.run(graph, spikes.between(start, stop), state))
        state = parts[-1].state
    assert_same_run(Trace.join(parts), get_backend("fast").run(graph, spikes))


@settings(max_examples=80)
@given(rich_runs(n_ticks=40), st.booleans())
def test_fast_equals_reference_with_every_feature(run, probing):
    graph, spikes = run
    probes = everything(graph) if probing else ()
    got, expected = (outcome(name, graph, spikes, probes=probes) for name in ("fast", "reference"))
    assert_same_outcome(got, expected)


@settings(max_examples=40)
@given(rich_runs(n_ticks=30), st.lists(st.integers(0, 30), max_size=4))
def test_pieces_on_fast_and_reference_in_turn_equal_the_whole(run, cuts):
    graph, spikes = run
    if not isinstance(outcome("reference", graph, spikes), str):
        assert_pieces_equal_whole(graph, spikes, cuts, ("fast", "reference"))


@settings(max_examples=10)
@given(rich_graphs(), st.lists(rates, max_size=4))
def test_a_batch_equals_one_by_one(graph, chosen):
    trains = [random_input(N_INPUTS, rate, i, 30) for i, rate in enumerate(chosen)]
    backend = get_backend("fast")
    try:
        traces = [backend.run(graph, spikes) for spikes in trains]
    except BackendError:
        with pytest.raises(BackendError, match="left 24 bits"):
            backend.run_batch(graph, trains)
        return
    for got, expected in zip(backend.run_batch(graph, trains), traces, strict=True):
        assert_same_run(got, expected)


@settings(max_examples=12)
@given(runs(n_ticks=25, precisions=(Precision.FLOAT64, Precision.FLOAT32)))
def test_snntorch_equals_reference(run):
    graph, spikes = run
    assert_same_run(
        get_backend("snntorch").run(graph, spikes), get_backend("reference").run(graph, spikes)
    )
