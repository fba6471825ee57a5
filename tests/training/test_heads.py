"""Heads behind a frozen encoder see what the whole model sees, and learn from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.sttf.boxes import BoxConfig
from neurovlm.training.batch import Augmentation, draw_batch
from neurovlm.training.data import UNKNOWN
from neurovlm.training.heads import (
    Seen,
    caption_windows,
    head_parameters,
    heads_loss,
    look,
    look_at_clips,
    look_at_files,
)
from neurovlm.training.loop import Plan, unroll
from neurovlm.training.recipe import Stage

STAGE = Stage(
    part="heads",
    first_window=2,
    token_dropout=0.0,
    state_dropout=0.0,
    augmentation=Augmentation(batch_size=4, n_windows=None, max_active=(8, 12), n_refresh=(1, 2)),
)


def test_what_is_kept_gives_the_states_of_the_whole_model(build, clips):
    model = build().eval()
    batch = draw_batch(clips(n_windows=6), model.tokenizer, STAGE.augmentation, _rng())
    seen = look(model, batch)
    whole = unroll(model, batch, Plan(captions=frozenset(caption_windows(6))))
    head = model.head
    with torch.no_grad():
        observed = head.norm(head.readout.place(seen.sketch.float()))
        states, _ = head.advance(observed, head.initial(len(seen)))
    torch.testing.assert_close(states, whole.states, atol=2e-2, rtol=0)  # sketches have 11 bits
    for moment, window in enumerate(caption_windows(6)):
        memory = whole.memories[window]
        torch.testing.assert_close(
            seen.tokens[:, moment].float(), memory.patches, atol=5e-3, rtol=2e-3
        )
        assert torch.equal(seen.age[:, moment].long(), memory.age)


@pytest.mark.parametrize("still", [(), ("label",), ("caption",), ("label", "box"), ("box",)])
def test_losses_teach_heads_with_a_weight_and_nothing_else(build, clips, still):
    stage = replace(STAGE, **{f"{head}_weight": 0.0 for head in still})
    spec = build().spec
    model = build(spec=replace(spec, boxes=BoxConfig(hidden=8, n_mix=1)))
    source = replace(clips(), boxes=np.tile(np.float32([9, 9, 60, 60]), (8, 6, 3, 1)))
    seen = look_at_clips(model, source, STAGE, _rng())
    sum(heads_loss(model, seen.take(torch.arange(4)), stage, 1, _rng()).values()).backward()
    learned = {id(p) for p in model.parameters() if p.grad is not None and p.grad.any()}
    allowed = {id(p) for p in head_parameters(model, stage)}
    assert learned <= allowed
    assert len(learned) > 0.9 * len(allowed)


def test_unknown_labels_cost_nothing(build, clips):
    model = build()
    source = replace(clips(n=4), label=np.full(4, UNKNOWN), slots=({},) * 4)
    seen = look_at_clips(model, source, STAGE, _rng())
    losses = heads_loss(model, seen, STAGE, 0, _rng())
    assert losses["label"] == losses["caption"] == 0


def test_files_are_seen_in_their_order_whoever_reads_them(build, clips, tmp_path):
    model, paths = build().eval(), [tmp_path / "7.npz", tmp_path / "10-rgb.npz"]
    for seed, path in enumerate(paths):
        clips(n=2, n_windows=8, seed=seed, with_frames="rgb" in path.name).save(path)
    one, two = (look_at_files(model, paths, STAGE, 3, workers) for workers in (1, 2))
    assert len(one) == 4
    assert torch.equal(one.sketch, two.sketch)
    assert torch.equal(one.words, two.words)
    other = look_at_files(model, paths[::-1], STAGE, 3, 1)
    assert torch.equal(other.sketch[:2], one.sketch[2:])


def test_joined_captions_are_padded_to_the_longest(build, clips):
    model = build()
    with_colour = look_at_clips(model, clips(n=2, n_windows=8, with_frames=True), STAGE, _rng())
    without = look_at_clips(model, clips(n=2, n_windows=8), STAGE, _rng())
    joined = Seen.join([without, with_colour])
    said = [model.tokenizer.decode(row) for row in joined.words.tolist()]
    assert said[:2] == [model.tokenizer.decode(row) for row in without.words.tolist()]
    assert sum("red" in text for text in said) == 2


@pytest.mark.parametrize(("n", "expected"), [(60, (39, 59)), (3, (1, 2))])
def test_captions_are_asked_for_at_two_thirds_and_at_the_end(n, expected):
    assert caption_windows(n) == expected


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_what_is_hidden_in_a_step_follows_from_its_own_numbers_alone(build, clips):
    model, stage = build(), replace(STAGE, token_dropout=0.3, state_dropout=0.3)
    seen = look_at_clips(model, clips(n=4), STAGE, _rng())

    def label_loss(seed: int) -> float:
        losses = heads_loss(model, seen, stage, 1, np.random.default_rng(seed))
        return float(losses["label"].detach())

    first = label_loss(5)
    torch.rand(7)
    assert label_loss(5) == first
    assert label_loss(6) != first
