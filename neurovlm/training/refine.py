"""Second stage of training: encoder frozen, label head and decoder on what it saw.

Encoding a clip once and keeping the readout's sketch makes a pass of head and decoder some twenty
times cheaper than a pass of the whole model, so both see many more subjects for the same work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from neurovlm.frontend.detect import Frontend
from neurovlm.language.tokenizer import END
from neurovlm.sttf.window import SttfState
from neurovlm.training.data import Augmentation, draw_batch, make_clips
from neurovlm.training.loop import Batch, Progress, encode, schedule, words_loss
from neurovlm.zoo.model import SttfModel

CAPTION_WINDOWS = (39, 59)
"""Windows after which a caption is asked for: 1.0 and 1.5 s."""

VARIED = Augmentation(n_windows=60, max_active=(24, 32), n_refresh=(6, 8), drop=0.1)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a frozen encoder saw of n clips of T windows.

    Attributes
    ----------
    sketch
        float16 ``(n, T, N * channels)``, see `neurovlm.sttf.head.Readout.sketch`.
    tokens
        float16 ``(n, K, N, D)``, the memory at `CAPTION_WINDOWS`.
    score, age
        int16 ``(n, K, N)``, at the same windows.
    label
        int64 ``(n,)``.
    words
        int64 ``(n, S)``, caption ids.
    """

    sketch: Tensor
    tokens: Tensor
    score: Tensor
    age: Tensor
    label: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def join(cls, parts: Sequence[Seen]) -> Seen:
        """All clips of ``parts``; captions are padded to the longest."""
        longest = max(part.words.shape[1] for part in parts)
        padded = [replace(part, words=_padded(part.words, longest)) for part in parts]
        return cls(*(torch.cat([getattr(p, f.name) for p in padded]) for f in fields(cls)))


def _padded(words: Tensor, length: int) -> Tensor:
    return functional.pad(words, (0, length - words.shape[1]), value=END)


@torch.no_grad()
def look(model: SttfModel, batch: Batch) -> Seen:
    """Run the encoder over a batch and keep what head and decoder read."""
    state: SttfState | None = None
    sketches, kept = [], []
    for window in range(batch.counts.shape[1]):
        state = encode(model, batch, window, state, dense=False).state
        memory, quiet, score = state.memory, state.policy.quiet, batch.score[:, window]
        sketches.append(model.head.readout.sketch(memory.patches, quiet, score).half())
        if window in CAPTION_WINDOWS:
            kept.append((memory.tokens.half(), score.short(), memory.age.short()))
    tokens, score, age = (torch.stack(column, 1) for column in zip(*kept, strict=True))
    return Seen(torch.stack(sketches, 1), tokens, score, age, batch.label, batch.words)


def look_at_subjects(
    model: SttfModel,
    frontend: Frontend,
    subjects: Iterable[int],
    *,
    with_frames_every: int,
    variants: int,
    workers: int,
) -> Seen:
    """Render every subject's clips and show ``variants`` of each to the encoder.

    Every ``with_frames_every``-th subject is shown with frames.
    """
    task = partial(_look_at_one, model, frontend, with_frames_every, variants)
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return Seen.join(list(pool.map(task, subjects)))


def _look_at_one(
    model: SttfModel, frontend: Frontend, with_frames_every: int, variants: int, subject: int
) -> Seen:
    with_frames = subject % with_frames_every == 0
    clips = make_clips([subject], frontend, with_frames=with_frames)
    rng = np.random.default_rng([subject, 5])
    everyone = replace(VARIED, batch_size=len(clips))
    return Seen.join(
        [look(model, draw_batch(clips, model.tokenizer, everyone, rng)) for _ in range(variants)]
    )


@dataclass(frozen=True)
class RefineConfig:
    """How to refine.

    Attributes
    ----------
    epochs, batch_size
        Passes over the clips, clips in a batch.
    learning_rate, warmup, weight_decay, clip_norm
        AdamW with linear warm-up over the share ``warmup`` of the steps and a cosine to 0.
    first_window
        Labels count from this window on (0.4 s).
    token_dropout, state_dropout
        Shares of a sketch's tokens and of the recurrent state that go unseen.
    caption_weight
        Weight of the caption loss beside the label loss; most of its words are easy, and speed is
        said nowhere else.
    averaging
        Weights end as their running mean, whose memory grows to ``1 / (1 - averaging)`` steps.
    """

    epochs: int = 15
    batch_size: int = 48
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    first_window: int = 16
    token_dropout: float = 0.1
    state_dropout: float = 0.1
    caption_weight: float = 4.0
    averaging: float = 0.998


def refine(
    model: SttfModel,
    seen: Seen,
    config: RefineConfig,
    rng: np.random.Generator,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train head and decoder of ``model`` in place; what made the sketches stays as it is."""
    head = model.head
    parts = (head.readout.place, head.norm, head.motion, head.recurrent, head.label, model.decoder)
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, config.learning_rate, (0.9, 0.98), weight_decay=config.weight_decay
    )
    n_steps = config.epochs * (len(seen) // config.batch_size)
    start_s = time.process_time()
    averaged = AveragedModel(model, avg_fn=partial(_average, config.averaging))
    model.train()
    progress = Progress(-1, 0.0)
    for step, index in enumerate(_epochs(len(seen), config, rng)):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step / n_steps, config.warmup)
        losses = _losses(model, seen, index, config, int(rng.integers(len(CAPTION_WINDOWS))))
        optimizer.zero_grad()
        (losses["label"] + config.caption_weight * losses["caption"]).backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        averaged.update_parameters(model)
        progress = progress.after(step, time.process_time() - start_s, losses)
        report(progress)
    model.load_state_dict(averaged.module.state_dict())
    model.eval()
    return progress


def _average(most: float, mean: Tensor, value: Tensor, n: Tensor | int) -> Tensor:
    keep = min(most, (int(n) + 1) / (int(n) + 20))
    return mean.lerp(value, 1 - keep)  # exact where nothing moves, as in the frozen encoder


def _epochs(n: int, config: RefineConfig, rng: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(config.epochs):
        order = torch.from_numpy(rng.permutation(n))
        yield from order[: n - n % config.batch_size].split(config.batch_size)


def _losses(
    model: SttfModel, seen: Seen, index: Tensor, config: RefineConfig, caption: int
) -> dict[str, Tensor]:
    head, n_tokens = model.head, seen.tokens.shape[2]
    sketch = seen.sketch[index].float().unflatten(-1, (n_tokens, -1))
    seen_share = torch.ones(*sketch.shape[:3], 1)
    sketch = sketch * functional.dropout(seen_share, config.token_dropout)
    observed = head.norm(head.readout.place(sketch.flatten(2)))
    states, _ = head.advance(observed, head.initial(len(index)))
    states = functional.dropout(states, config.state_dropout)
    logits = head.label(states[:, config.first_window :])
    truth = seen.label[index, None].expand(logits.shape[:2])
    label = functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), label_smoothing=0.05)
    context = model.decoder.context(
        states[:, CAPTION_WINDOWS[caption]],
        seen.tokens[index, caption].float(),
        seen.score[index, caption],
        seen.age[index, caption],
    )
    return {"label": label, "caption": words_loss(model, context, seen.words[index])}
