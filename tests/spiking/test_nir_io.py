"""NIR files: nothing is lost on the way, and bad files are refused."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest

from neurovlm.core.errors import GraphError, InputFileError
from neurovlm.spiking import nir_io
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.contract import CASES, random_input
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.linear import LINEAR_NODES
from neurovlm.spiking.neurons import FIRING_NODES


def round_trip(graph, path, **options):
    nir_io.save(graph, path)
    return nir_io.load(path, **options)


def test_the_chain_holds_every_supported_node(chain):
    kinds = {type(node) for node in chain.nodes().values()}
    assert kinds >= {*FIRING_NODES, *LINEAR_NODES, nir.Input, nir.Output} - {nir.AvgPool2d}


def test_every_node_type_survives(chain, tmp_path):
    graph = chain.build(chain.nodes())
    back = round_trip(graph, tmp_path / "g.nir")
    assert (back.hash, back.dynamics, back.name) == (graph.hash, graph.dynamics, graph.name)
    spikes = random_input(32, 0.5, 1, n_ticks=120)
    run = get_backend("reference").run
    before, after = run(graph, spikes), run(back, spikes)
    assert len(before.out), "a silent graph proves nothing"
    assert before.out.differing(after.out) == 0


@pytest.mark.parametrize("padding", ["same", "valid", (1, 2)], ids=str)
def test_padding_of_either_kind_survives(padding, tmp_path):
    kernel = np.ones((1, 1, 3, 3))
    rows = {"same": (5, 6), "valid": (3, 4), (1, 2): (5, 8)}[padding]
    nodes = {
        "input": nir.Input({"input": np.array([1, 5, 6])}),
        "c": nir.Conv2d((5, 6), kernel, 1, padding, 1, 1, np.zeros(1)),
        "n": nir.IF(np.full((1, *rows), 1e3), np.ones((1, *rows)), np.zeros((1, *rows))),
        "output": nir.Output({"output": np.array([1, *rows])}),
    }
    edges = [("input", "c"), ("c", "n"), ("n", "output")]
    graph = SpikingGraph(nir.NIRGraph(nodes, edges, type_check=False))
    back = round_trip(graph, tmp_path / "g.nir")
    assert back.hash == graph.hash
    got, expected = (g.network.connections[0].matrix for g in (back, graph))
    assert (got != expected).nnz == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract_graphs_survive(case, tmp_path):
    graph, _ = case.build()
    assert round_trip(graph, tmp_path / "g.nir").hash == graph.hash


def test_dynamics_can_be_overridden(chain, tmp_path):
    other = Dynamics(dt_s=5e-4, precision="float32")
    back = round_trip(chain.build(chain.nodes()), tmp_path / "g.nir", dynamics=other)
    assert back.dynamics == other


def test_a_file_of_another_writer_gets_one_millisecond_and_its_own_name(chain, tmp_path):
    path = tmp_path / "theirs.nir"
    graph, _ = CASES[0].build()
    nir.write(str(path), graph.nir)
    back = nir_io.load(path)
    assert (back.name, back.dynamics) == ("theirs", Dynamics())
    assert back.hash == graph.hash


def refused(path, error=InputFileError):
    with pytest.raises(error) as caught:
        nir_io.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_empty_foreign_and_cut_files(chain, tmp_path):
    assert "no such NIR file" in refused(tmp_path / "none.nir")
    assert "no such NIR file" in refused(tmp_path)
    for name, content in {"empty": b"", "text": b"hello"}.items():
        path = tmp_path / f"{name}.nir"
        path.write_bytes(content)
        assert "is no HDF5 file" in refused(path)
    whole = tmp_path / "whole.nir"
    nir_io.save(chain.build(chain.nodes()), whole)
    content = whole.read_bytes()
    for kept in (8, len(content) // 2, len(content) - 100):
        cut = tmp_path / "cut.nir"
        cut.write_bytes(content[:kept])
        assert "is cut off or damaged" in refused(cut)


def test_hdf5_of_something_else_is_refused(tmp_path):
    path = tmp_path / "table.nir"
    with h5py.File(path, "w") as file:
        file["weights"] = np.ones(3)
    assert "is an HDF5 file but no NIR graph (it holds weights)" in refused(path)
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.8"
        file["node/type"] = "NIRGraph"
    assert "cannot be read as a NIR graph" in refused(path)
    nir.write(str(path), nir.Linear(np.eye(2)))
    assert "holds one Linear and no graph" in refused(path)


def test_nodes_of_a_later_nir_are_named_with_both_versions(tmp_path):
    graph, _ = CASES[0].build()
    path = tmp_path / "later.nir"
    nir_io.save(graph, path)
    with h5py.File(path, "r+") as file:
        del file["version"], file["node/nodes/a/type"]
        file["version"] = "2.7.1"
        file["node/nodes/a/type"] = "AdaptiveLIF"
    message = refused(path)
    assert f"holds AdaptiveLIF, which nir {nir.version} does not know" in message
    assert "written with nir 2.7.1: update with pip install -U nir" in message


def test_a_node_with_unknown_or_missing_fields_names_both_versions(tmp_path):
    graph, _ = CASES[0].build()
    path = tmp_path / "g.nir"
    nir_io.save(graph, path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/a/tau_mem"]
        del file["version"]
        file["version"] = "0.9"
    message = refused(path)
    assert "tau_mem" in message
    assert f"written with nir 0.9, read with nir {nir.version}" in message


def test_a_graph_that_is_refused_names_the_file(tmp_path):
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "th": nir.Threshold(np.ones(2)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = tmp_path / "th.nir"
    nir.write(str(path), nir.NIRGraph(nodes, [("input", "th"), ("th", "output")]))
    assert "node 'th': no backend runs a Threshold" in refused(path, GraphError)
