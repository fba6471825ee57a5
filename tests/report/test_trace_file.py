"""The spike file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.named import graph_by_name
from neurovlm.report import write_trace
from neurovlm.report.trace_file import trace_writer
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.simulate import encode_whole, run_events, run_traces, simulate


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

    def full(raw, member, length):
        member.write(raw.read(100))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(UsageError, match=r"trace\.npz.*No space left.*--out"):
        write_trace(result.trace, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.npz"]


def test_an_error_between_two_runs_leaves_nothing(result, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        trace_writer(result.trace.network, tmp_path / "trace.npz") as writer,
    ):
        writer.add(result.trace)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["change-detector", "patch-lif"])
def test_runs_one_by_one_make_the_file_and_the_counts_of_all_at_once(name, tmp_path):
    graph, events = graph_by_name(name), flicker(300_000, 0.4)
    backend = get_backend("fast")
    chunks = [events[i : i + 70_000] for i in range(0, len(events), 70_000)]
    whole = simulate(graph, backend, chunks)
    assert_streamed_equals_whole(graph, backend, chunks, whole, tmp_path)


def assert_streamed_equals_whole(graph, backend, chunks, whole, folder):
    with trace_writer(graph.network, folder / "runs.npz") as writer:
        runs = [writer.add(trace) for trace in run_traces(graph, backend, chunks)]
    assert len(runs) > 2
    assert writer.counts == whole.counts
    write_trace(whole, folder / "whole.npz")
    with np.load(folder / "runs.npz") as got, np.load(folder / "whole.npz") as expected:
        assert got.files == expected.files
        for key in expected.files:
            np.testing.assert_array_equal(got[key], expected[key])
    assert len(whole.out)


def flicker(n: int, seconds: float) -> EventStream:
    """Uniform noise with a square that is fifty times as busy."""
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 128, (2, n))
    busy = rng.random(n) < 0.3
    x[busy], y[busy] = rng.integers(30, 60, (2, busy.sum()))
    t = np.sort(rng.integers(0, int(seconds * 1e6), n))
    return EventStream(t, x, y, rng.random(n) < 0.5, (128, 128))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["change-detector", "patch-lif"])
def test_five_million_events_make_the_same_file_and_counts(name, tmp_path):
    graph, events = graph_by_name(name), flicker(5_000_000, 1.5)
    backend = get_backend("fast")
    chunks = [events[i : i + 1_000_000] for i in range(0, len(events), 1_000_000)]
    n_ticks = encode_whole(graph, chunks).n_ticks
    whole = run_events(graph, events, n_ticks=n_ticks)
    assert_streamed_equals_whole(graph, backend, chunks, whole, tmp_path)


def test_counts_before_the_first_run_are_refused(result, tmp_path):
    with (
        pytest.raises(UsageError, match="no run was added"),
        trace_writer(result.trace.network, tmp_path / "trace.npz"),
    ):
        pass  # nothing to write at the end, either
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot write the trace"):
        write_trace(result.trace, tmp_path / "file" / "trace.npz")
