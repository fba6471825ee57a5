"""The second stage sees what the model sees, and moves head and decoder only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.frontend.detect import Frontend
from neurovlm.training.data import Augmentation, draw_batch
from neurovlm.training.loop import Batch, Plan, unroll
from neurovlm.training.refine import (
    CAPTION_WINDOWS,
    RefineConfig,
    Seen,
    look,
    look_at_subjects,
    refine,
)

FROZEN = ("encoder.", "head.readout.reduce.", "head.readout.gate.")


def batch_of(clips, model, seed: int = 0, with_frames: bool = False) -> Batch:
    source = clips(n=8, n_windows=60, seed=seed, with_frames=with_frames)
    whole = Augmentation(batch_size=8, n_windows=60, max_active=(12, 12), n_refresh=(3, 3))
    return draw_batch(source, model.tokenizer, whole, np.random.default_rng(seed))


@pytest.mark.parametrize("with_frames", [False, True])
def test_what_is_kept_gives_the_same_states_and_captions(build, clips, with_frames):
    model = build().eval().requires_grad_(False)
    batch = batch_of(clips, model, with_frames=with_frames)
    seen = look(model, batch)
    expected = unroll(model, batch, Plan(captions=frozenset(CAPTION_WINDOWS)))
    observed = model.head.norm(model.head.readout.place(seen.sketch.float()))
    states, _ = model.head.advance(observed, model.head.initial(8))
    torch.testing.assert_close(states, expected.states, atol=5e-3, rtol=0)  # kept in float16
    for position, window in enumerate(CAPTION_WINDOWS):
        memory = expected.memories[window]
        torch.testing.assert_close(
            seen.tokens[:, position].float(), memory.tokens, atol=5e-3, rtol=0
        )
        assert torch.equal(seen.age[:, position].long(), memory.age)
        assert torch.equal(seen.score[:, position].long(), batch.score[:, window].long())
    assert torch.equal(seen.label, batch.label)
    assert torch.equal(seen.words, batch.words)


def test_joined_clips_keep_their_captions(build, clips):
    model = build().eval()
    parts = [look(model, batch_of(clips, model, with_frames=frames)) for frames in (False, True)]
    joined = Seen.join(parts)
    assert len(joined) == 16
    said = [model.tokenizer.decode(row) for part in parts for row in part.words.tolist()]
    assert [model.tokenizer.decode(row) for row in joined.words.tolist()] == said
    assert torch.equal(joined.sketch[8:], parts[1].sketch)


def run(build, clips, seed: int):
    model = build()
    seen = look(model.eval(), batch_of(clips, model))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(seed)
    reports = []
    config = RefineConfig(epochs=6, batch_size=4, warmup=0.1, caption_weight=0.5, state_dropout=0)
    refine(model, seen, config, np.random.default_rng(seed), reports.append)
    return model, before, reports


def test_only_head_and_decoder_move(build, clips):
    model, before, _ = run(build, clips, 0)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith(FROZEN), name


def test_losses_fall_and_the_same_seed_refines_the_same(build, clips):
    (_, _, first), (_, _, again), (_, _, other) = (run(build, clips, seed) for seed in (0, 0, 1))
    losses = [[report.losses for report in reports] for reports in (first, again, other)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert len(first) == 6 * 2
    assert first[-1].losses["label"] < first[0].losses["label"]
    assert first[-1].losses["caption"] < first[0].losses["caption"]


@pytest.mark.slow
def test_subjects_are_seen_the_same_by_any_number_of_workers(build):
    model, frontend = build().eval(), Frontend.build()
    one, two = (
        look_at_subjects(model, frontend, [0, 1], with_frames_every=2, variants=1, workers=workers)
        for workers in (1, 2)
    )
    assert len(one) == 22
    for name in ("sketch", "tokens", "score", "age", "label", "words"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    colours = [
        any(w in model.tokenizer.decode(row) for w in ("shirt",)) for row in one.words.tolist()
    ]
    assert colours == [True] * 11 + [False] * 11


def test_more_variants_are_other_views_of_the_same_clips(build, clips):
    model = build().eval()
    batch = batch_of(clips, model)
    changed = replace(batch, max_active=torch.full((8,), 6))
    assert not torch.equal(look(model, batch).sketch, look(model, changed).sketch)
