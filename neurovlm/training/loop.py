"""Unrolling a model over whole clips in parallel, and its losses.

Gradients flow through the tokens computed in each window and, over time, through the recurrent
state; keys, values and tokens remembered from earlier windows are constants (truncated
back-propagation of length one through the memory, full through the GRU).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.events.scenes.boxes import BOX_CLASSES
from neurovlm.language.decoder import Context
from neurovlm.language.tokenizer import END
from neurovlm.sttf.boxes import assign, box_loss
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import Limits
from neurovlm.sttf.uncertainty import drift
from neurovlm.sttf.window import Encoded, Steering, SttfState, encode_window
from neurovlm.training.batch import Batch
from neurovlm.training.data import UNKNOWN
from neurovlm.training.recipe import Stage
from neurovlm.zoo.model import SttfModel

__all__ = ["Batch", "Plan", "Unrolled", "batch_loss", "draw_plan", "encode", "unroll"]

SMOOTHING = 0.05
"""Label smoothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which windows of a batch are special.

    Attributes
    ----------
    captions
        Windows after which a caption and boxes are asked for.
    boxes
        Windows after which boxes are asked for, beside those of ``captions``.
    dense
        Windows in which all tokens are computed, whatever changed; the first always is.
    learn
        Windows in which the encoder learns; None: in all. The head learns in all of them.
    taught
        Whether the teacher sees the batch too.
    """

    captions: frozenset[int] = frozenset()
    boxes: frozenset[int] = frozenset()
    dense: frozenset[int] = frozenset()
    learn: frozenset[int] | None = None
    taught: bool = False


def draw_plan(n: int, stage: Stage, rng: np.random.Generator) -> Plan:
    """Captions after the last of ``n`` windows and after one in the second half.

    What stands still is learned in dense windows only: there every token has a gradient.
    """
    middle = int(rng.integers(n // 2, max(n - 1, n // 2 + 1)))
    all_dense, one_dense = rng.random(2) < (stage.dense_share, stage.part_dense_share)
    learn = rng.random(n) < stage.learn_share
    learn[[middle, n - 1]] = True
    learning = np.flatnonzero(learn)
    boxes = rng.choice(learning, min(stage.box_windows, len(learning)), replace=False)
    return Plan(
        captions=frozenset({middle, n - 1}),
        boxes=frozenset(boxes.tolist()),
        dense=frozenset(range(n) if all_dense else {middle} if one_dense else ()),
        learn=frozenset(learning.tolist()),
        taught=bool(rng.random() < stage.teach_share),
    )


class Unrolled(NamedTuple):
    """What a model saw of a batch.

    Attributes
    ----------
    states
        ``(B, T, state_dim)``, recurrent state after each window.
    memories
        Memory after each window that was asked for.
    n_active
        int64 ``(B, T)``, tokens computed.
    """

    states: Tensor
    memories: dict[int, TokenMemory]
    n_active: Tensor


def unroll(model: SttfModel, batch: Batch, plan: Plan) -> Unrolled:
    """Run all windows of a batch, as `SttfModel.step` would one by one.

    The memory is kept after each window of ``plan.captions`` and ``plan.boxes``.
    """
    state: SttfState | None = None
    observed, memories, n_active = [], {}, []
    for window in range(batch.counts.shape[1]):
        learns = plan.learn is None or window in plan.learn
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            encoded = encode(model, batch, window, state, window in plan.dense)
        state = encoded.state
        observed.append(model.head.observe(state, batch.score[:, window]))
        n_active.append(encoded.n_active)
        if window in plan.captions | plan.boxes:
            memories[window] = state.memory
    start = model.head.initial(len(batch.label))
    hidden, _ = model.head.advance(torch.stack(observed, 1), start)
    return Unrolled(hidden, memories, torch.stack(n_active, 1))


def encode(
    model: SttfModel, batch: Batch, window: int, state: SttfState | None, dense: bool
) -> Encoded:
    """Take one window of every clip; nothing learns through what was remembered before it."""
    counts, frame = batch.counts[:, window], batch.frame(window)
    before = None if state is None else SttfState(state.memory.detach(), state.policy)
    return encode_window(
        model.encoder,
        model.spec.policy,
        (counts, frame),
        batch.changed[:, window],
        batch.score[:, window],
        before,
        dense=dense,
        steering=Steering(limits=Limits(batch.max_active, batch.n_refresh)),
    )


def batch_loss(
    model: SttfModel, batch: Batch, stage: Stage, plan: Plan, teacher: SttfModel | None = None
) -> dict[str, Tensor]:
    """Weighted losses by name; their sum is what is minimised.

    Parameters
    ----------
    teacher
        Runs dense beside the model where the plan says so; its tokens are compared where they
        are as wide as the model's. None: the model itself.
    """
    seen = unroll(model, batch, plan)
    losses = {
        "label": stage.label_weight * label_loss(model, seen.states, batch, stage.first_window)
    }
    captions, boxes = [], []
    for window, memory in seen.memories.items():
        if window in plan.captions:
            context = model.decoder.context(
                seen.states[:, window], memory.patches, batch.score[:, window], memory.age
            )
            captions.append(words_loss(model, context, batch.words))
        if batch.boxes is not None and model.boxes is not None:
            boxes.append(boxes_loss(model, memory.patches, batch.boxes[:, window]))
    losses["caption"] = stage.caption_weight * torch.stack(captions).mean()
    if boxes:
        losses["boxes"] = stage.box_weight * torch.stack(boxes).mean()
    if plan.taught:
        losses |= _taught(model, batch, stage, plan, seen, model if teacher is None else teacher)
    return losses


def label_loss(model: SttfModel, states: Tensor, batch: Batch, first: int) -> Tensor:
    """Cross-entropy of the label, mean over clips and over windows from ``first`` on."""
    counts = batch.counting(min(first, states.shape[1] - 1))
    logits = model.head.label(states[counts])
    label, other, share = (
        each[:, None].expand(counts.shape)[counts] for each in batch.mixed_labels
    )
    return labels_entropy(logits, label, other, share).sum() / counts.sum().clamp(min=1)


def labels_entropy(logits: Tensor, label: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Cross-entropy ``(n,)`` of smoothed labels, mixed ones by share; 0 where `UNKNOWN`."""
    entropy = partial(
        functional.cross_entropy,
        logits,
        ignore_index=UNKNOWN,
        label_smoothing=SMOOTHING,
        reduction="none",
    )
    mixed: Tensor = (1 - share) * entropy(label) + share * entropy(other)
    return mixed


def words_loss(model: SttfModel, context: Context, words: Tensor) -> Tensor:
    """Cross-entropy of ``words (B, S)`` and their end, given what the decoder reads.

    Clips without a caption do not count.
    """
    logits = model.decoder(words[:, :-1], context)
    is_word = torch.cat([torch.ones_like(words[:, :1]), words[:, :-1]], 1) != END
    is_word &= words[:, :1] != END
    total = functional.cross_entropy(logits[is_word], words[is_word], reduction="sum")
    return total / is_word.sum().clamp(min=1)


def boxes_loss(model: SttfModel, tokens: Tensor, boxes: Tensor) -> Tensor:
    """Loss of the boxes found in ``tokens (B, N, D)`` beside the true ``boxes (B, K, 4)``."""
    assert model.boxes is not None
    grid, classes = model.spec.encoder.grid, torch.arange(len(BOX_CLASSES), device=boxes.device)
    targets = assign(boxes, classes, len(BOX_CLASSES), grid)
    return torch.stack(list(box_loss(model.boxes(tokens), targets, grid))).sum()


def _taught(
    model: SttfModel, batch: Batch, stage: Stage, plan: Plan, seen: Unrolled, teacher: SttfModel
) -> dict[str, Tensor]:
    """Losses against the dense teacher, from which nothing flows back."""
    everywhere = frozenset(range(batch.counts.shape[1]))
    with torch.no_grad():
        shown = unroll(teacher, batch, Plan(captions=plan.captions, dense=everywhere))
        right = teacher.head.label(shown.states).log_softmax(-1)
    given = model.head.label(seen.states).log_softmax(-1)
    counts = batch.counting(min(stage.first_window, given.shape[1] - 1))
    divergence = (right.exp() * (right - given)).sum(-1)[counts].sum() / counts.sum().clamp(min=1)
    losses = {"kl": stage.kl_weight * divergence}
    pairs = [(seen.memories[window], shown.memories[window]) for window in plan.captions]
    if pairs[0][0].tokens.shape == pairs[0][1].tokens.shape:
        distances = torch.stack([drift(mine, theirs) for mine, theirs in pairs])
        losses["tokens"] = stage.token_weight * distances.mean()
        if model.encoder.drift is not None:
            told = torch.stack([model.encoder.drift(memory.detach()) for memory, _ in pairs])
            misses = torch.log1p(told) - torch.log1p(distances.detach())
            losses["drift"] = stage.drift_weight * misses.abs().mean()
    return losses
