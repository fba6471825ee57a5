"""Unrolling equals stepping; losses reach what they are meant for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.sttf.boxes import BoxConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.training.batch import Augmentation, Batch, draw_batch
from neurovlm.training.data import UNKNOWN
from neurovlm.training.loop import Plan, batch_loss, draw_plan, labels_entropy, unroll
from neurovlm.training.recipe import Stage

STILL = Augmentation(
    batch_size=4, n_windows=6, max_active=(12, 12), n_refresh=(3, 3), max_shift=0, drop=0.0
)
STAGE = Stage(first_window=2)


def batch_of(clips, model, seed: int = 0, **changes) -> Batch:
    source = replace(clips(), **changes)
    return draw_batch(source, model.tokenizer, STILL, np.random.default_rng(seed))


def with_boxes(build):
    spec = build().spec
    encoder = replace(spec.encoder, uncertainty=True)
    return build(spec=replace(spec, encoder=encoder, boxes=BoxConfig(hidden=8, n_mix=1)))


@pytest.mark.parametrize("dense", [frozenset(), frozenset({3}), frozenset(range(6))])
def test_unrolling_a_batch_equals_stepping_each_clip(build, clips, dense):
    policy = PolicyConfig(max_active=12, n_refresh=3)
    model = build(spec=replace(build().spec, policy=policy)).eval()
    batch = batch_of(clips, model)
    batch.changed[1, 2] = True  # a scene cut in one clip only
    with torch.no_grad():
        seen = unroll(model, batch, Plan(captions=frozenset({5}), dense=dense))
        probabilities = model.head.label(seen.states).softmax(-1)
    for clip in range(4):
        state = model.init_state()
        for window in range(6):
            output, state = model.step(
                batch.counts[clip, window].numpy(),
                None,
                batch.changed[clip, window].numpy(),
                batch.score[clip, window].numpy(),
                state,
                dense=window in dense,
            )
            assert len(output.active) == int(seen.n_active[clip, window])
            np.testing.assert_allclose(
                output.probabilities, probabilities[clip, window].numpy(), atol=1e-5
            )
        np.testing.assert_allclose(state.memory.tokens[0], seen.memories[5].tokens[clip], atol=1e-4)


def test_windows_that_do_not_learn_give_the_encoder_no_gradient(build, clips):
    model = build()
    plan = Plan(captions=frozenset({5}), learn=frozenset())
    losses = batch_loss(model, batch_of(clips, model), STAGE, plan)
    sum(losses.values()).backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert model.head.readout.place.weight.grad.abs().max() > 0


def test_a_dense_model_has_nothing_to_learn_from_itself(build, clips):
    model = with_boxes(build)
    dense = frozenset(range(6))
    plan = Plan(captions=frozenset({3, 5}), dense=dense, taught=True)
    losses = batch_loss(model, batch_of(clips, model), STAGE, plan)
    assert losses["kl"].abs() < 1e-6
    assert losses["tokens"].abs() < 1e-6
    sparse = batch_loss(model, batch_of(clips, model), STAGE, replace(plan, dense=frozenset()))
    assert sparse["tokens"] > 1e-3


def test_the_teacher_gets_no_gradient_and_the_drift_head_gives_none_to_tokens(build, clips):
    model, teacher = with_boxes(build), build(1)
    plan = Plan(captions=frozenset({5}), taught=True)
    losses = batch_loss(model, batch_of(clips, model), STAGE, plan, teacher)
    assert losses["kl"] > 0
    losses["kl"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    model.zero_grad()
    batch_loss(model, batch_of(clips, model), STAGE, plan)["drift"].backward()
    learns = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {n for n, _ in model.named_parameters() if n.startswith("encoder.drift")}


def test_a_teacher_of_another_width_teaches_labels_only(build, clips):
    model, spec = build(), build().spec
    wide = build(spec=replace(spec, encoder=replace(spec.encoder, dim=32)))
    plan = Plan(captions=frozenset({5}), taught=True)
    losses = batch_loss(model, batch_of(clips, model), STAGE, plan, wide)
    assert "tokens" not in losses
    assert losses["kl"] > 0


def test_clips_without_label_caption_or_boxes_cost_nothing(build, clips):
    model = with_boxes(build)
    nothing = {"label": np.full(8, UNKNOWN), "slots": ({},) * 8}
    nothing["boxes"] = np.full((8, 6, 3, 4), np.nan, np.float32)
    batch = batch_of(clips, model, **nothing)
    losses = batch_loss(model, batch, STAGE, Plan(captions=frozenset({5})))
    assert losses["label"] == losses["caption"] == 0
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_plans_keep_to_their_shares():
    rng = np.random.default_rng(0)
    stage = Stage(learn_share=0.25, dense_share=0.5, part_dense_share=0.0, teach_share=0.1)
    plans = [draw_plan(20, stage, rng) for _ in range(2000)]
    assert all(19 in plan.captions and len(plan.captions) == 2 for plan in plans)
    assert np.mean([len(plan.dense) == 20 for plan in plans]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([plan.taught for plan in plans]) == pytest.approx(0.1, abs=0.03)
    learns = np.mean([len(plan.learn) for plan in plans])
    assert learns == pytest.approx(2 + 18 * 0.25, abs=0.3)


def test_a_mixed_label_costs_the_mean_of_both_by_share():
    logits = torch.randn(4, 11, generator=torch.Generator().manual_seed(0))
    label, other = torch.tensor([0, 1, 2, UNKNOWN]), torch.tensor([3, 1, 5, UNKNOWN])
    share = torch.tensor([0.25, 0.5, 1.0, 0.0])
    target = torch.full((4, 11), 0.05 / 11)
    for row in range(3):
        target[row, label[row]] += 0.95 * (1 - share[row])
        target[row, other[row]] += 0.95 * share[row]
    target[3] = 0
    by_hand = -(target * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(labels_entropy(logits, label, other, share), by_hand)
