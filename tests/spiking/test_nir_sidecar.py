"""What NIR cannot say survives in metadata and in a sidecar, and a wrong sidecar is refused."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest

from neurovlm.core.errors import InputFileError
from neurovlm.spiking import nir_io
from neurovlm.spiking.contract import neurons
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.sidecar import sidecar_of

DT = 1e-3


def extended() -> SpikingGraph:
    """Delay, average pool, refractory and adaptive neurons, an encoder and an integrator."""
    pixels = (1, 2, 2)
    nodes = {
        "input": nir.Input({"input": np.array([1, 4, 4])}),
        "wait": nir.Delay(np.full((1, 4, 4), 3 * DT)),
        "four": nir.Scale(np.full((1, 4, 4), 4.0)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "delta": nir.IF(np.full(pixels, 1 / DT), np.full(pixels, 2.0)),
        "flat": nir.Flatten({"input": np.array(pixels)}, 0, -1),
        "w": nir.Linear(np.arange(12.0).reshape(3, 4)),
        "n": neurons(3, du=900, dv=400, vth=30),
        "read": nir.Linear(np.ones((2, 3))),
        "out": nir.CubaLI(*(np.full(2, value) for value in (4 * DT, 9 * DT, 2.0, 0.0, 3.0))),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    extensions = {
        "input": Extension(message_bits=5),
        "delta": Extension(encoding="delta"),
        "n": Extension(refractory_s=2 * DT, adapt_tau_s=20 * DT, adapt_step=7.5),
        "out": Extension(),
    }
    dynamics = Dynamics(dt_s=DT, precision="float32", allow_wrap=True)
    edges = list(pairwise(names))
    return SpikingGraph(nir.NIRGraph(nodes, edges), dynamics, "all of it", extensions)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "g.nir"
    nir_io.save(extended(), path, notes=("tau was read in steps",))
    return path


def without_metadata(path):
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]


@pytest.mark.parametrize("keep", ["both", "sidecar", "metadata"])
def test_extensions_and_dynamics_survive_in_either_place(saved, keep):
    if keep == "sidecar":
        without_metadata(saved)
    if keep == "metadata":
        sidecar_of(saved).unlink()
    back, graph = nir_io.load(saved), extended()
    assert (back.hash, back.dynamics, back.name) == (graph.hash, graph.dynamics, graph.name)
    assert {n: e for n, e in back.extensions.items() if e != Extension()} == {
        n: e for n, e in graph.extensions.items() if e != Extension()
    }
    assert nir_io.note_of(saved).notes == ("tau was read in steps",)


def test_without_either_the_plain_neurons_are_left(saved):
    without_metadata(saved)
    sidecar_of(saved).unlink()
    back = nir_io.load(saved, Dynamics(precision="float64"))
    assert not back.extensions
    assert back.network.population("n").refractory == 0
    assert nir_io.dynamics_of(saved) == Dynamics()


def test_the_file_is_valid_nir_without_us(saved):
    graph = nir.read(str(saved))  # with NIR's own type check
    assert set(graph.nodes) == set(extended().nir.nodes)


def test_nir_before_v_reset_can_read_it_too(saved):
    """The field came with NIR 1.0.6; earlier versions refuse fields they do not know."""
    fields = []
    with h5py.File(saved) as file:
        file["node"].visit(fields.append)
    assert [f for f in fields if f.endswith("v_threshold")]
    assert not [f for f in fields if f.endswith("v_reset")]


def test_a_person_can_read_the_sidecar(saved):
    told = json.loads(sidecar_of(saved).read_text())
    assert told["dynamics"] == Dynamics(precision="float32", allow_wrap=True).to_dict()
    assert told["extensions"]["delta"] == {"encoding": "delta"}
    assert told["units"]["time"] == "seconds"


def test_an_edited_sidecar_rules(saved):
    sidecar = sidecar_of(saved)
    told = json.loads(sidecar.read_text())
    told["dynamics"]["precision"] = "float64"
    sidecar.write_text(json.dumps(told))
    assert nir_io.load(saved).dynamics.precision == "float64"


def refused(path):
    with pytest.raises(InputFileError) as caught:
        nir_io.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_sidecar_of_another_graph_is_refused(saved, tmp_path):
    nodes = extended().nir.nodes | {"w": nir.Linear(np.arange(12.0).reshape(3, 4) + 1)}
    whole = nir.NIRGraph(nodes, extended().nir.edges)
    other = dataclasses.replace(extended(), name="other", nir=whole)
    nir_io.save(other, tmp_path / "other.nir")
    sidecar_of(saved).write_text(sidecar_of(tmp_path / "other.nir").read_text())
    message = refused(saved)
    assert str(sidecar_of(saved)) in message
    assert f"belongs to another graph ({other.name!r}" in message
    assert "delete it or save the graph again" in message
    sidecar_of(saved).unlink()
    assert nir_io.load(saved).hash == extended().hash


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda told: "{", "is damaged"),
        (lambda told: "[]", "is damaged"),
        (lambda told: json.dumps({**told, "schema_version": 2}), "schema version 2, this neurovlm"),
        (lambda told: json.dumps({**told, "extensions": {"n": {"x": 1}}}), "is damaged"),
        (lambda told: json.dumps({**told, "dynamics": {"dt_s": -1}}), "dt_s must be a positive"),
        (lambda told: json.dumps({k: told[k] for k in told if k != "name"}), "is damaged ('name')"),
    ],
)
def test_damage_is_named_and_metadata_used_once_it_is_gone(saved, damage, message):
    sidecar = sidecar_of(saved)
    sidecar.write_text(damage(json.loads(sidecar.read_text())))
    got = refused(saved)
    assert str(sidecar) in got
    assert message in got
    assert "delete it to use the file's metadata" in got
    sidecar.unlink()
    assert nir_io.load(saved).hash == extended().hash


@pytest.mark.parametrize("note", ["{", "{}", '{"schema_version": 9}', '{"schema_version": 1}'])
def test_damaged_metadata_is_refused_unless_a_sidecar_helps(note, tmp_path):
    graph, path = extended(), tmp_path / "g.nir"
    nir_io.save(graph, path)
    metadata = {"neurovlm": note}
    nir.write(str(path), nir.NIRGraph(graph.nir.nodes, graph.nir.edges, metadata=metadata))
    assert nir_io.load(path).hash == graph.hash
    sidecar_of(path).unlink()
    message = refused(path)
    assert f"{path}: metadata 'neurovlm'" in message
    assert "remove or rewrite it" in message
