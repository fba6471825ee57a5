"""A state is a value of constant size that only its own model takes back."""

from __future__ import annotations

import dataclasses
import gc
import resource
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window, iter_windows
from neurovlm.pipeline import Pipeline, PipelineState

WINDOW_US = 25_000


def windows(stream: EventStream) -> list[Window]:
    return list(iter_windows([stream], WINDOW_US))


def endless(stream: EventStream) -> Iterator[Window]:
    """The same windows again and again, later and later."""
    parts, t0_us = windows(stream)[:-1], 0
    while True:
        for part in parts:
            yield dataclasses.replace(part, t0_us=t0_us, t1_us=t0_us + WINDOW_US)
            t0_us += WINDOW_US


def walk(pipeline: Pipeline, parts: list[Window]) -> PipelineState:
    state = pipeline.start()
    for window in parts:
        _, state = pipeline.step(window, state)
    return state


def assert_same(one: PipelineState, other: PipelineState) -> None:
    mine, theirs = one.to_arrays(), other.to_arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.mark.parametrize("spec", [{}, {"encoder": {"gate_tau": 0.2}}], ids=["plain", "gated"])
@pytest.mark.parametrize("cut", [0, 1, 6])
def test_the_step_after_a_reload_is_the_same_to_the_bit(pipeline, stream, tmp_path, cut, spec):
    pipeline = pipeline.using(spec=spec) if spec else pipeline
    parts = windows(stream)
    state = walk(pipeline, parts[:cut])
    pipeline.save_state(tmp_path / "s.safetensors", state)
    again = dataclasses.replace(pipeline).load_state(tmp_path / "s.safetensors")
    assert again.t_us == (parts[cut - 1].t1_us if cut else None)
    assert_same(again, state)
    for window in parts[cut : cut + 3]:
        one, state = pipeline.step(window, state)
        other, again = pipeline.step(window, again)
        assert np.array_equal(one.output.probabilities, other.output.probabilities)
        assert_same(again, state)
    assert pipeline.model.caption(again.model) == pipeline.model.caption(state.model)
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def test_the_learned_detector_has_a_state_as_well(pipeline, stream, tmp_path):
    learned = pipeline.using(detector_name="learned")
    parts = windows(stream)
    state = walk(learned, parts[:5])
    learned.save_state(tmp_path / "s.safetensors", state)
    _, one = learned.step(parts[5], state)
    _, other = learned.step(parts[5], learned.load_state(tmp_path / "s.safetensors"))
    assert_same(one, other)


def test_a_file_has_the_same_size_after_every_window(pipeline, stream, tmp_path):
    state, sizes = pipeline.start(), set()
    for window in windows(stream):
        _, state = pipeline.step(window, state)
        pipeline.save_state(tmp_path / "s.safetensors", state)
        sizes.add((tmp_path / "s.safetensors").stat().st_size)
    assert len(sizes) == 1


@pytest.fixture
def saved(pipeline, stream, tmp_path):
    path = tmp_path / "s.safetensors"
    pipeline.save_state(path, walk(pipeline, windows(stream)[:3]))
    return path


def read(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def refused(pipeline: Pipeline, path, message: str) -> None:
    with pytest.raises(InputFileError, match=message) as error:
        pipeline.load_state(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_state_of_another_model_or_front_end_is_refused(pipeline, saved):
    other = pipeline.using(spec={"encoder": {"gate_tau": 0.1}})
    refused(other, saved, "saved by another model")
    nudged = dataclasses.replace(pipeline, model=other.model.__class__(pipeline.model.spec))
    refused(nudged, saved, "saved by another model")
    refused(pipeline.using(detector_threshold=91), saved, "saved by another front end")


@pytest.mark.parametrize("at", [0, 50, -1])
def test_a_flipped_byte_is_refused(pipeline, saved, at):
    data = bytearray(saved.read_bytes())
    data[at] ^= 0x40
    saved.write_bytes(bytes(data))
    refused(pipeline, saved, "cannot read the state|damaged|not a saved state|another")


def test_a_file_cut_short_or_gone_or_foreign_is_refused(pipeline, saved):
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2])
    refused(pipeline, saved, "cannot read the state")
    saved.write_bytes(b"")
    refused(pipeline, saved, "cannot read the state")
    save_file({"x": np.zeros(3)}, saved)
    refused(pipeline, saved, "not a saved state of format neurovlm-state-1, got None")
    saved.unlink()
    refused(pipeline, saved, "cannot read the state")


@pytest.mark.parametrize("gone", ["frontend/recent/input/0", "model/score", "t_us"])
def test_a_missing_array_is_refused(pipeline, saved, gone):
    arrays, notes = read(saved)
    del arrays[gone]
    save_file(arrays, saved, notes)
    refused(pipeline, saved, "damaged")


@pytest.mark.parametrize(
    ("gone", "message"),
    [("format", "format"), ("model", "another model"), ("front end", "front end")],
)
def test_a_missing_note_is_refused(pipeline, saved, gone, message):
    arrays, notes = read(saved)
    del notes[gone]
    save_file(arrays, saved, notes)
    refused(pipeline, saved, message)


def test_arrays_that_lack_one_are_refused_by_name(pipeline, stream):
    arrays = walk(pipeline, windows(stream)[:2]).to_arrays()
    for gone in ("model/head.hidden", "model/policy.quiet", "model/memory.age"):
        with pytest.raises(UsageError, match=gone.rpartition(".")[2]):
            PipelineState.from_arrays({k: a for k, a in arrays.items() if k != gone})
    with pytest.raises(UsageError, match="no part of a pipeline is called 'else/x'"):
        PipelineState.from_arrays({**arrays, "else/x": np.zeros(1)})


def test_a_stream_that_goes_back_in_time_is_refused_and_the_state_stays(pipeline, stream):
    parts = windows(stream)
    state = walk(pipeline, parts[:4])
    before = {name: array.copy() for name, array in state.to_arrays().items()}
    t0_us, end_us = parts[2].t0_us, parts[3].t1_us
    with pytest.raises(UsageError, match=f"starts at {t0_us} us, .* ended at {end_us} us"):
        pipeline.step(parts[2], state)
    assert all(np.array_equal(before[k], a) for k, a in state.to_arrays().items())
    _, after = pipeline.step(parts[4], state)
    assert_same(after, walk(pipeline, parts[:5]))


PLACES = ("frontend", "encoder.embed", "encoder.blocks.0.qkv", "encoder.blocks.1.mlp_out", "head")


class BrokenPartError(Exception):
    """What a failing part raises."""


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 8), st.sampled_from(PLACES), min_size=1, max_size=4))
def test_a_step_that_fails_anywhere_leaves_the_state_as_it_was(pipeline, stream, failures):
    parts = windows(stream)[:9]
    state = pipeline.start()
    for index, window in enumerate(parts):
        if index in failures:
            before = {name: array.copy() for name, array in state.to_arrays().items()}
            with pytest.raises(BrokenPartError):
                fail_once(pipeline, failures[index], window, state)
            after = state.to_arrays()
            assert all(np.array_equal(before[k], after[k]) for k in before.keys() | after.keys())
        _, state = pipeline.step(window, state)
    assert_same(state, walk(pipeline, parts))


def fail_once(pipeline: Pipeline, place: str, window: Window, state: PipelineState) -> None:
    def fail(*_: object) -> None:
        raise BrokenPartError

    if place in ("frontend", "head"):
        owner, name = {
            "frontend": (pipeline.frontend.backend, "run"),
            "head": (pipeline.model.head, "advance"),
        }[place]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, fail)
            pipeline.step(window, state)
    else:
        hook = pipeline.model.get_submodule(place).register_forward_hook(fail)
        try:
            pipeline.step(window, state)
        finally:
            hook.remove()


def held_bytes(state: PipelineState) -> int:
    """Bytes of a state but for the spikes of its last tick, which are as many as there were."""
    arrays = state.to_arrays().items()
    return sum(a.nbytes for name, a in arrays if "/recent/" not in name)


@pytest.mark.slow
def test_ten_thousand_steps_hold_no_more_than_a_thousand(pipeline, stream):
    torch.set_num_threads(1)
    source, state, sizes = endless(stream), pipeline.start(), set()
    grown = []
    for n in (1_000, 9_000):
        for window in islice(source, n):
            _, state = pipeline.step(window, state)
            if not window.index:
                sizes.add(held_bytes(state))
        gc.collect()
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown.append((len(gc.get_objects()), 1024 * peak_kib))
    assert len(sizes) == 1
    (objects, peak), (objects_later, peak_later) = grown
    assert objects_later - objects < 900  # not even one for ten steps
    assert peak_later - peak < 9_000 * 1_000  # one bank of the memory has 12,544 bytes
