"""Unrolling equals stepping; a few steps learn, the same way each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.sttf.policy import PolicyConfig
from neurovlm.training.data import Augmentation, batches, draw_batch
from neurovlm.training.loop import Batch, LoopConfig, Plan, batch_loss, train, unroll

STILL = Augmentation(
    batch_size=4, n_windows=6, max_active=(12, 12), n_refresh=(3, 3), max_shift=0, drop=0.0
)


def batch_of(clips, model, seed: int = 0, augmentation: Augmentation = STILL) -> Batch:
    return draw_batch(clips, model.tokenizer, augmentation, np.random.default_rng(seed))


@pytest.mark.parametrize("dense", [frozenset(), frozenset({3}), frozenset(range(6))])
def test_unrolling_a_batch_equals_stepping_each_clip(build, clips, dense):
    policy = PolicyConfig(max_active=12, n_refresh=3)
    model = build(spec=replace(build().spec, policy=policy)).eval()
    batch = batch_of(clips(), model)
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
    batch = batch_of(clips(), model)
    plan = Plan(captions=frozenset({5}), learn=frozenset())
    losses = batch_loss(model, batch, 2, plan)
    (losses["label"] + losses["caption"]).backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert model.head.readout.place.weight.grad.abs().max() > 0


def losses_of_a_run(build, clips, seed: int) -> list[dict[str, float]]:
    model, reports = build(seed), []
    source = batches(
        (clips(), clips(with_frames=True, n_windows=8)),
        (0.5, 0.5),
        model.tokenizer,
        Augmentation(batch_size=4, n_windows=4, max_active=(8, 12), n_refresh=(1, 2)),
        np.random.default_rng(seed),
    )
    train(model, source, LoopConfig(steps=2, first_window=1, bfloat16=False), reports.append)
    assert not model.training
    return [report.losses for report in reports]


def test_the_same_seed_trains_the_same(build, clips):
    first, again, other = (losses_of_a_run(build, clips, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_two_steps_lower_the_loss(build, clips):
    model = build()
    batch = batch_of(clips(), model)
    plan = Plan(captions=frozenset({5}))
    before = batch_loss(model, batch, 2, plan)
    config = LoopConfig(steps=2, first_window=2, warmup=0.5, bfloat16=False)
    train(model, iter([(batch, plan)] * 2), config)
    after = batch_loss(model, batch, 2, plan)
    assert after["label"] < before["label"]
    assert after["caption"] < before["caption"]


def test_training_stops_when_its_time_is_spent(build, clips):
    model = build()
    batch, plan = batch_of(clips(), model), Plan(captions=frozenset({5}))

    def endless():
        while True:
            yield batch, plan

    last = train(model, endless(), LoopConfig(steps=10**6, first_window=2, max_cpu_s=0.5))
    assert last.step < 10**6 - 1
