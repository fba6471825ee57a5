"""Nothing in a step of training is made on the CPU by default: it would not meet a model elsewhere.

No GPU is needed: every function of torch that makes a tensor must be told the device by its caller,
or take it from another tensor.
"""

from __future__ import annotations

import traceback
from dataclasses import replace

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from neurovlm.sttf.boxes import BoxConfig
from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.training.batch import Augmentation, draw_batch
from neurovlm.training.heads import heads_loss, look_at_clips
from neurovlm.training.loop import Plan, batch_loss
from neurovlm.training.recipe import Stage
from neurovlm.training.thresholds import threshold_loss, with_fixed_threshold

MAKERS = {
    torch.arange,
    torch.empty,
    torch.eye,
    torch.full,
    torch.linspace,
    torch.ones,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.randperm,
    torch.tensor,
    torch.zeros,
}
STAGE = Stage(
    first_window=2,
    augmentation=Augmentation(batch_size=4, n_windows=6, max_active=(12, 12), n_refresh=(3, 3)),
)


class MadeAnywhere(TorchFunctionMode):
    """Notes every tensor that is made without a device, and where."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in MAKERS and "device" not in (kwargs or {}):
            ours = [f for f in traceback.extract_stack() if "neurovlm" in f.filename]
            self.places.append(f"{ours[-1].filename}:{ours[-1].lineno} torch.{func.__name__}")
        return func(*args, **(kwargs or {}))


def _batch(model, clips):
    source = replace(clips(), boxes=np.tile(np.float32([9, 9, 60, 60]), (8, 6, 3, 1)))
    return draw_batch(source, model.tokenizer, STAGE.augmentation, np.random.default_rng(0))


def test_a_step_of_the_whole_model(build, clips):
    spec = build().spec
    encoder = replace(spec.encoder, uncertainty=True)
    model = build(spec=replace(spec, encoder=encoder, boxes=BoxConfig(hidden=8, n_mix=1)))
    batch = _batch(model, clips)
    plan = Plan(captions=frozenset({5}), dense=frozenset({3}), taught=True)
    with MadeAnywhere() as made:
        losses = batch_loss(model, batch, STAGE, plan)
    assert {"label", "caption", "boxes", "tokens"} <= set(losses)
    assert made.places == []


def test_a_step_of_the_heads(build, clips):
    model = build(spec=replace(build().spec, boxes=BoxConfig(hidden=8, n_mix=1)))
    seen = look_at_clips(model, clips(), STAGE, np.random.default_rng(0))
    with MadeAnywhere() as made:
        heads_loss(model, seen, STAGE, 1, np.random.default_rng(0))
    assert made.places == []


def test_a_step_of_the_thresholds(build, clips):
    spec = build().spec
    gated = replace(
        spec,
        encoder=replace(spec.encoder, gate_tau=0.0),
        thresholds=ThresholdConfig(0.0, 1.5),
    )
    model = build(spec=gated)
    plain, batch = with_fixed_threshold(model, None), _batch(model, clips)
    with MadeAnywhere() as made:
        threshold_loss(model, plain, batch, STAGE.spending, 0.3, first_window=2, soft=True)
    assert made.places == []
