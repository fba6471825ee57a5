"""``convert``: what was done, what was assumed, and whether the spikes stayed the same."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Precision

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nir"
NORSE, SNNTORCH = FIXTURES / "norse_lif.nir", FIXTURES / "snntorch_leaky.nir"


def test_a_file_of_another_tool_becomes_ours(call, tmp_path):
    out = tmp_path / "ours.nir"
    done = call("convert", NORSE, out, "--from", "norse")
    assert done.code == 0, done.err
    assert f"{out}: populations 1 10, 3 8; 200 synapses" in done.out
    assert "output 2 ticks after the tool's" in done.out
    assert "note: the file names no reset" in done.out
    assert "self-test, graph read: 0 of 1920 slots differ from norse" in done.out
    assert nir_io.load(out).hash == nir_io.load(NORSE, dialect="norse").hash
    assert "to_nir writes it" in nir_io.note_of(out).notes[0]


def test_json_holds_the_same_and_both_self_tests(call, tmp_path):
    out = tmp_path / "norse.nir"
    done = call(
        "convert", SNNTORCH, out, "--from", "snntorch", "--reset", "zero", "--to", "norse", "--json"
    )
    told = json.loads(done.out)
    assert [(t["tool"].split()[0], t["differing"], t["equal"]) for t in told["tests"]] == [
        ("snntorch", 0, True),
        ("norse", 0, True),
    ]
    assert told["lag_ticks"] == 2
    assert list(tmp_path.iterdir()) == [out]
    assert set(nir.read(str(out)).nodes) == {"input", "0", "1", "2", "3", "output"}


def test_quantised_graphs_are_loihis_and_say_what_changed(call, tmp_path):
    out = tmp_path / "ours.nir"
    done = call("convert", NORSE, out, "--from", "norse", "--quantise")
    assert done.code == 0, done.err
    assert done.out.count("note: quantised: ") == 2
    assert nir_io.load(out).dynamics.precision is Precision.LOIHI


def test_a_plain_file_is_read_in_euler_steps(call, tmp_path):
    source, out = tmp_path / "plain.nir", tmp_path / "ours.nir"
    one = np.ones(2)
    lif = nir.LIF(8e-3 * one, 8 * one, 0 * one, 1.5 * one)
    nir.write(str(source), nir.NIRGraph.from_list(nir.Linear(np.full((2, 2), 0.7)), lif))
    done = call("convert", source, out, "--dt-ms", 2)
    assert "note: read in Euler steps of 2 ms, no tool was named" in done.out
    back = nir_io.load(out)
    assert (back.dynamics.dt_s, back.dynamics.precision) == (2e-3, Precision.FLOAT64)
    again = call("convert", out, tmp_path / "again.nir")
    assert again.code == 0
    assert nir_io.load(tmp_path / "again.nir").hash == back.hash


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([SNNTORCH, "--from", "snntorch"], 2, "confirm with reset='zero' (--reset zero)"),
        ([NORSE, "--from", "nengo"], 2, "Nengo has no NIR writer"),
        ([NORSE, "--from", "norse", "--to", "sinabs"], 2, "written for snntorch, norse, got"),
        ([FIXTURES / "norse_leak.nir", "--from", "norse"], 2, "node '1': v_leak must be 0"),
        ([FIXTURES / "manifest.json", "--from", "norse"], 3, "is no HDF5 file"),
        ([NORSE, "--reset", "zero"], 2, "reset and norm_input are for files of other tools"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(arguments, code, message, call, tmp_path):
    done = call("convert", arguments[0], tmp_path / "o.nir", *arguments[1:])
    assert done.code == code
    assert message in done.message
    assert not list(tmp_path.iterdir())


def test_the_source_is_not_overwritten(call, tmp_path):
    path = tmp_path / "net.nir"
    path.write_bytes(NORSE.read_bytes())
    done = call("convert", path, path, "--from", "norse")
    assert "would overwrite its source" in done.message
    assert path.read_bytes() == NORSE.read_bytes()


def test_simulate_takes_files_of_other_tools(call, recording, tmp_path):
    out = tmp_path / "trace.npz"
    graph = FIXTURES / "snntorch_conv.nir"
    options = ["--graph", graph, "--from", "snntorch", "--reset", "zero", "--json"]
    done = call("simulate", recording, "--out", out, *options)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["dynamics"]["dt_s"] == 1e-4
    assert told["populations"]["4"]["spikes"] > 0
    refused = call("simulate", recording, "--out", out, "--from", "norse")
    assert "--from, --reset and --norm-input are for NIR files" in refused.message
