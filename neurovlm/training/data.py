"""Training data in memory: clips of procedural scenes, seen through the spiking front end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurovlm.core.grid import PatchGrid
from neurovlm.events.scenes.caption import FLIP, LABELS, caption_of
from neurovlm.events.scenes.clip import clip_seed, render_clip
from neurovlm.events.scenes.subject import subject_from_seed
from neurovlm.frontend.detect import Frontend
from neurovlm.language.tokenizer import END, WordTokenizer
from neurovlm.training.loop import Batch, Plan

FRAME_EVERY = 4
"""A frame is kept for every fourth window: 10 frames per second at 25 ms."""


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """A ``(T, 3, 126, 126)`` array of counts, of which about 1 % are not zero.

    Attributes
    ----------
    cell
        uint32 ``(m,)``, ascending flat indices of the counts that are not zero.
    count
        uint8 ``(m,)``, those counts.
    shape
        Shape of the whole.
    """

    cell: NDArray[np.uint32]
    count: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def from_dense(cls, counts: NDArray[np.uint8]) -> SparseCounts:
        """Keep what is not zero."""
        cell = np.flatnonzero(counts)
        return cls(cell.astype(np.uint32), counts.ravel()[cell], counts.shape)

    def dense(self, first: int = 0, last: int | None = None) -> NDArray[np.uint8]:
        """Windows ``first <= w < last`` as an array."""
        last = self.shape[0] if last is None else last
        per_window = prod(self.shape[1:])
        start, stop = np.searchsorted(self.cell, [first * per_window, last * per_window])
        counts = np.zeros((last - first, *self.shape[1:]), np.uint8)
        counts.ravel()[self.cell[start:stop] - first * per_window] = self.count[start:stop]
        return counts


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips seen through the front end.

    Attributes
    ----------
    counts
        Per clip, see `neurovlm.frontend.detect.FrontendResult`.
    changed
        bool ``(n, T, 196)``.
    score
        uint8 ``(n, T, 196)``.
    frames
        uint8 ``(n, T // FRAME_EVERY, 224, 224, 3)``, or None.
    slots
        What is true of each clip.
    label
        int64 ``(n,)``.
    """

    counts: tuple[SparseCounts, ...]
    changed: NDArray[np.bool_]
    score: NDArray[np.uint8]
    frames: NDArray[np.uint8] | None
    slots: tuple[dict[str, str], ...]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def n_windows(self) -> int:
        """Windows of each clip."""
        return self.changed.shape[1]

    @classmethod
    def join(cls, parts: Sequence[ClipSet]) -> ClipSet:
        """All clips of ``parts``, which have frames or have none."""
        frames = [part.frames for part in parts if part.frames is not None]
        return cls(
            counts=tuple(counts for part in parts for counts in part.counts),
            changed=np.concatenate([part.changed for part in parts]),
            score=np.concatenate([part.score for part in parts]),
            frames=np.concatenate(frames) if frames else None,
            slots=tuple(slots for part in parts for slots in part.slots),
            label=np.concatenate([part.label for part in parts]),
        )


def make_clips(
    subject_seeds: Iterable[int], frontend: Frontend, *, with_frames: bool, repetition: int = 0
) -> ClipSet:
    """Render one clip per subject and label and run the front end on each.

    Parameters
    ----------
    subject_seeds
        From `TRAIN_SEEDS` or `TEST_SEEDS` of `neurovlm.events.scenes`.
    frontend
        The detector that the model will live with.
    with_frames
        Whether to keep frames.
    repetition
        Another number gives other performances and other noise of the same subjects.
    """
    return ClipSet.join(
        [
            _one_clip(subject_seed, label, repetition, frontend, with_frames)
            for subject_seed in subject_seeds
            for label in range(len(LABELS))
        ]
    )


def _one_clip(
    subject_seed: int, label: int, repetition: int, frontend: Frontend, with_frames: bool
) -> ClipSet:
    clip = render_clip(
        label,
        subject_from_seed(subject_seed),
        seed=clip_seed(subject_seed, label, repetition),
        with_frames=with_frames,
        window_ms=frontend.window_us / 1000,
    )
    seen, n = frontend.run(clip.stream), clip.n_windows
    return ClipSet(
        counts=(SparseCounts.from_dense(_fit(seen.counts, n)),),
        changed=_fit(seen.mask.changed, n)[None],
        score=_fit(seen.mask.score, n)[None].astype(np.uint8),
        frames=None if clip.frames is None else clip.frames[None, ::FRAME_EVERY].copy(),
        slots=(clip.slots,),
        label=np.array([label]),
    )


def _fit(windows: NDArray[Any], n: int) -> NDArray[Any]:
    """First ``n`` windows, with empty ones appended where the stream ended early."""
    missing = max(0, n - len(windows))
    return np.pad(windows[:n], [(0, missing)] + [(0, 0)] * (windows.ndim - 1))


def flip_slots(slots: dict[str, str]) -> dict[str, str]:
    """Slots of the mirrored scene; applying it twice gives the slots back."""
    swap = {"right": "left", "left": "right"}
    turn = {"clockwise": "counterclockwise", "counterclockwise": "clockwise"}
    return {
        name: swap.get(turn.get(value, value), turn.get(value, value))
        for name, value in slots.items()
    }


@dataclass(frozen=True)
class Augmentation:
    """How training batches vary.

    Attributes
    ----------
    batch_size, n_windows
        Clips in a batch and windows of each, cut out at a random start.
    max_active, n_refresh
        Ranges, ends included, that each clip's policy limits are drawn from.
    max_shift
        Largest shift of the view in patches, events only.
    drop
        Largest share of changed patches that go unnoticed in a clip.
    learn_share
        Share of the windows in which the encoder learns: more clips for the same work.
    dense_share
        Share of batches with a dense window at the first caption.
    """

    batch_size: int = 24
    n_windows: int = 44
    max_active: tuple[int, int] = (14, 32)
    n_refresh: tuple[int, int] = (2, 8)
    max_shift: int = 1
    drop: float = 0.2
    learn_share: float = 0.35
    dense_share: float = 0.3


def draw_batch(
    clips: ClipSet,
    tokenizer: WordTokenizer,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Batch:
    """Draw clips, mirror half of them (labels and captions with them), shift, cut, thin out."""
    a = augmentation
    parts = []
    for index in rng.choice(len(clips), a.batch_size, replace=len(clips) < a.batch_size):
        first = int(rng.integers(clips.n_windows - a.n_windows + 1))
        # frames exist for every FRAME_EVERY-th window only
        first -= first % FRAME_EVERY if clips.frames is not None else 0
        parts.append(_augment(clips, int(index), first, a, rng))
    counts, changed, score, frames, label, slots = zip(*parts, strict=True)
    return Batch(
        counts=torch.from_numpy(np.stack(counts)),
        frames=None if clips.frames is None else torch.from_numpy(np.stack(frames)),
        changed=torch.from_numpy(np.stack(changed)),
        score=torch.from_numpy(np.stack(score)),
        label=torch.tensor(label),
        words=encode_captions(slots, tokenizer),
        max_active=torch.from_numpy(rng.integers(*a.max_active, a.batch_size, endpoint=True)),
        n_refresh=torch.from_numpy(rng.integers(*a.n_refresh, a.batch_size, endpoint=True)),
    )


def _augment(
    clips: ClipSet, index: int, first: int, a: Augmentation, rng: np.random.Generator
) -> tuple[Any, ...]:
    last = first + a.n_windows
    cut = slice(first, last)
    grid = PatchGrid()
    counts = clips.counts[index].dense(first, last)
    masks = np.stack([clips.changed[index, cut].astype(np.uint8), clips.score[index, cut]], 1)
    masks = masks.reshape(*masks.shape[:2], grid.side, grid.side)
    slots, label, frames = clips.slots[index], int(clips.label[index]), None
    if clips.frames is not None:
        frames = clips.frames[index, first // FRAME_EVERY :][: a.n_windows // FRAME_EVERY]
    else:
        slots = {name: value for name, value in slots.items() if name != "colour"}
        dy, dx = rng.integers(-a.max_shift, a.max_shift, 2, endpoint=True)
        counts = shift(counts, dy * grid.patch, dx * grid.patch)
        masks = shift(masks, dy, dx)
    if rng.random() < 0.5:  # contrast of either sign is equally likely
        counts = counts[:, [1, 0, 2]]
    if rng.random() < 0.5:
        counts, masks = counts[..., ::-1], masks[..., ::-1]
        frames = None if frames is None else frames[:, :, ::-1]
        slots, label = flip_slots(slots), FLIP[label]
    changed = masks[:, 0].reshape(len(masks), -1).astype(bool)
    changed = changed & (rng.random(changed.shape) >= rng.uniform(0, a.drop))
    score = masks[:, 1].reshape(len(masks), -1)
    return counts, changed, score, frames, label, slots


def shift(images: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """Move ``(..., height, width)`` by whole pixels; what comes in is 0, what goes out is lost."""
    height, width = images.shape[-2:]
    moved = np.zeros_like(images)
    target = (..., slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    source = (..., slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0)))
    moved[target] = images[source]
    return moved


def encode_captions(slots: Iterable[dict[str, str]], tokenizer: WordTokenizer) -> torch.Tensor:
    """Caption ids ``(n, S)``, ended and padded by `END`."""
    ids = [tokenizer.encode(caption_of(slot)) for slot in slots]
    longest = max(map(len, ids))
    return torch.tensor([row + [END] * (longest - len(row)) for row in ids])


def batches(
    sets: tuple[ClipSet, ...],
    shares: tuple[float, ...],
    tokenizer: WordTokenizer,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> Iterator[tuple[Batch, Plan]]:
    """Batches for ever, each from one of ``sets``, drawn with probability ``shares``."""
    while True:
        clips = sets[int(rng.choice(len(sets), p=shares))]
        yield draw_batch(clips, tokenizer, augmentation, rng), draw_plan(augmentation, rng)


def draw_plan(augmentation: Augmentation, rng: np.random.Generator) -> Plan:
    """Captions after the last window and after one in the second half, sometimes a dense one.

    What stands still is learned in dense windows only: there every token has a gradient.
    """
    n = augmentation.n_windows
    middle = int(rng.integers(n // 2, n - 1))
    is_dense = rng.random() < augmentation.dense_share
    learn = rng.random(n) < augmentation.learn_share
    learn[[middle, n - 1]] = True
    return Plan(
        captions=frozenset({middle, n - 1}),
        dense=frozenset({middle} if is_dense else ()),
        learn=frozenset(np.flatnonzero(learn).tolist()),
    )
