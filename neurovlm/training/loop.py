"""Unrolling a model over whole clips in parallel, its losses, and the training loop.

Gradients flow through the tokens computed in each window and, over time, through the recurrent
state; keys, values and tokens remembered from earlier windows are constants (truncated
back-propagation of length one through the memory, full through the GRU).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.language.decoder import Context
from neurovlm.language.tokenizer import END
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import Limits
from neurovlm.sttf.window import Encoded, Steering, SttfState, encode_window
from neurovlm.zoo.model import SttfModel


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips side by side, ``B`` of them with ``T`` windows.

    Attributes
    ----------
    counts
        uint8 ``(B, T, C, pixels, pixels)``.
    frames
        uint8 ``(B, F, 224, 224, 3)`` or None; frame f is shown in windows
        ``f * T // F`` and later.
    changed, score
        ``(B, T, N)``.
    label
        int64 ``(B,)``.
    words
        int64 ``(B, S)``, caption ids, ended and padded by `END`.
    max_active, n_refresh
        int64 ``(B,)``, limits of the policy for each clip.
    """

    counts: Tensor
    frames: Tensor | None
    changed: Tensor
    score: Tensor
    label: Tensor
    words: Tensor
    max_active: Tensor
    n_refresh: Tensor

    def frame(self, window: int) -> Tensor | None:
        """Frames that are shown in ``window``."""
        if self.frames is None:
            return None
        return self.frames[:, window * self.frames.shape[1] // self.counts.shape[1]]


@dataclass(frozen=True)
class Plan:
    """Which windows of a batch are special.

    Attributes
    ----------
    captions
        Windows after which a caption is asked for.
    dense
        Windows in which all tokens are computed, whatever changed; the first always is.
    learn
        Windows in which the encoder learns; None: in all. The head learns in all of them.
    """

    captions: frozenset[int] = frozenset()
    dense: frozenset[int] = frozenset()
    learn: frozenset[int] | None = None


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

    The memory is kept after each window of ``plan.captions``.
    """
    state: SttfState | None = None
    observed, states, n_active = [], {}, []
    for window in range(batch.counts.shape[1]):
        learns = plan.learn is None or window in plan.learn
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            encoded = encode(model, batch, window, state, window in plan.dense)
        state = encoded.state
        observed.append(model.head.observe(state, batch.score[:, window]))
        n_active.append(encoded.n_active)
        if window in plan.captions:
            states[window] = state.memory
    start = model.head.initial(len(batch.label))
    hidden, _ = model.head.advance(torch.stack(observed, 1), start)
    return Unrolled(hidden, states, torch.stack(n_active, 1))


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


def label_loss(model: SttfModel, states: Tensor, label: Tensor, first: int) -> Tensor:
    """Cross-entropy of the label, mean over clips and over windows from ``first`` on."""
    logits = model.head.label(states[:, first:])
    truth = label[:, None].expand(logits.shape[:2])
    return functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), label_smoothing=0.05)


def caption_loss(
    model: SttfModel, state: Tensor, memory: TokenMemory, score: Tensor, words: Tensor
) -> Tensor:
    """Cross-entropy of a caption's words and of its end, teacher-forced."""
    context = model.decoder.context(state, memory.patches, score, memory.age)
    return words_loss(model, context, words)


def words_loss(model: SttfModel, context: Context, words: Tensor) -> Tensor:
    """Cross-entropy of ``words (B, S)`` and their end, given what the decoder reads."""
    logits = model.decoder(words[:, :-1], context)
    is_word = torch.cat([torch.ones_like(words[:, :1]), words[:, :-1]], 1) != END
    return functional.cross_entropy(logits[is_word], words[is_word])


def batch_loss(model: SttfModel, batch: Batch, first: int, plan: Plan) -> dict[str, Tensor]:
    """Losses by name: of the label from window ``first`` on, of the captions of ``plan``."""
    seen = unroll(model, batch, plan)
    captions = [
        caption_loss(model, seen.states[:, window], memory, batch.score[:, window], batch.words)
        for window, memory in seen.memories.items()
    ]
    return {
        "label": label_loss(model, seen.states, batch.label, first),
        "caption": torch.stack(captions).mean(),
    }


@dataclass(frozen=True)
class LoopConfig:
    """How to train.

    Attributes
    ----------
    steps
        Batches.
    learning_rate, warmup, weight_decay, clip_norm
        AdamW with linear warm-up over the share ``warmup`` of the steps and a cosine to 0.
    first_window
        Labels count from this window on (16 windows of 25 ms: 0.4 s).
    caption_weight
        Weight of the caption loss beside the label loss.
    max_cpu_s
        Stop after this much processor time of the process, over all threads; the cosine follows
        whichever of steps and time is further.
    bfloat16
        Run products in bfloat16; weights, norms and losses stay in float32.
    """

    steps: int = 300
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    first_window: int = 16
    caption_weight: float = 0.5
    max_cpu_s: float = math.inf
    bfloat16: bool = True


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step."""

    step: int
    cpu_s: float
    losses: dict[str, float] = field(default_factory=dict)

    def after(self, step: int, cpu_s: float, losses: Mapping[str, Tensor]) -> Progress:
        """One step further; losses become running means over about 20 steps."""
        means = {
            name: _smooth(self.losses.get(name), float(loss.detach()))
            for name, loss in losses.items()
        }
        return Progress(step, cpu_s, means)


def train(
    model: SttfModel,
    batches: Iterator[tuple[Batch, Plan]],
    config: LoopConfig,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train ``model`` in place on ``batches`` and their plans; return where it ended.

    Losses are running means over about 20 steps.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
    )
    start_s = time.process_time()
    model.train()
    progress = Progress(-1, 0.0)
    for step in range(config.steps):
        done = max(step / config.steps, (time.process_time() - start_s) / config.max_cpu_s)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(done, config.warmup)
        batch, plan = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            losses = batch_loss(model, batch, config.first_window, plan)
        total = losses["label"] + config.caption_weight * losses["caption"]
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        progress = progress.after(step, time.process_time() - start_s, losses)
        report(progress)
    model.eval()
    return progress


def _smooth(mean: float | None, value: float) -> float:
    return value if mean is None else mean + (value - mean) / 20


def schedule(done: float, warmup: float) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to 0."""
    if done < warmup:
        return (done + 0.1 * warmup) / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
