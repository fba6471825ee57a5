"""Batches: clips drawn, cut, mirrored, shifted and thinned out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovlm.core.grid import PatchGrid
from neurovlm.events.scenes.caption import FLIP, caption_of
from neurovlm.language.tokenizer import END, WordTokenizer
from neurovlm.training.data import FRAME_EVERY, UNKNOWN, ClipSet

GRID = PatchGrid()
MIRRORED_BOXES = [0, 2, 1]
"""Head stays head; right and left hand change places (`neurovlm.events.scenes.BOX_CLASSES`)."""


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
        int64 ``(B,)``, `UNKNOWN` where there is none.
    words
        int64 ``(B, S)``, caption ids, ended and padded by `END`; only `END` where there is none.
    max_active, n_refresh
        int64 ``(B,)``, limits of the policy for each clip.
    length
        int64 ``(B,)``, windows that count; None: all do.
    boxes
        float32 ``(B, T, K, 4)``, NaN where unseen; None where nothing is known of them.
    other, share
        int64 and float32 ``(B,)``, as in `neurovlm.training.data.ClipSet`.
    """

    counts: Tensor
    frames: Tensor | None
    changed: Tensor
    score: Tensor
    label: Tensor
    words: Tensor
    max_active: Tensor
    n_refresh: Tensor
    length: Tensor | None = None
    boxes: Tensor | None = None
    other: Tensor | None = None
    share: Tensor | None = None

    def frame(self, window: int) -> Tensor | None:
        """Frames that are shown in ``window``."""
        if self.frames is None:
            return None
        return self.frames[:, window * self.frames.shape[1] // self.counts.shape[1]]

    @property
    def mixed_labels(self) -> tuple[Tensor, Tensor, Tensor]:
        """``label``, ``other`` and ``share``; where nothing was mixed, ``label`` twice and 0."""
        if self.other is None or self.share is None:
            return self.label, self.label, torch.zeros(len(self.label), device=self.label.device)
        return self.label, self.other, self.share

    def to(self, device: str) -> Batch:
        """Copy on another device; itself where it is there already."""
        moved: dict[str, Any] = {
            f.name: None if getattr(self, f.name) is None else getattr(self, f.name).to(device)
            for f in fields(self)
        }
        return Batch(**moved)

    def counting(self, first: int) -> Tensor:
        """Bool ``(B, T)``, windows that the label counts in: from ``first`` on, where known."""
        window = torch.arange(self.counts.shape[1], device=self.label.device)
        known = (self.label != UNKNOWN)[:, None] & (window >= first)
        return known if self.length is None else known & (window < self.length[:, None])


@dataclass(frozen=True)
class Augmentation:
    """How batches vary.

    Attributes
    ----------
    batch_size, n_windows
        Clips in a batch, over all processes that train together, and windows of each, cut out at a
        random start; None: whole clips.
    max_active, n_refresh
        Ranges, ends included, that each clip's policy limits are drawn from.
    max_shift
        Largest shift of the view in patches, events only.
    drop
        Largest share of changed patches that go unnoticed in a clip.
    contrast
        Share of the clips whose ON and OFF events change places.
    flip
        Label of the mirrored scene, by label; None: nothing is mirrored.
    """

    batch_size: int = 24
    n_windows: int | None = 44
    max_active: tuple[int, int] = (14, 32)
    n_refresh: tuple[int, int] = (2, 8)
    max_shift: int = 1
    drop: float = 0.2
    contrast: float = 0.5
    flip: tuple[int, ...] | None = FLIP


def draw_batch(
    clips: ClipSet, tokenizer: WordTokenizer, augmentation: Augmentation, rng: np.random.Generator
) -> Batch:
    """Draw clips, mirror half of them (labels, captions, boxes too), shift, cut, thin out."""
    a = augmentation
    index = rng.choice(len(clips), a.batch_size, replace=len(clips) < a.batch_size)
    parts = [_augment(clips, int(each), a, rng) for each in index]
    counts, changed, score, frames, boxes, label, other, slots, length = zip(*parts, strict=True)
    return Batch(
        counts=torch.from_numpy(np.stack(counts)),
        frames=None if clips.frames is None else torch.from_numpy(np.stack(frames)),
        changed=torch.from_numpy(np.stack(changed)),
        score=torch.from_numpy(np.stack(score)),
        label=torch.tensor(label),
        words=encode_captions(slots, tokenizer),
        max_active=torch.from_numpy(rng.integers(*a.max_active, a.batch_size, endpoint=True)),
        n_refresh=torch.from_numpy(rng.integers(*a.n_refresh, a.batch_size, endpoint=True)),
        length=torch.tensor(length),
        boxes=None if clips.boxes is None else torch.from_numpy(np.stack(boxes)),
        other=torch.tensor(other) if clips.other is not None else None,
        share=None if clips.share is None else torch.from_numpy(clips.share[index]),
    )


def _augment(
    clips: ClipSet, index: int, a: Augmentation, rng: np.random.Generator
) -> tuple[Any, ...]:
    n_windows = clips.n_windows if a.n_windows is None else min(a.n_windows, clips.n_windows)
    first = int(rng.integers(max(0, clips.lengths[index] - n_windows) + 1))
    # frames exist for every FRAME_EVERY-th window only
    first -= first % FRAME_EVERY if clips.frames is not None else 0
    cut = slice(first, first + n_windows)
    counts = clips.counts[index].dense(first, first + n_windows)
    masks = np.stack([clips.changed[index, cut].astype(np.uint8), clips.score[index, cut]], 1)
    masks = masks.reshape(*masks.shape[:2], GRID.side, GRID.side)
    boxes = None if clips.boxes is None else clips.boxes[index, cut]
    slots, frames, labels = clips.slots[index], None, [int(clips.label[index])]
    labels.append(labels[0] if clips.other is None else int(clips.other[index]))
    if clips.frames is not None:
        frames = clips.frames[index, first // FRAME_EVERY :][: n_windows // FRAME_EVERY]
    else:
        slots = {name: value for name, value in slots.items() if name != "colour"}
        dy, dx = (
            rng.integers(-a.max_shift, a.max_shift, 2, endpoint=True) if a.max_shift else (0, 0)
        )
        counts = shift(counts, dy * GRID.patch, dx * GRID.patch)
        masks = shift(masks, dy, dx)
        boxes = None if boxes is None else shift_boxes(boxes, dy * GRID.patch, dx * GRID.patch)
    if rng.random() < a.contrast:
        counts = counts[:, [1, 0, 2]]
    if a.flip is not None and rng.random() < 0.5:
        counts, masks = counts[..., ::-1], masks[..., ::-1]
        frames = None if frames is None else frames[:, :, ::-1]
        boxes = None if boxes is None else mirror_boxes(boxes)
        slots = flip_slots(slots)
        labels = [each if each == UNKNOWN else a.flip[each] for each in labels]
    changed = masks[:, 0].reshape(len(masks), -1).astype(bool)
    changed = changed & (rng.random(changed.shape) >= rng.uniform(0, a.drop))
    score = masks[:, 1].reshape(len(masks), -1)
    length = min(int(clips.lengths[index]) - first, n_windows)
    return counts, changed, score, frames, boxes, *labels, slots, length


def flip_slots(slots: dict[str, str]) -> dict[str, str]:
    """Slots of the mirrored scene; applying it twice gives the slots back."""
    swap = {"right": "left", "left": "right"}
    turn = {"clockwise": "counterclockwise", "counterclockwise": "clockwise"}
    return {
        name: swap.get(turn.get(value, value), turn.get(value, value))
        for name, value in slots.items()
    }


def shift(images: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
    """Move ``(..., height, width)`` by whole pixels; what comes in is 0, what goes out is lost."""
    height, width = images.shape[-2:]
    moved = np.zeros_like(images)
    target = (..., slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    source = (..., slice(max(-dy, 0), height - max(dy, 0)), slice(max(-dx, 0), width - max(dx, 0)))
    moved[target] = images[source]
    return moved


def shift_boxes(boxes: NDArray[np.float32], dy: int, dx: int) -> NDArray[np.float32]:
    """Boxes ``(..., 4)`` in the view that was moved; NaN where less than half is left."""
    whole = boxes + np.array([dx, dy, dx, dy], np.float32)
    cut = whole.clip(0, GRID.pixels)

    def area(box: NDArray[np.float32]) -> NDArray[np.float32]:
        sides: NDArray[np.float32] = box[..., 2:] - box[..., :2]
        return sides.prod(-1)

    cut[area(cut) < 0.5 * area(whole)] = np.nan
    return cut


def mirror_boxes(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes ``(..., 3, 4)`` of the mirrored scene; applying it twice gives them back."""
    turned = boxes[..., MIRRORED_BOXES, :].copy()
    turned[..., [0, 2]] = GRID.pixels - turned[..., [2, 0]]
    return turned


def encode_captions(slots: Sequence[dict[str, str]], tokenizer: WordTokenizer) -> Tensor:
    """Caption ids ``(n, S)``, ended and padded by `END`; nothing but `END` for empty slots."""
    ids = [tokenizer.encode(caption_of(slot)) if slot else [END] for slot in slots]
    longest = max(2, *map(len, ids))
    return torch.tensor([row + [END] * (longest - len(row)) for row in ids])
