"""Models on disk: whole, matched, or refused in one line."""

from __future__ import annotations

import json

import pytest
import torch

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.zoo.load import WEIGHTS, ModelCard, card_path, known_models, load, save

SHIPPED_LIMIT = 3_000_000  # parameters of a shipped model


@pytest.fixture
def saved(build, tmp_path):
    model = build()
    detector = DetectorConfig(filter_threshold=90)
    card = ModelCard(model.spec, detector, seed=7, training={"steps": 3}, scores={"x": 0.5})
    return model, card, save(model, card, tmp_path / "new" / "folder")


def test_round_trip(saved):
    model, card, path = saved
    again, same_card = load(path)
    assert same_card == card
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "sttf-tiny.json",
        "sttf-tiny.safetensors",
    ]


def test_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match=r"no model 'sttf-huge'; known are .*sttf-tiny"):
        load("sttf-huge")


def change_card(path, **changes):
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def spoil_weights(path):
    path.write_bytes(path.read_bytes()[:100])


def drop_spec(path):
    card = path.with_suffix(".json")
    kept = {k: v for k, v in json.loads(card.read_text()).items() if k != "spec"}
    card.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot read the weights"),
        (spoil_weights, "cannot read the weights"),
        (lambda path: path.with_suffix(".json").unlink(), "cannot read the model's card"),
        (lambda path: path.with_suffix(".json").write_text("{"), "cannot read the model's card"),
        (drop_spec, "a model's card has the keys spec"),
        (lambda path: change_card(path, spec={"dept": 1}), "unknown key 'dept'"),
        (lambda path: change_card(path, detector={"tau": 1}), "detector: unknown key 'tau'"),
        (lambda path: change_card(path, spec={}), r"weights do not fit .* should be \("),
    ],
)
def test_damaged_files_are_refused_in_one_line(saved, spoil, message):
    path = saved[2]
    spoil(path)
    with pytest.raises(InputFileError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path.with_suffix("")) in str(error.value)


def test_shipped_models_load_and_say_what_they_reached():
    assert "sttf-tiny" in known_models()
    for name in known_models():
        model, card = load(name)
        assert card_path(name).parent == WEIGHTS
        assert sum(p.numel() for p in model.parameters()) <= SHIPPED_LIMIT
        assert all(torch.isfinite(p).all() for p in model.parameters())
        assert card.spec.name == name
        assert card.training["processor_s"] <= 2 * 60 * 60  # an hour of two cores
        for score in ("accuracy", "retention", "box_retention", "caption_slots"):
            assert 0 <= card.scores["hard"][score] <= 1.1
