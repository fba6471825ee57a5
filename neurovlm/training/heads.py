"""Training of the heads behind a frozen encoder.

Encoding a clip once and keeping what the heads read of it makes a pass of the heads some twenty
times cheaper than a pass of the whole model, so they see many more subjects for the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.language.tokenizer import END
from neurovlm.sttf.window import SttfState
from neurovlm.training.batch import Batch, draw_batch
from neurovlm.training.data import UNKNOWN, ClipSet
from neurovlm.training.loop import boxes_loss, encode, labels_entropy, words_loss
from neurovlm.training.recipe import Stage
from neurovlm.zoo.model import SttfModel


@dataclass(frozen=True, eq=False)
class Seen:
    """What a frozen encoder saw of n clips of T windows.

    Attributes
    ----------
    sketch
        float16 ``(n, T, N * channels)``, see `neurovlm.sttf.head.Readout.sketch`.
    tokens
        float16 ``(n, K, N, D)``, the memory after the windows of `caption_windows`.
    score, age
        int16 ``(n, K, N)``, at the same windows.
    boxes
        float32 ``(n, K, boxes, 4)``, at the same windows; NaN where nothing is known.
    label, words, other, share
        As in `neurovlm.training.batch.Batch`; ``other`` is the label where nothing was mixed.
    """

    sketch: Tensor
    tokens: Tensor
    score: Tensor
    age: Tensor
    boxes: Tensor
    label: Tensor
    words: Tensor
    other: Tensor
    share: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: Tensor, device: str = "cpu") -> Seen:
        """Clips at ``index``, on a device."""
        return Seen(*(getattr(self, f.name)[index].to(device) for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """All clips of ``parts``; captions are padded to the longest."""
        longest = max(part.words.shape[1] for part in parts)
        padded = [replace(part, words=_padded(part.words, longest)) for part in parts]
        return cls(*(torch.cat([getattr(p, f.name) for p in padded]) for f in fields(cls)))


def _padded(words: Tensor, length: int) -> Tensor:
    return functional.pad(words, (0, length - words.shape[1]), value=END)


def caption_windows(n_windows: int) -> tuple[int, int]:
    """Windows after which a caption is asked for: at two thirds of a clip and at its end."""
    return 2 * n_windows // 3 - 1, n_windows - 1


@torch.no_grad()
def look(model: SttfModel, batch: Batch) -> Seen:
    """Run the encoder over a batch and keep what the heads read."""
    state: SttfState | None = None
    n_windows = batch.counts.shape[1]
    sketches, kept = [], []
    for window in range(n_windows):
        state = encode(model, batch, window, state, dense=False).state
        memory, quiet, score = state.memory, state.policy.quiet, batch.score[:, window]
        sketches.append(model.head.readout.sketch(memory.patches, quiet, score).half())
        if window in caption_windows(n_windows):
            boxes = torch.full((len(batch.label), len(model.spec.box_classes), 4), torch.nan)
            if batch.boxes is not None:
                boxes = batch.boxes[:, window]
            kept.append((memory.patches.half(), score.short(), memory.age.short(), boxes))
    tokens, score, age, boxes = (torch.stack(column, 1) for column in zip(*kept, strict=True))
    sketch = torch.stack(sketches, 1)
    label, other, share = batch.mixed_labels
    return Seen(sketch, tokens, score, age, boxes, label, batch.words, other, share)


def look_at_files(
    model: SttfModel,
    paths: Sequence[Path],
    stage: Stage,
    seed: int,
    workers: int,
    report: Callable[[int], None] = lambda done: None,
) -> Seen:
    """Show every clip of every file to the encoder once, varied as the stage says."""
    task, parts = partial(_look_at_one, model, stage, seed), []
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for part in pool.map(task, paths):
            parts.append(part)
            report(len(parts))
    return Seen.join(parts)


def _look_at_one(model: SttfModel, stage: Stage, seed: int, path: Path) -> Seen:
    return look_at_clips(model, ClipSet.load(path), stage, np.random.default_rng([seed, _id(path)]))


def _id(path: Path) -> int:
    """Subject of a file of `neurovlm.training.clips.rendered`."""
    return int(path.stem.partition("-")[0])


def look_at_clips(model: SttfModel, clips: ClipSet, stage: Stage, rng: np.random.Generator) -> Seen:
    """Show every clip to the encoder once, in a random order."""
    everyone = replace(stage.augmentation, batch_size=len(clips))
    return look(model, draw_batch(clips, model.tokenizer, everyone, rng))


def head_parameters(model: SttfModel, stage: Stage) -> list[torch.nn.Parameter]:
    """What learns behind a frozen encoder; what made the sketches stays as it is.

    A head whose weight in the loss is 0 stays as it is too.
    """
    head, parts = model.head, list[torch.nn.Module]()
    if stage.label_weight:
        parts += [head.readout.place, head.norm, head.motion, head.recurrent, head.label]
    if stage.caption_weight:
        parts.append(model.decoder)
    if stage.box_weight and model.boxes is not None:
        parts.append(model.boxes)
    return [parameter for part in parts for parameter in part.parameters()]


def heads_loss(
    model: SttfModel,
    seen: Seen,
    stage: Stage,
    moment: int,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Weighted losses by name on all clips of ``seen``, captions and boxes at ``moment``."""
    with torch.set_grad_enabled(stage.label_weight > 0):
        states = _states(model, seen.sketch.float(), seen.tokens.shape[2], stage, rng)
    tokens = seen.tokens[:, moment].float()
    window = caption_windows(states.shape[1])[moment]
    context = model.decoder.context(
        states[:, window], tokens, seen.score[:, moment], seen.age[:, moment]
    )
    losses = {"caption": stage.caption_weight * words_loss(model, context, seen.words)}
    if stage.label_weight:
        losses["label"] = stage.label_weight * _label_loss(model, states, seen, stage)
    if model.boxes is not None:
        losses["boxes"] = stage.box_weight * boxes_loss(model, tokens, seen.boxes[:, moment])
    return losses


def _states(
    model: SttfModel, sketch: Tensor, n_tokens: int, stage: Stage, rng: np.random.Generator
) -> Tensor:
    """Recurrent state ``(n, T, state_dim)``, some of the tokens and of the state unseen."""
    head = model.head
    sketch = sketch.unflatten(-1, (n_tokens, -1))
    sketch = sketch * _dropout((*sketch.shape[:3], 1), stage.token_dropout, rng).to(sketch)
    observed = head.norm(head.readout.place(sketch.flatten(2)))
    states, _ = head.advance(observed, head.initial(len(sketch)))
    return states * _dropout(states.shape, stage.state_dropout, rng).to(states)


def _dropout(shape: Sequence[int], share: float, rng: np.random.Generator) -> Tensor:
    """Factors: 0 for about ``share`` of them, and for the others what keeps the mean at 1."""
    kept = rng.random(tuple(shape), dtype=np.float32) >= share
    return torch.from_numpy(kept.astype(np.float32) / (1 - share))


def _label_loss(model: SttfModel, states: Tensor, seen: Seen, stage: Stage) -> Tensor:
    first = min(stage.first_window, states.shape[1] - 1)
    logits = model.head.label(states[:, first:]).flatten(0, 1)
    label, other, share = (
        each[:, None].expand(-1, states.shape[1] - first).flatten()
        for each in (seen.label, seen.other, seen.share)
    )
    missed = labels_entropy(logits, label, other, share).sum()
    return missed / (label != UNKNOWN).sum().clamp(min=1)
