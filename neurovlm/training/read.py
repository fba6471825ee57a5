"""What a model makes of clips: labels, captions, boxes and tokens computed, sparse or dense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from neurovlm.events.scenes.caption import slots_of
from neurovlm.language.metrics import SlotScore, slot_score
from neurovlm.sttf.boxes import Detections, decode
from neurovlm.training.average_precision import average_precision
from neurovlm.training.batch import Batch, encode_captions
from neurovlm.training.data import UNKNOWN, ClipSet
from neurovlm.training.loop import Plan, unroll
from neurovlm.zoo.model import SttfModel

CHUNK = 22  # clips run side by side
BOX_EVERY = 10
"""Boxes are compared in every tenth window."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model made of n clips.

    Attributes
    ----------
    label, given
        int64 ``(n,)``, true label and the one given after the last window.
    probabilities
        float32 ``(n, n_labels)``, after the last window.
    n_active
        int64 ``(n, T)``, tokens computed in each window.
    said
        Slots of the caption said after the last window.
    found
        Boxes in every `BOX_EVERY`-th window, clip by clip.
    """

    label: NDArray[np.int64]
    given: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    n_active: NDArray[np.int64]
    said: tuple[dict[str, str], ...]
    found: tuple[Detections, ...]

    @property
    def right(self) -> NDArray[np.bool_]:
        """``(m,)``, whether the label is right, of the clips that have one."""
        known = self.label != UNKNOWN
        return self.given[known] == self.label[known]

    @property
    def accuracy(self) -> float:
        """Share of the labels that are right."""
        return float(self.right.mean())


@torch.no_grad()
def read(
    model: SttfModel,
    clips: ClipSet,
    *,
    dense: bool = False,
    shuffle: np.random.Generator | None = None,
) -> Reading:
    """Run a model over clips.

    Parameters
    ----------
    model, clips
        What to run on what; frames are shown where the clips have them.
    dense
        The dense twin: compute all tokens in every window.
    shuffle
        Shuffle the windows of each clip.
    """
    windows = range(clips.n_windows)
    with_boxes = clips.boxes is not None and model.boxes is not None
    looks = set(windows[BOX_EVERY - 1 :: BOX_EVERY]) if with_boxes else set()
    plan = Plan(
        captions=frozenset({windows[-1], *looks}), dense=frozenset(windows if dense else ())
    )
    columns = zip(
        *(_read_chunk(model, batch, plan, looks) for batch in chunks(model, clips, shuffle)),
        strict=True,
    )
    probabilities, n_active, said, found = columns
    chance = np.concatenate(probabilities)
    return Reading(
        clips.label,
        chance.argmax(-1),
        chance,
        np.concatenate(n_active),
        tuple(each for part in said for each in part),
        tuple(each for part in found for each in part),
    )


def _read_chunk(
    model: SttfModel, batch: Batch, plan: Plan, looks: set[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[dict[str, str]], list[Detections]]:
    seen = unroll(model, batch, plan)
    window = batch.counts.shape[1] - 1
    at = torch.full_like(batch.label, window) if batch.length is None else batch.length - 1
    last = seen.states[torch.arange(len(at)), at]
    memory = seen.memories[window]
    context = model.decoder.context(last, memory.patches, batch.score[:, -1], memory.age)
    ids, _ = model.decoder.generate(context)
    found: list[list[Detections]] = []
    if model.boxes is not None:
        grid = model.spec.encoder.grid
        found = [
            decode(model.boxes(seen.memories[w].patches), grid, min_score=0.01)
            for w in sorted(looks)
        ]
    return (
        model.head.label(last).softmax(-1).numpy(),
        seen.n_active.numpy(),
        [slots_of(model.tokenizer.decode(row)) for row in ids.tolist()],
        [look[clip] for clip in range(len(at)) for look in found],
    )


def chunks(
    model: SttfModel, clips: ClipSet, shuffle: np.random.Generator | None = None
) -> Iterator[Batch]:
    """Clips as batches of `CHUNK`, as they are or with shuffled windows."""
    policy = model.spec.policy
    for first in range(0, len(clips), CHUNK):
        part = clips[first : first + CHUNK]
        n, n_windows = part.changed.shape[:2]
        order = np.tile(np.arange(n_windows), (n, 1))
        if shuffle is not None:
            order = shuffle.permuted(order, axis=1)
        row = np.arange(n)[:, None]
        yield Batch(
            counts=torch.from_numpy(np.stack([c.dense() for c in part.counts])[row, order]),
            frames=None if part.frames is None else torch.from_numpy(part.frames),
            changed=torch.from_numpy(part.changed[row, order]),
            score=torch.from_numpy(part.score[row, order]),
            label=torch.from_numpy(part.label),
            words=encode_captions(seen_slots(part), model.tokenizer),
            max_active=torch.full((n,), policy.max_active),
            n_refresh=torch.full((n,), policy.n_refresh),
            length=torch.from_numpy(part.lengths),
        )


def seen_slots(clips: ClipSet) -> list[dict[str, str]]:
    """Slots that can be seen: colour only with frames."""
    hidden = set() if clips.frames is not None else {"colour"}
    return [{k: v for k, v in slots.items() if k not in hidden} for slots in clips.slots]


def slots_right(reading: Reading, clips: ClipSet) -> SlotScore:
    """Caption slots of the clips that have a caption."""
    pairs = [(a, b) for a, b in zip(reading.said, seen_slots(clips), strict=True) if b]
    said, true = zip(*pairs, strict=True)
    return slot_score(list(said), list(true))


def box_precision(reading: Reading, clips: ClipSet) -> float:
    """Mean average precision at IoU 0.5 over the windows that `read` looked at."""
    assert clips.boxes is not None
    true = clips.boxes[:, BOX_EVERY - 1 :: BOX_EVERY]
    classes = np.arange(true.shape[2])
    return average_precision(list(reading.found), true.reshape(-1, *true.shape[2:]), classes).mean


@torch.no_grad()
def score_of(model: SttfModel, clips: ClipSet) -> tuple[float, float]:
    """Accuracy and cross-entropy of the label after the last window of each clip."""
    logits, label = [], []
    for batch in chunks(model, clips):
        states = unroll(model, batch, Plan()).states
        at = states.shape[1] - 1 if batch.length is None else batch.length - 1
        logits.append(model.head.label(states[torch.arange(len(batch.label)), at]))
        label.append(batch.label)
    said, true = torch.cat(logits), torch.cat(label)
    known = true != UNKNOWN
    right = (said.argmax(-1) == true)[known].double().mean()
    return float(right), float(functional.cross_entropy(said[known], true[known]))
