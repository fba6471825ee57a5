"""Settings by name, and config files: what they change, what they keep, what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tomli_w

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.pipeline import Pipeline, RunConfig, load_config, make_config
from neurovlm.spiking.dynamics import Precision
from neurovlm.zoo.spec import ModelSpec

N_WINDOWS = 10
FLOAT_NOISE = 1e-5
"""Sums in another order."""
EIGHT_BITS = 0.02
"""Probability: activations have 8 bits, so products are off by about 1 %."""


def test_one_argument_changes_one_constant_and_keeps_the_trained_others(model_path):
    pipeline = Pipeline.load(str(model_path), cap_weight=30)
    expected = DetectorConfig(detector_threshold=90, cap_weight=30)
    assert pipeline.detector == expected
    again = pipeline.using(ring_weight=7)
    assert again.detector == dataclasses.replace(expected, ring_weight=7)
    assert again.config.detector == {"cap_weight": 30, "ring_weight": 7}
    assert pipeline.detector == expected


def test_a_higher_threshold_declares_fewer_patches(pipeline, stream):
    thresholds = (60, 90, 150, 400)
    changed = [pipeline.run(stream, detector_threshold=t).mask.n_changed.sum() for t in thresholds]
    assert changed == sorted(changed, reverse=True)
    assert changed[0] > changed[-1]


def test_a_longer_window_is_one_argument_and_is_said_to_be_untrained(pipeline, stream):
    result = pipeline.run(stream, window_ms=50)
    assert result.n_windows == N_WINDOWS / 2
    assert result.workload.window_ms == 50
    assert any("trained on windows of 25 ms" in note for note in result.recording.notes)
    assert pipeline.run(stream).recording.notes == ()


def test_settings_of_one_run_do_not_stay(pipeline, stream):
    before = pipeline.config
    pipeline.run(stream, window_ms=50, detector_threshold=400)
    assert pipeline.config is before
    assert pipeline.run(stream).n_windows == N_WINDOWS


def test_a_whole_detector_replaces_every_constant(pipeline):
    other = DetectorConfig(filter_threshold=120)
    assert pipeline.using(detector=other).detector == other


def test_the_detector_is_one_argument_and_keeps_the_tokens_counts(pipeline, stream):
    learned = pipeline.using(detector_name="learned")
    assert learned.frontend.graph.name == "learned-detector"
    assert pipeline.frontend.graph.name == "change-detector"
    by_hand, ours = pipeline.run(stream), learned.run(stream)
    assert ours.config.detector_name == "learned"
    assert np.array_equal(ours.snapshots[0].counts, by_hand.snapshots[0].counts)
    assert not np.array_equal(ours.mask.changed, by_hand.mask.changed)


def test_spec_settings_pile_up_and_change_the_policy(pipeline, stream):
    capped = pipeline.using(spec={"policy": {"max_active": 10}})
    both = capped.using(spec={"policy": {"n_refresh": 2}})
    assert (both.model.spec.policy.max_active, both.model.spec.policy.n_refresh) == (10, 2)
    result = both.run(stream)
    assert result.active[~result.dense].sum(axis=1).max() == 10
    assert result.spec == both.model.spec
    assert pipeline.model.spec.policy.max_active == 24


def test_another_model_is_loaded_not_only_named(pipeline, model_path):
    assert pipeline.using(model=str(model_path)).model is not pipeline.model
    with pytest.raises(UsageError, match="no model 'nobody'"):
        pipeline.using(model="nobody")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"encoder": {"dim": 32}}, "trained weights of 'small' do not fit .*; train a model"),
        ({"encoder": {"depth": 3}}, "trained weights of 'small' do not fit"),
        ({"encoder": {"dimm": 3}}, "spec.encoder: unknown key 'dimm'; known are dim"),
        ({"policy": {"n_refresh": 99}}, "must be in 0..max_active=24, got 99"),
        ({"labels": ["one"]}, "trained weights of 'small' do not fit"),
    ],
)
def test_a_spec_the_weights_do_not_fit_is_refused_in_one_line(pipeline, spec, message):
    with pytest.raises(UsageError, match=message) as error:
        pipeline.using(spec=spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresold": 3}, "unknown key 'thresold'"),
        ({"backend": "nest"}, "unknown backend 'nest'; known are fast"),
        ({"window_ms": 0}, r"window_ms must be in \(0, 255\], got 0"),
        ({"window_ms": 2.5}, "must be a multiple of the tick"),
        ({"detector_threshold": -1}, "detector_threshold must not be negative, got -1"),
        ({"detector_threshold": "high"}, "detector.detector_threshold: .*got 'high'"),
        ({"precision": "int4"}, "precision: .*got 'int4'"),
        ({"spec": 3}, "spec: .*got 3"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(pipeline, stream, settings, message):
    with pytest.raises(UsageError, match=message) as error:
        pipeline.run(stream, **settings)
    assert "\n" not in str(error.value)


# Config files


def write(path, values):
    path.write_text(values if isinstance(values, str) else tomli_w.dumps(values))
    return path


def test_the_config_a_run_writes_gives_the_same_run(model_path, stream, tmp_path):
    first = Pipeline.load(
        str(model_path),
        detector_threshold=100,
        window_ms=50,
        caption_every=2,
        fit="stretch",
        precision="float64",
        spec={"policy": {"max_active": 20}},
    ).run(stream)
    config = load_config(write(tmp_path / "config.toml", first.config.to_toml()))
    assert dataclasses.replace(config, spec={}) == dataclasses.replace(first.config, spec={})
    assert ModelSpec.from_mapping(config.spec) == first.spec
    second = Pipeline.from_config(config).run(stream)
    assert second.workload.hash() == first.workload.hash()
    assert second.predictions == first.predictions


def test_the_written_config_names_every_constant(pipeline, stream):
    config = pipeline.run(stream).config
    assert config.detector == dataclasses.asdict(pipeline.detector)
    assert config.spec == pipeline.model.spec.to_mapping()


def test_defaults_survive_the_round_trip(tmp_path):
    assert load_config(write(tmp_path / "c.toml", RunConfig().to_toml())) == RunConfig()
    assert load_config(write(tmp_path / "empty.toml", "")) == RunConfig()


def test_types_come_back_as_they_were(tmp_path):
    config = RunConfig(precision=Precision.FLOAT32, devices=("loihi2",), rate_hz=10.0, seed=3)
    again = load_config(write(tmp_path / "c.toml", config.to_toml()))
    assert again.precision is Precision.FLOAT32
    assert again.devices == ("loihi2",)
    assert again == config


def test_the_command_line_wins_over_the_file(tmp_path):
    path = write(tmp_path / "c.toml", {"window_ms": 50, "seed": 7})
    config = load_config(path, {"window_ms": 20.0})
    assert (config.window_ms, config.seed) == (20.0, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"windowms": 25}, "unknown key 'windowms'; known are backend, precision, model"),
        ({"detector": {"thresold": 1}}, "detector: unknown key 'thresold'; known are filter_tau"),
        ({"detector": 5}, "detector: expected a table of keys, got 5"),
        ({"detector": {"cap_in": "four"}}, "detector.cap_in: .*got 'four'"),
        ({"detector": {"relay_tau_ms": 0.1}}, "relay_tau_ms must be 1 to 4096 ms, got 0.1"),
        ({"detector_name": "best"}, "detector_name: .*got 'best'"),
        ({"backend": 3}, "backend: .*got 3"),
        ({"window_ms": "long"}, "window_ms: .*got 'long'"),
        ({"window_ms": float("nan")}, "window_ms must be in .*got nan"),
        ({"window_ms": 300}, "window_ms must be in .*got 300"),
        ({"caption_every": 0}, "caption_every must be at least 1, got 0"),
        ({"devices": "loihi2"}, "devices: .*got 'loihi2'"),
        ({"fit": "zoom"}, "fit: .*got 'zoom'"),
        ({"rate_hz": -1.0}, "rate_hz must be a positive number, got -1.0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, "seed: .*"),
        ({"deploy_precision": "fp4"}, "deploy_precision: .*got 'fp4'"),
        ("window_ms = ", "no valid TOML: "),
        ("window_ms = 1\nwindow_ms = 2", "no valid TOML: "),
    ],
)
def test_a_bad_file_is_named_with_key_and_value_in_one_line(tmp_path, values, message):
    path = write(tmp_path / "bad.toml", values)
    with pytest.raises(UsageError, match=message) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe9"')
    cases = {
        tmp_path / "none.toml": "No such file or directory",
        tmp_path: "Is a directory",
        tmp_path / "latin.toml": "not UTF-8 text",
    }
    for path, reason in cases.items():
        with pytest.raises(UsageError, match="cannot read the config") as error:
            load_config(path)
        assert str(error.value) == f"{path}: cannot read the config ({reason}); give a TOML file"


def test_a_wrong_option_is_not_blamed_on_the_file(tmp_path):
    path = write(tmp_path / "c.toml", {"seed": 1})
    with pytest.raises(UsageError, match=r"^options: unknown backend 'nest'"):
        load_config(path, {"backend": "nest"})


def test_detector_values_are_taken_as_their_type():
    config = make_config({"detector": {"detector_threshold": 120.0}})
    assert config.detector == {"detector_threshold": 120}
    assert isinstance(config.detector["detector_threshold"], int)


@pytest.mark.parametrize("engine", ["packed", "packed-int8", "onnx", "onnx-int8"])
def test_every_engine_computes_the_same_tokens_and_names_the_same_label(pipeline, stream, engine):
    plain, other = pipeline.run(stream), pipeline.run(stream, engine=engine)
    np.testing.assert_array_equal(other.active, plain.active)
    tolerance = EIGHT_BITS if engine.endswith("int8") else FLOAT_NOISE
    np.testing.assert_allclose(other.probabilities, plain.probabilities, atol=tolerance)


def test_engines_that_do_not_exist_or_have_no_gates_say_so(pipeline, stream):
    with pytest.raises(UsageError, match=r"unknown engine 'fast'; known are plain, packed,"):
        pipeline.using(engine="fast")
    with pytest.raises(UsageError, match="gates"):
        pipeline.run(stream, engine="packed", spec={"encoder": {"gate_tau": 0.3}})
