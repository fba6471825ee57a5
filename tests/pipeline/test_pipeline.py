"""Laws of the pipeline: one by one = all at once, resumed = uninterrupted, any source, any pace."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.events.io import open_recording
from neurovlm.events.scenes import static_scene
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window, iter_windows
from neurovlm.pipeline import Pipeline, PipelineState, RunResult, StepResult
from neurovlm.spiking.backends import base
from neurovlm.spiking.backends.fast import FastBackend

N_WINDOWS = 10


def windows(stream: EventStream, window_us: int = 25_000) -> list[Window]:
    return list(iter_windows([stream], window_us))


def walk(
    pipeline: Pipeline, parts: list[Window], state: PipelineState
) -> tuple[list[StepResult], PipelineState]:
    results = []
    for window in parts:
        result, state = pipeline.step(window, state)
        results.append(result)
    return results, state


def assert_same_windows(result: RunResult, steps: list[StepResult]) -> None:
    n = result.mask.grid.n_patches
    assert result.n_windows == len(steps)
    for row, step in enumerate(steps):
        assert np.array_equal(result.mask.changed[row], step.frontend.mask.changed[0])
        assert np.array_equal(result.mask.score[row], step.frontend.mask.score[0])
        assert np.array_equal(result.probabilities[row], step.output.probabilities)
        assert np.array_equal(np.flatnonzero(result.active[row]), np.sort(step.output.active))
        assert result.refreshed[row].sum() == len(step.output.refreshed)
        assert result.dense[row] == step.output.dense
        assert len(step.output.active) <= n


def assert_same_runs(one: RunResult, other: RunResult) -> None:
    for name in ("active", "refreshed", "dense", "probabilities", "events"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.array_equal(one.mask.changed, other.mask.changed)
    assert np.array_equal(one.mask.score, other.mask.score)
    assert one.predictions == other.predictions
    assert one.workload.layers == other.workload.layers
    for name, train in one.trace.spikes.items():
        assert train.differing(other.trace.spikes[name]) == 0


def test_window_by_window_equals_the_whole_run(pipeline, stream):
    steps, _ = walk(pipeline, windows(stream), pipeline.start())
    result = pipeline.run(stream)
    assert len(steps) == N_WINDOWS
    assert_same_windows(result, steps)
    assert len(np.unique(result.probabilities, axis=0)) > 1  # else equality would say little
    assert 0 < result.mask.n_changed.mean() < 100


def test_a_state_saved_and_read_again_goes_on_with_identical_bits(pipeline, stream, tmp_path):
    parts = windows(stream)
    _, state = walk(pipeline, parts[:6], pipeline.start())
    np.savez(tmp_path / "state.npz", **state.to_arrays())
    with np.load(tmp_path / "state.npz") as arrays:
        again = PipelineState.from_arrays(arrays)
    straight, last = walk(pipeline, parts[6:], state)
    resumed, last_again = walk(pipeline, parts[6:], again)
    for a, b in zip(straight, resumed, strict=True):
        assert np.array_equal(a.output.probabilities, b.output.probabilities)
        assert np.array_equal(a.output.active, b.output.active)
        assert np.array_equal(a.frontend.counts, b.frontend.counts)
    saved, saved_again = last.to_arrays(), last_again.to_arrays()
    assert saved.keys() == saved_again.keys()
    assert all(np.array_equal(saved[key], saved_again[key]) for key in saved)


def test_the_state_before_the_first_window_can_be_saved_too(pipeline, stream):
    again = PipelineState.from_arrays(pipeline.start().to_arrays())
    steps, _ = walk(pipeline, windows(stream)[:3], again)
    straight, _ = walk(pipeline, windows(stream)[:3], pipeline.start())
    for a, b in zip(steps, straight, strict=True):
        assert np.array_equal(a.output.probabilities, b.output.probabilities)


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_two_halves_through_the_state_equal_one_run(pipeline, stream, cut):
    parts = windows(stream)
    first, state = walk(pipeline, parts[:cut], pipeline.start())
    second, _ = walk(dataclasses.replace(pipeline), parts[cut:], state)
    assert_same_windows(pipeline.run(stream), first + second)


def test_a_step_leaves_its_state_alone_and_can_be_replayed(pipeline, stream):
    parts = windows(stream)
    _, state = walk(pipeline, parts[:4], pipeline.start())
    before = {key: array.copy() for key, array in state.to_arrays().items()}
    once, _ = pipeline.step(parts[4], state)
    twice, _ = pipeline.step(parts[4], state)
    assert np.array_equal(once.output.probabilities, twice.output.probabilities)
    assert all(np.array_equal(before[key], array) for key, array in state.to_arrays().items())


def test_dense_twin_computes_every_token_from_the_same_counts(pipeline, stream):
    sparse, dense = pipeline.run(stream), pipeline.run(stream, dense=True)
    assert dense.active.all() and dense.dense.all()
    assert np.array_equal(sparse.mask.changed, dense.mask.changed)
    assert sparse.mac_ratio > 1
    assert dense.mac_ratio == 1
    stages = ("encoder", "fusion", "frontend", "change")
    for stage in stages:
        assert sparse.workload.total("dense", stage) == dense.workload.total("executed", stage)
    state = pipeline.model.init_state()
    whole = pipeline.frontend.run(stream)
    for k in range(N_WINDOWS):
        part = whole.window(k)
        with torch.no_grad():
            memory = pipeline.model.encoder.dense((torch.tensor(part.counts), None))
        output, state = pipeline.model.step(
            part.counts[0], None, part.mask.changed[0], part.mask.score[0], state, dense=True
        )
        assert torch.equal(memory.tokens, state.memory.tokens)
        assert np.array_equal(output.probabilities, dense.probabilities[k])


def test_a_recording_and_its_stream_in_memory_give_the_same(pipeline, stream, tmp_path):
    columns = {name: getattr(stream, name) for name in "txyp"}
    np.savez(tmp_path / "square.npz", sensor=stream.sensor, **columns)
    from_memory = pipeline.run(stream)
    for chunk_events in (1_000_000, 97):
        recording = open_recording(tmp_path / "square.npz", chunk_events=chunk_events)
        from_file = pipeline.run(recording)
        assert_same_runs(from_memory, from_file)
        assert from_file.recording.path == str(tmp_path / "square.npz")
        assert from_file.recording.n_events == len(stream)
        assert from_file.recording.duration_s == stream.duration_us / 1e6


def test_times_count_from_the_first_event(pipeline, stream):
    late = EventStream(stream.t + np.int64(10**15), stream.x, stream.y, stream.p, stream.sensor)
    assert_same_runs(pipeline.run(stream), pipeline.run(late))
    assert pipeline.run(late).predictions[-1].t_us == N_WINDOWS * 25_000


def test_a_backend_that_cannot_resume_gives_the_same_run(pipeline, stream, monkeypatch):
    resumed = pipeline.run(stream)
    can = dataclasses.replace(FastBackend.capabilities, resumes=False)
    whole = type("WholeBackend", (FastBackend,), {"name": "whole", "capabilities": can})
    monkeypatch.setattr("neurovlm.spiking.backends.fast.WholeBackend", whole, raising=False)
    path = "neurovlm.spiking.backends.fast:WholeBackend"
    monkeypatch.setitem(base._REGISTRY, "reference", path)
    at_once = pipeline.using(backend="reference")
    assert_same_runs(resumed, at_once.run(stream))
    with pytest.raises(GraphError, match="cannot start from a state; run the whole train at once"):
        at_once.step(windows(stream)[0], at_once.start())


def test_shorter_than_one_window_is_one_padded_window_and_said_so(pipeline, stream):
    short = stream.between(int(stream.t[0]), int(stream.t[0]) + 3_000)
    result = pipeline.run(short)
    assert result.n_windows == 1
    (note,) = result.recording.notes
    assert "less than one window of 25 ms: it was padded to one window" in note
    assert result.predictions[-1].t_us == 25_000
    assert result.trace.n_ticks == 25 + pipeline.frontend.graph.network.depth


@pytest.mark.parametrize(
    ("last_us", "n", "notes"), [(24_999, 1, 0), (25_000, 2, 0), (24_998, 1, 1)]
)
def test_a_window_is_half_open(pipeline, last_us, n, notes):
    two = EventStream([7, 7 + last_us], [60, 61], [60, 60], [True, False], (128, 128))
    result = pipeline.run(two)
    assert result.n_windows == n
    assert len(result.recording.notes) == notes


def test_one_event_is_enough(pipeline):
    result = pipeline.run(EventStream([5], [3], [4], [True], (128, 128)))
    assert result.n_windows == 1
    assert result.recording.duration_s == 1e-6


def test_no_event_is_refused(pipeline):
    with pytest.raises(UsageError, match="the stream holds no events"):
        pipeline.run(EventStream.empty((128, 128)))


def test_a_silent_gap_is_stepped_through(pipeline, paused):
    result = pipeline.run(paused)
    assert result.n_windows == 18
    assert (result.events[5:11] == 0).all() and result.events[:4].any() and result.events[12:].any()
    assert not result.mask.changed[6:11].any()
    steps, _ = walk(pipeline, windows(paused), pipeline.start())
    assert_same_windows(result, steps)


def test_captions_come_at_their_cadence_and_at_the_end(pipeline, stream):
    ends = {4: [4, 8, 10], 5: [5, 10], 1: list(range(1, 11)), 100: [10]}
    for every, expected in ends.items():
        result = pipeline.run(stream, caption_every=every, caption_eps=0.0)
        assert [p.t_us for p in result.predictions] == [25_000 * k for k in expected]
        assert decoded(result) == len(expected)


def test_label_and_confidence_are_those_of_the_window(pipeline, stream):
    result = pipeline.run(stream)
    for prediction in result.predictions:
        row = result.probabilities[prediction.t_us // 25_000 - 1]
        assert prediction.label == result.spec.labels[row.argmax()]
        assert prediction.confidence == row.max()
        assert 0 < prediction.caption_confidence <= 1


def test_where_nothing_is_recomputed_the_caption_is_repeated_not_decoded(pipeline, paused):
    lazy = pipeline.using(
        spec={"policy": {"n_refresh": 0, "idle_refresh": 0}}, caption_every=1, caption_eps=0.0
    )
    result = lazy.run(paused)
    idle = result.active.sum(axis=1) == 0
    assert idle[6:11].all() and not idle[0]
    assert decoded(result) == 18 - idle.sum()
    assert result.n_repeated == idle.sum()
    for k in np.flatnonzero(idle):
        assert result.predictions[k].caption == result.predictions[k - 1].caption
        confidence = result.predictions[k - 1].caption_confidence
        assert result.predictions[k].caption_confidence == confidence
        assert np.array_equal(result.probabilities[k], result.probabilities[k - 1])


def test_the_less_may_move_the_more_captions_are_decoded(pipeline, stream):
    repeated = []
    for eps in (1e9, 0.2, 0.0):
        result = pipeline.run(stream, caption_every=1, caption_eps=eps)
        assert decoded(result) + result.n_repeated == len(result.predictions) == N_WINDOWS
        for before, now in pairwise(result.predictions):
            assert not now.repeated or now.caption == before.caption
        repeated.append(result.n_repeated)
    assert repeated == sorted(repeated, reverse=True)
    assert repeated[0] == N_WINDOWS - 1  # the first is always decoded
    assert repeated[-1] == 0


def decoded(result: RunResult) -> int:
    """Captions that were decoded; each opens once."""
    return next(x.executed.launches for x in result.workload.layers if x.layer == "opening")


def test_progress_is_told_every_window(pipeline, stream):
    seen: list[int] = []
    pipeline.run(stream, progress=seen.append)
    assert seen == list(range(1, N_WINDOWS + 1))


def test_a_static_scene_declares_nothing_and_refreshes_in_turn(pipeline):
    pipeline = pipeline.using(spec={"policy": {"idle_refresh": 4}})
    result = pipeline.run(static_scene(noise_hz=0.5, duration_s=0.25).stream)
    assert result.mask.n_changed.sum() == 0
    assert (result.active[1:].sum(axis=1) == 4).all()
    assert result.refreshed.sum() == result.active[1:].sum()


def test_snapshots_are_thinned_and_evenly_spaced(pipeline, stream):
    few = pipeline.run(stream)
    assert [s.window for s in few.snapshots] == list(range(N_WINDOWS))
    many = pipeline.run(stream, window_ms=5)
    kept = [s.window for s in many.snapshots]
    assert many.n_windows == 50
    assert 8 < len(kept) <= 16
    assert len(set(np.diff(kept))) == 1


def test_events_are_the_input_spikes_of_each_patch(pipeline, stream):
    result = pipeline.run(stream)
    assert result.events.sum() == result.trace.input_spikes
    last = result.snapshots[-1]
    tile = last.counts[:2, :9, 9:18]
    assert result.events[last.window, 1] == tile.sum()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_reference_and_fast_agree_through_the_whole_pipeline(pipeline, stream, precision):
    short = stream.between(0, int(stream.t[0]) + 100_000)
    fast = pipeline.run(short, precision=precision)
    assert_same_runs(fast, pipeline.run(short, precision=precision, backend="reference"))


def test_real_recording_with_frames(pipeline, data_dir: Path):
    path = data_dir / "events_recordings/davis346_traffic/davis346.aedat4"
    result = pipeline.run(open_recording(path, stop_s=0.3))
    without = pipeline.run(open_recording(path, stop_s=0.3), frames=())
    assert result.recording.sensor == (346, 260)
    assert any(s.frame is not None for s in result.snapshots)
    assert not np.array_equal(result.probabilities, without.probabilities)
    assert np.array_equal(result.mask.changed, without.mask.changed)
