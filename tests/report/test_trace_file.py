"""The spike file."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.report import write_trace


def test_what_is_written_is_read_back(result, tmp_path):
    write_trace(result.trace, tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz", allow_pickle=False) as file:
        saved = dict(file)
    out = result.trace.out
    assert len(out) > 0
    assert saved["tick"].dtype == saved["neuron"].dtype == np.int64
    np.testing.assert_array_equal(saved["tick"], out.tick)
    np.testing.assert_array_equal(saved["neuron"], out.neuron)
    assert saved["n_ticks"] == out.n_ticks
    assert saved["n_neurons"] == 196
    others = set(result.trace.spikes) - {"H"}
    assert {name[:-5] for name in saved if name.endswith("_tick")} == others
    for name in others:
        np.testing.assert_array_equal(saved[f"{name}_tick"], result.trace.spikes[name].tick)
        np.testing.assert_array_equal(saved[f"{name}_neuron"], result.trace.spikes[name].neuron)


def test_spikes_are_sorted_by_tick_then_neuron(result, tmp_path):
    write_trace(result.trace, tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz") as file:
        slots = file["tick"] * file["n_neurons"] + file["neuron"]
    assert (np.diff(slots) > 0).all()


def test_missing_folders_are_made_and_an_old_file_is_replaced(result, tmp_path):
    path = tmp_path / "a" / "b" / "trace.npz"
    write_trace(result.trace, path)
    path.write_bytes(b"old")
    write_trace(result.trace, path)
    assert np.load(path)["n_neurons"] == 196
    assert [entry.name for entry in path.parent.iterdir()] == ["trace.npz"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(result, tmp_path, monkeypatch):
    path = tmp_path / "trace.npz"
    path.write_bytes(b"old")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(UsageError, match=r"trace\.npz.*No space left.*--out"):
        write_trace(result.trace, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.npz"]


def test_a_place_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write the trace"):
        write_trace(result.trace, tmp_path / "file" / "trace.npz")
