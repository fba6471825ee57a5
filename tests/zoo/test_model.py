"""One window at a time: state in, state out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.zoo.model import ModelState


def run(model, windows, state=None, **options):
    state = model.init_state() if state is None else state
    outputs = []
    for window in windows:
        output, state = model.step(*window, state, **options)
        outputs.append(output)
    return outputs, state


def assert_same(one: ModelState, other: ModelState) -> None:
    mine, theirs = one.to_arrays(), other.to_arrays()
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])


def test_first_window_is_dense_and_the_rest_respect_the_cap(build, windows):
    outputs, _ = run(build(), windows(8))
    assert outputs[0].dense and len(outputs[0].active) == 49
    assert outputs[0].n_rows == (49, 49)
    for output, (_, _, changed, _) in zip(outputs[1:], windows(8)[1:], strict=True):
        assert not output.dense
        n_changed = int(changed.sum())
        assert n_changed <= 9
        assert len(output.refreshed) == min(max(n_changed // 2, 1), 3)
        assert len(output.active) == n_changed + len(output.refreshed)
        assert not changed[output.refreshed].any()
        assert set(output.refreshed) <= set(output.active)
        assert output.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_scene_cut_and_force_are_dense(build, windows):
    flood = windows(1, seed=5, share=1.0)
    policy = PolicyConfig(max_active=12, n_refresh=3, cut_interval=2)
    model = build(replace(build().spec, policy=policy))
    outputs, _ = run(model, windows(2) + flood)
    assert [output.dense for output in outputs] == [True, False, True]
    outputs, _ = run(build(), windows(3), dense=True)
    assert all(output.dense for output in outputs)


def test_a_dense_step_forgets_the_memory_of_the_past(build, windows):
    model = build()
    last = windows(1, seed=9)
    _, one = run(model, windows(4, seed=1))
    _, other = run(model, windows(6, seed=2))
    _, one = run(model, last, one, dense=True)
    _, other = run(model, last, other, dense=True)
    np.testing.assert_array_equal(one.memory.tokens, other.memory.tokens)
    assert int(one.memory.age.max()) == 0


def test_nothing_active_returns_what_was_known(build, windows):
    spec = replace(build().spec, policy=PolicyConfig(max_active=12, n_refresh=0, idle_refresh=0))
    model = build(spec)
    _, state = run(model, windows(3))
    counts, frame, _, _ = windows(1)[0]
    nothing = np.zeros(49, np.int64)
    output, after = model.step(counts, frame, nothing.astype(bool), nothing, state)
    assert len(output.active) == 0 and output.n_rows == (0, 0)
    np.testing.assert_array_equal(output.probabilities, state.probabilities)
    assert torch.equal(after.memory.tokens, state.memory.tokens)
    assert torch.equal(after.memory.age, state.memory.age + 1)
    assert torch.equal(after.head.hidden, state.head.hidden)


@pytest.mark.parametrize("with_frames", [False, True])
def test_stopped_and_resumed_from_a_file_equals_run_at_once(build, windows, tmp_path, with_frames):
    model, all_windows = build(), windows(9, with_frames=with_frames)
    _, at_once = run(model, all_windows)
    _, state = run(model, all_windows[:4])
    np.savez(tmp_path / "state.npz", **state.to_arrays())
    with np.load(tmp_path / "state.npz") as file:
        state = ModelState.from_arrays(file)
    _, resumed = run(model, all_windows[4:], state)
    assert_same(resumed, at_once)
    assert model.caption(resumed) == model.caption(at_once)


def test_initial_state_survives_the_round_trip(build):
    state = build().init_state()
    assert ModelState.from_arrays(state.to_arrays()).memory is None


def test_a_step_changes_neither_inputs_nor_the_old_state(build, windows):
    model = build()
    _, state = run(model, windows(3))
    before = state.to_arrays()
    window = windows(1, seed=4)[0]
    copies = [None if part is None else part.copy() for part in window]
    for part in window:
        if part is not None:
            part.setflags(write=False)  # a ChangeMask's rows are read-only
    output, after = model.step(*window, state)
    output.probabilities[:] = 0
    output.active[:] = -1
    after.memory.tokens.zero_()
    for name, array in state.to_arrays().items():
        np.testing.assert_array_equal(array, before[name])
    for part, copy in zip(window, copies, strict=True):
        assert part is None or np.array_equal(part, copy)


def test_caption_needs_a_window(build, windows):
    model = build()
    with pytest.raises(UsageError, match="no window has been seen yet"):
        model.caption(model.init_state())
    _, state = run(model, windows(1))
    text, confidence = model.caption(state)
    assert set(text.split()) <= set(model.spec.words)
    assert 0 < confidence <= 1


@pytest.mark.parametrize(
    ("position", "name"), [(0, "counts"), (1, "frame"), (2, "changed"), (3, "score")]
)
def test_a_wrong_shape_is_named(build, windows, position, name):
    window = list(windows(1, with_frames=True)[0])
    window[position] = window[position][1:]
    with pytest.raises(UsageError, match=f"step: {name} must be"):
        build().step(*window, build().init_state())


def spoilt(array, value):
    copy = np.array(array, np.float64)
    copy.flat[3] = value
    return copy


@pytest.mark.parametrize(
    ("position", "spoil", "message"),
    [
        (0, lambda counts: None, "counts are missing; the model sees by events"),
        (0, lambda counts: spoilt(counts, np.nan), "counts must be at least 0 .*, got nan"),
        (0, lambda counts: spoilt(counts, -3), "counts must be at least 0 .*, got -3"),
        (1, lambda frame: np.zeros((240, 320, 3), np.uint8), r"frame must be .* got \(240, 320"),
        (1, lambda frame: spoilt(frame, np.nan), "frame must be at least 0 .*, got nan"),
        (1, lambda frame: spoilt(frame, np.inf), "holds NaN or infinity"),
        (2, lambda changed: spoilt(changed, np.nan), "changed must be at least 0 .*, got nan"),
        (2, lambda changed: changed.reshape(7, 7), r"changed must be \(49,\), got \(7, 7\)"),
        (2, lambda changed: np.full(49, "yes"), "changed must be numbers"),
        (3, lambda score: spoilt(score, -1), "score must be at least 0 .*, got -1"),
        (3, lambda score: spoilt(score, np.nan), "score must be at least 0 .*, got nan"),
    ],
)
def test_a_bad_input_is_named_and_the_stream_goes_on(build, windows, position, spoil, message):
    model, whole = build(), windows(4, with_frames=True)
    _, state = run(model, whole[:2])
    window = list(whole[2])
    window[position] = spoil(window[position])
    with pytest.raises(UsageError, match=f"^step: .*{message}") as error:
        model.step(*window, state)
    assert "\n" not in str(error.value)
    assert_same(run(model, whole[2:], state)[1], run(model, whole)[1])


def test_a_state_of_another_model_is_refused(build, windows):
    spec = build().spec
    _, state = run(build(), windows(2))
    wider = build(replace(spec, head=replace(spec.head, state_dim=9)))
    deeper = build(replace(spec, encoder=replace(spec.encoder, depth=3)))
    for other in (wider, deeper):
        with pytest.raises(UsageError, match="the state is of another model"):
            other.step(*windows(1)[0], state)
