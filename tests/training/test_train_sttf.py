"""The script writes a model that loads, and can begin from one."""

from __future__ import annotations

import pytest
import torch

from neurovlm.training.train_sttf import main
from neurovlm.zoo.load import load


@pytest.mark.slow
def test_both_stages_leave_a_model_and_its_history(tmp_path):
    few = {"refine_subjects": 5, "epochs": 1, "seed": 3, "workers": 1}
    main(tmp_path / "one", steps=1, subjects=1, frame_subjects=1, **few)
    model, card = load(tmp_path / "one" / "sttf-tiny.safetensors")
    assert card.seed == 3
    assert card.scores == {}
    first, second = card.training["first_stage"], card.training["second_stage"]
    assert (first["steps"], second["epochs"]) == (1, 1)
    assert card.training["processor_s"] == first["processor_s"] + second["processor_s"]

    main(tmp_path / "two", start=str(tmp_path / "one" / "sttf-tiny.safetensors"), **few)
    again, later = load(tmp_path / "two" / "sttf-tiny.safetensors")
    assert later.training["first_stage"] == first
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(again.encoder.state_dict()[name], tensor)
    assert not torch.equal(again.head.label.weight, model.head.label.weight)
