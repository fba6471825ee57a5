"""The detector as a graph: populations, synapses, signs, bounds; and its small sibling."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.frontend.detector import DetectorConfig, change_detector, neurons_of
from neurovlm.spiking import nir_io

PIXELS, SIDE = 126, 14
PATCHES = SIDE * SIDE


@pytest.fixture(scope="module")
def graph():
    return change_detector()


def test_populations_and_their_shapes(graph):
    patches = (1, SIDE, SIDE)
    assert {p.name: p.shape for p in graph.network.populations} == {
        "F": (1, PIXELS, PIXELS),
        **dict.fromkeys("DRAH", patches),
        "C": (1, 1, 1),
    }
    assert neurons_of(graph) == PIXELS**2 + 4 * PATCHES + 1
    assert graph.network.input_shape == (2, PIXELS, PIXELS)
    assert graph.network.output == "H"


def test_it_is_valid_nir_of_stock_nodes(graph, tmp_path):
    kinds = {type(node) for node in graph.nir.nodes.values()}
    assert kinds == {nir.Input, nir.Output, nir.CubaLIF, nir.Conv2d, nir.Scale}
    nir.NIRGraph(graph.nir.nodes, graph.nir.edges, type_check=True)
    nir_io.save(graph, tmp_path / "detector.nir")
    assert nir_io.load(tmp_path / "detector.nir").hash == graph.hash


def neighbours(side):
    """Ordered pairs of neighbours (of eight) on a square, counted axis by axis."""
    within_one = 3 * side - 2
    return within_one**2 - side**2


def test_synapses_are_counted_exactly_at_borders(graph):
    assert {c.name: c.synapses for c in graph.network.connections} == {
        "input_F": 2 * neighbours(PIXELS),
        "F_D": PIXELS**2,
        "D_D_ring": neighbours(SIDE),
        **dict.fromkeys(("D_D_self", "D_R", "R_D", "D_A", "A_D", "D_H", "H_D"), PATCHES),
        "D_C": PATCHES,
        "C_D": PATCHES,
    }


def test_every_connection_has_one_sign(graph):
    inhibitory = set()
    for c in graph.network.connections:
        signs = np.unique(np.sign(c.matrix.data))
        assert len(signs) == 1
        if signs[0] < 0:
            inhibitory.add(c.name)
    assert inhibitory == {"D_D_self", "R_D", "A_D", "C_D"}


def test_depth_is_three_connections(graph):
    assert graph.network.depth == 3


def test_each_filter_neuron_sees_its_neighbours_in_both_polarities_but_not_itself(graph):
    (connection,) = (c for c in graph.network.connections if c.name == "input_F")
    row, column = 50, 70
    weights = connection.matrix[[row * PIXELS + column]].toarray().reshape(2, PIXELS, PIXELS)
    around = np.zeros((PIXELS, PIXELS))
    around[row - 1 : row + 2, column - 1 : column + 2] = DetectorConfig().filter_weight
    around[row, column] = 0
    assert np.array_equal(weights, [around, around])


def test_each_detector_sums_the_pixels_of_its_patch(graph):
    (connection,) = (c for c in graph.network.connections if c.name == "F_D")
    weights = connection.matrix.toarray().reshape(PATCHES, 1, PIXELS, PIXELS)
    own = PatchGrid().to_patches(weights)  # (patch, cut, pixel)
    assert np.array_equal(own.sum(axis=2), 81 * DetectorConfig().detector_weight * np.eye(PATCHES))


def test_another_grid_scales_along():
    graph = change_detector(grid=PatchGrid(side=4, patch=5))
    assert graph.network.population("F").shape == (1, 20, 20)
    assert graph.network.population("H").shape == (1, 4, 4)


def test_a_configuration_whose_current_could_wrap_is_refused():
    with pytest.raises(GraphError, match="node 'C': u could reach"):
        change_detector(replace(DetectorConfig(), cap_in=255, cap_tau_ms=100.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"readout_tau_ms": 0.5}, r"detector\.readout_tau_ms must be 1 to 4096 ms, got 0\.5"),
        ({"adapt_tau_ms": 5000.0}, r"detector\.adapt_tau_ms must be 1 to 4096 ms, got 5000"),
        ({"relay_weight": -3}, r"detector\.relay_weight must not be negative, got -3"),
    ],
)
def test_bad_constants_are_named(change, message):
    with pytest.raises(UsageError, match=message):
        DetectorConfig(**change)


def test_every_constant_reaches_the_graph(graph):
    config = DetectorConfig()
    for name, value in vars(config).items():
        more = 1.5 * value if name.endswith("_tau_ms") else value + 1
        other = change_detector(replace(config, **{name: more}))
        assert other.hash != graph.hash, name
