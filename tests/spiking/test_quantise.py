"""Laws of quantising: what is kept, what is bounded, what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.events.scenes.simple import moving_square
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.contract import CASES, layered, neurons, random_input
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.encoding import encode_events, grid_for
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.fixed_point import LIMIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.loihi import check_loihi, peak_current, weight_form
from neurovlm.spiking.nir_io import load, save
from neurovlm.spiking.quantise import compare, quantise

DT = 1e-3
FLOAT = Dynamics(precision="float64")


def effective(graph):
    """All weights between each pair of populations, and their delays, whatever the nodes."""
    matrices, delays = {}, {}
    for c in graph.network.connections:
        key = (c.source, c.target)
        matrices[key] = matrices.get(key, 0) + c.matrix.toarray()
        delays.setdefault(key, set()).add(tuple(c.delay))
    return matrices, delays


def assert_rounded(graph, result):
    """Every integer is the scaled number, rounded; every weight to the grid of its node."""
    check_loihi(result.graph.network)
    assert result.graph.dynamics.precision is Precision.LOIHI
    assert result.twin.dynamics.precision is Precision.FLOAT64
    assert result.twin.nir is result.graph.nir
    (before, delays), (after, new_delays) = effective(graph), effective(result.graph)
    assert new_delays == delays
    grids = {}
    for q in result.populations.values():
        for part in q.parts:
            key = (part.connection.source, part.connection.target)
            grids[key] = max(grids.get(key, 1), part.grid)
    assert after.keys() == before.keys()
    for (source, target), matrix in before.items():
        k = result.populations[target].scale
        error = np.abs(after[source, target] - k * matrix)
        assert error.max() <= grids[source, target] / 2 + 1e-6 * np.abs(k * matrix).max()
    for p in graph.network.populations:
        k, q = result.populations[p.name].scale, result.graph.network.population(p.name)
        assert (q.kind, q.refractory, q.shape) == (p.kind, p.refractory, p.shape)
        for name in ("threshold", "bias", "step"):
            gap = np.abs(np.asarray(getattr(q, name)) - k * np.asarray(getattr(p, name)))
            assert gap.max() <= 0.5 + 1e-6
        for name in ("loss_u", "loss_v", "loss_w"):
            got, exact = np.asarray(getattr(q, name)), np.asarray(getattr(p, name))
            assert np.array_equal(got, np.rint(got))
            assert np.abs(got - exact).max() <= (0.5 if name != "loss_v" else 1)
        peak = peak_current(result.graph.network, q).max()
        assert peak < LIMIT
        assert result.populations[p.name].peak == pytest.approx(peak / LIMIT)


def random_layer(n=48, du=1023.0, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    weights = scale * rng.normal(0, 1, (n, n))
    return layered(
        {"w": ("input", "n", weights)}, {"n": cells(n, du, 123.4, scale * 6.3)}, "n", FLOAT
    )


def cells(n, du, dv, vth):
    return neurons(n, du=du, dv=dv, vth=vth)


@pytest.mark.parametrize("case", [c for c in CASES if len(c.precisions) > 1], ids=lambda c: c.name)
def test_an_integral_graph_keeps_its_spikes(case):
    graph, spikes = case.build()
    result = quantise(graph.with_precision("float64"))
    assert all(q.scale == 1 and q.error == 0 for q in result.populations.values())
    rows = compare(graph.with_precision("loihi"), result.graph, spikes.between(0, 200))
    assert any(row.spikes[0] for row in rows)
    assert all(row.differing == 0 for row in rows)


def test_the_change_detector_keeps_its_spikes():
    clip = moving_square(duration_s=0.2).stream
    graph = change_detector()
    grid = grid_for(graph.network.input_shape, clip.sensor, "crop")
    spikes = encode_events(clip, grid, channels=2, t0_us=0, n_ticks=200, dt_us=1000)
    result = quantise(change_detector(precision="float64"))
    rows = compare(graph, result.graph, spikes)
    assert sum(row.spikes[0] for row in rows) > 1000
    assert all(row.differing == 0 for row in rows)
    kinds = {type(node) for node in result.graph.nir.nodes.values()}
    assert kinds <= {type(node) for node in graph.nir.nodes.values()} | {nir.Flatten}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    du=st.floats(1, 4095),
    dv=st.floats(0.6, 4096),
    vth=st.floats(1e-3, 1e3),
    magnitude=st.floats(-6, 6),
    spread=st.floats(0, 3),
    bits=st.integers(3, 8),
    bias=st.booleans(),
)
def test_whatever_the_numbers_the_result_fits_loihi(
    seed, du, dv, vth, magnitude, spread, bits, bias
):
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.normal(0, 1, shape) * 10 ** (magnitude + spread * rng.normal(0, 0.3))

    n = 7
    nodes = {
        "input": nir.Input({"input": np.array([5])}),
        "in": nir.Affine(weights(n, 5), bias * weights(n) * 0.01),
        "own": nir.Linear(weights(n, n)),
        "n": cells(n, du, dv, vth * 10**magnitude),
        "output": nir.Output({"output": np.array([n])}),
    }
    edges = [("input", "in"), ("in", "n"), ("n", "own"), ("own", "n"), ("n", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges), FLOAT)
    try:
        result = quantise(graph, weight_bits=bits)
    except GraphError as error:
        assert "round to 0" in str(error)
        return
    assert_rounded(graph, result)
    for c in result.graph.network.connections:
        form = weight_form(c)
        assert not (np.abs(form.mantissa) % (1 << (8 - bits))).any()


@pytest.mark.parametrize("power", [-9, 3, 20])
def test_the_scale_of_the_float_graph_does_not_matter(power):
    one, other = (quantise(random_layer(scale=s)) for s in (1.0, 2.0**power))
    assert one.graph.hash == other.graph.hash
    assert one.populations["n"].scale == other.populations["n"].scale * 2**power


@pytest.mark.parametrize("du", [4095.0, 1023.0])
def test_the_twin_knows_what_the_integers_will_do(du):
    """Published: 1-2 % of slots differ from plain float, at most 0.02 % from the twin."""
    graph, spikes = random_layer(du=du), random_input(48, 0.05, 1, 1000)
    result = quantise(graph)
    (plain,), (twin,) = (compare(g, result.graph, spikes) for g in (graph, result.twin))
    assert plain.spikes[0] > 500
    assert twin.share <= 2e-4
    assert twin.share < plain.share < 0.03


def test_fewer_bits_differ_more():
    graph, spikes = random_layer(), random_input(48, 0.05, 1, 1000)
    shares = [
        compare(graph, quantise(graph, weight_bits=b).graph, spikes)[0].share for b in (8, 5, 2)
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[2]


def test_every_linear_node_and_neuron(chain):
    graph = chain.build(chain.nodes())
    for number, value in enumerate((0.37, 1.9, 0.011)):
        nodes = chain.nodes()
        rng = np.random.default_rng(number)
        nodes["conv"].weight = rng.normal(0, value, nodes["conv"].weight.shape)
        nodes["conv"].bias = np.array([0.1 * value])
        nodes["linear"].weight = rng.normal(0, value, nodes["linear"].weight.shape)
        nodes["if"].v_threshold = nodes["if"].v_threshold * value / 10
        nodes["lif"].v_threshold = nodes["lif"].v_threshold * value
        nodes["cuba"].v_threshold = nodes["cuba"].v_threshold * value
        graph = chain.build(nodes)
        result = quantise(graph)
        assert_rounded(graph, result)
        kinds = {type(node) for node in result.graph.nir.nodes.values()}
        assert kinds == {
            nir.Input, nir.Output, nir.Conv2d, nir.IF, nir.LIF, nir.CubaLIF, nir.Flatten,
            nir.Linear, nir.Affine,
        }  # fmt: skip


def small(between, *, cell=None, shape=(2, 4, 4), extension=None, dynamics=FLOAT):
    """Input -> ``between`` in a chain -> neurons -> output."""
    steps = list(between)
    chain = ["input", *(f"s{i}" for i in range(len(steps))), "n", "output"]
    nodes = {f"s{i}": step for i, step in enumerate(steps)}
    nodes["input"] = nir.Input({"input": np.array(shape)})
    cell = nir.IF(np.full(4, 1 / DT), np.full(4, 2.3)) if cell is None else cell
    nodes["n"] = cell
    nodes["output"] = nir.Output({"output": np.array(cell.r.shape)})
    edges = list(pairwise(chain))
    extensions = {"n": extension} if extension else {}
    return SpikingGraph(nir.NIRGraph(nodes, edges, type_check=False), dynamics, "small", extensions)


TWO = np.array([2, 2])
RNG = np.random.default_rng(3)
CONV = nir.Conv2d((4, 4), RNG.normal(0, 1, (3, 2, 2, 2)), 2, 0, 1, 1, RNG.normal(0, 0.2, 3))
POOLED = nir.IF(np.full((2, 2, 2), 1 / DT), np.full((2, 2, 2), 2.3))
CONVOLVED = nir.IF(np.full((3, 2, 2), 1 / DT), np.full((3, 2, 2), 2.3))
POOL = nir.AvgPool2d(TWO, TWO, 0 * TWO)
PADDED = nir.Conv2d((2, 2), RNG.normal(0, 1, (3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3))
PLAIN = nir.Conv2d((4, 4), RNG.normal(0, 1, (3, 2, 2, 2)), 1, 0, 2, 1, RNG.normal(0, 0.2, 3))
MAPS = nir.IF(900 * np.ones((3, 2, 2)), np.ones((3, 2, 2)))
FULL = np.ones((2, 4, 4))
PIXELS = nir.IF(900 * FULL, 2.3 * FULL)
BY_CHANNEL = nir.Scale(RNG.uniform(0.5, 2, 3)[:, None, None] * np.ones((3, 2, 2)))
EACH = nir.Scale(RNG.uniform(0.5, 2, (3, 2, 2)))


@pytest.mark.parametrize(
    ("between", "cell", "kinds"),
    [
        ([CONV], CONVOLVED, {nir.Conv2d}),
        ([nir.SumPool2d(TWO, TWO, 0 * TWO)], POOLED, {nir.Conv2d}),
        ([nir.AvgPool2d(TWO, TWO, 0 * TWO)], POOLED, {nir.Conv2d}),
        ([CONV, BY_CHANNEL], CONVOLVED, {nir.Conv2d}),
        ([nir.Scale(RNG.normal(0, 1, (2, 4, 4)))], PIXELS, {nir.Scale}),
        ([], nir.LI(9 * DT * FULL, 9 * FULL, 0 * FULL), {nir.Scale}),
        ([POOL, PADDED], MAPS, {nir.Conv2d}),
        ([PLAIN, POOL], nir.IF(900 * np.ones((3, 1, 1)), np.ones((3, 1, 1))), {nir.Conv2d}),
        ([nir.Delay(np.full((2, 4, 4), 3 * DT)), CONV], CONVOLVED, {nir.Delay, nir.Conv2d}),
    ],
    ids=[
        "conv", "sum-pool", "average-pool", "conv-scale", "scale", "direct", "pool-conv",
        "conv-pool", "delay",
    ],
)  # fmt: skip
def test_nodes_stay_small(between, cell, kinds):
    """Convolutions stay convolutions, pools become some, chains of several become one matrix."""
    graph = small(between, cell=cell)
    result = quantise(graph)
    assert_rounded(graph, result)
    nodes = result.graph.nir.nodes
    assert {type(v) for k, v in nodes.items() if k not in ("input", "n", "output")} == kinds


def test_refractory_and_adaptive_neurons():
    extension = Extension(refractory_s=2 * DT, adapt_tau_s=33.3 * DT, adapt_step=1.7)
    rng = np.random.default_rng(2)
    graph = small([nir.Linear(rng.normal(0.2, 1, (4, 6)))], shape=(6,), extension=extension)
    result = quantise(graph)
    assert_rounded(graph, result)
    assert result.graph.extensions["n"].refractory_s == 2 * DT
    spikes = random_input(6, 0.3, 7, 2000)
    (plain,), (twin,) = (compare(g, result.graph, spikes) for g in (graph, result.twin))
    assert plain.spikes[0] > 300
    assert twin.share <= plain.share < 0.03


def test_a_flood_of_weights_lowers_the_scale_until_u_cannot_wrap():
    weights = np.random.default_rng(1).uniform(0.5, 1, (3, 400))
    graph = layered({"w": ("input", "n", weights)}, {"n": cells(3, 40.0, 50.0, 200.0)}, "n", FLOAT)
    result = quantise(graph)
    assert_rounded(graph, result)
    assert 0.2 < result.populations["n"].peak < 1
    free = replace(graph, dynamics=replace(FLOAT, allow_wrap=True))
    assert quantise(free).populations["n"].scale > result.populations["n"].scale


def test_the_file_gives_the_same_graph(tmp_path):
    result = quantise(random_layer())
    save(result.graph, tmp_path / "q.nir")
    assert load(tmp_path / "q.nir").hash == result.graph.hash


ONE = np.ones((1, 1))
IF1 = nir.IF(np.array([1 / DT]), np.array([5.0]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layer(ONE, vth=1e7), "node 'w': all its weights round to 0: .* node 'n'"),
        (lambda: layer(ONE, vth=-3.3), "node 'n': Loihi thresholds are at least 0, got -3.3"),
        (lambda: layer(ONE, du=-0.9), "node 'n': tau_syn is so long"),
        (
            lambda: small(
                [nir.Linear(ONE)],
                cell=IF1,
                shape=(1,),
                extension=Extension(adapt_tau_s=20.0, adapt_step=1),
            ),
            "node 'n': adapt_tau_s is so long",
        ),
        (lambda: small([CONV, EACH], cell=CONVOLVED), r"'s0\+s1': one matrix .* shape \(3, 2, 2\)"),
        (
            lambda: small(
                [nir.Linear(301 * ONE)], cell=IF1, shape=(1,), extension=Extension(encoding="delta")
            ),
            "node 'n': delta neurons count in whole numbers",
        ),
    ],
)
def test_what_cannot_be_done_is_said(build, message):
    with pytest.raises(GraphError, match=message):
        quantise(build())


def test_a_chain_is_not_merged_into_a_matrix_of_any_size(monkeypatch):
    monkeypatch.setattr("neurovlm.spiking.quantise.nodes._MAX_DENSE", 100)
    graph = layered({"w": ("input", "n", np.ones((10, 11)))}, {"n": cells(10, 9, 9, 9)}, "n", FLOAT)
    with pytest.raises(GraphError, match=r"node 'w': .* a dense matrix of 10 x 11; write it as"):
        quantise(graph)


def layer(weights, du=900.0, dv=99.5, vth=2.5):
    n = len(weights)
    return layered({"w": ("input", "n", weights)}, {"n": cells(n, du, dv, vth)}, "n", FLOAT)


@pytest.mark.parametrize("bits", [0, 9])
def test_bits_outside_a_mantissa(bits):
    with pytest.raises(UsageError, match=f"weight_bits must be 1 to 8, got {bits}"):
        quantise(random_layer(), weight_bits=bits)


def test_compare_counts_slots_by_hand():
    """Threshold 1 fires for each spike of weight 2, threshold 3 for the second of two in a row."""
    spikes = random_input(1, 0.5, 4, 40)
    low, high = (
        layered({"w": ("input", "n", 2 * ONE)}, {"n": cells(1, 4095, 0.0001, vth)}, "n", FLOAT)
        for vth in (1, 3)
    )
    fired = spikes.dense()[:-1, 0]
    (row,) = compare(low, high, spikes)
    n = int(fired.sum())
    assert row.spikes == (n, n // 2)
    assert row.differing == n - n // 2
    assert row.share == row.differing / 40
    other = layered({"w": ("input", "m", ONE)}, {"m": cells(1, 9, 9, 1)}, "m", FLOAT)
    with pytest.raises(UsageError, match="compare: the populations differ"):
        compare(low, other, spikes)
