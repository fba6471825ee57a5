"""NIR files: nothing is lost on the way, and bad files are refused."""

from __future__ import annotations

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
    for name, content in {"empty": b"", "text": b"hello", "hdf": b"\x89HDF\r\n\x1a\n"}.items():
        path = tmp_path / f"{name}.nir"
        path.write_bytes(content)
        assert "cannot be read as a NIR graph" in refused(path)
    whole = tmp_path / "whole.nir"
    nir_io.save(chain.build(chain.nodes()), whole)
    cut = tmp_path / "cut.nir"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "cannot be read as a NIR graph" in refused(cut)


def test_damaged_metadata_is_refused(tmp_path):
    graph, _ = CASES[0].build()
    path = tmp_path / "g.nir"
    for note in ("{", '{"name": "x"}', '{"name": "x", "dynamics": {"no_such_field": 1}}'):
        nir.write(
            str(path),
            nir.NIRGraph(graph.nir.nodes, graph.nir.edges, metadata={"neurovlm": note}),
        )
        assert "metadata 'neurovlm' is damaged" in refused(path)


def test_a_graph_that_is_refused_names_the_file(tmp_path):
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "th": nir.Threshold(np.ones(2)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = tmp_path / "th.nir"
    nir.write(str(path), nir.NIRGraph(nodes, [("input", "th"), ("th", "output")]))
    assert "node 'th': no backend runs a Threshold" in refused(path, GraphError)
