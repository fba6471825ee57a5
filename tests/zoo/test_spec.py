"""Specs go to plain mappings and back, and refuse what they do not know."""

from __future__ import annotations

import json

import pytest

from neurovlm.core.errors import UsageError
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.zoo.spec import ModelSpec


def test_round_trip_through_json():
    spec = ModelSpec(encoder=EncoderConfig(dim=96, gate_tau=0.1))
    again = ModelSpec.from_mapping(json.loads(json.dumps(spec.to_mapping())))
    assert again == spec
    assert isinstance(again.encoder, EncoderConfig)
    assert isinstance(again.labels, tuple)


def test_absent_keys_take_defaults():
    spec = ModelSpec.from_mapping({"encoder": {"depth": 5}})
    assert spec.encoder == EncoderConfig(depth=5)
    assert spec.policy == ModelSpec().policy


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"encodr": {}}, "model: unknown key 'encodr'; known are name, "),
        ({"encoder": {"dimm": 3}}, "model.encoder: unknown key 'dimm'; known are dim, depth"),
        ({"encoder": 3}, "model.encoder: expected a table of keys, got 3"),
        ({"encoder": {"dim": "wide"}}, "model.encoder.dim: .*got 'wide'"),
        ({"encoder": {"dim": 30, "heads": 4}}, "dim must be a multiple of heads"),
        ({"policy": {"n_refresh": 50}}, "n_refresh \\+ n_uncertain must be in 0..max_active=32"),
    ],
)
def test_a_bad_key_or_value_is_named_in_one_line(mapping, message):
    with pytest.raises(UsageError, match=message) as error:
        ModelSpec.from_mapping(mapping)
    assert "\n" not in str(error.value)
