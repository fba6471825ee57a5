"""Box head: where things are, read from the token memory, one prediction per patch and class.

Anchor-free, after FCOS (Tian et al., ICCV 2019): the patch with centre (x_i, y_i) gives per class
a score and the distances from its centre to the four sides of a box. The distances are

    (l, t, r, b) = P (softplus(u) - 1/2),    box = (x_i - l, y_i - t, x_i + r, y_i + b),

P the side of a patch. A side may lie up to half a patch on the wrong side of the centre, so that
every box has a patch that can tell it: the one its centre lies in. Boxes are ``x0, y0, x1, y1`` in
grid pixels, and may reach beyond the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.core.ops import FLOAT_BYTES, LayerCount, elementwise, linear

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al., ICCV 2017)."""
PRIOR = 0.01
"""Score before training: nearly all patches hold nothing, also Lin et al."""
RADIUS = 1.5
"""Patches from a box's centre within which a patch is taught that box, as FCOS samples."""
SIDE_WEIGHT = 0.2
"""Of the mean distance of sides, in patches, beside 1 - GIoU, whose gradient is zero where a box
is empty."""


@dataclass(frozen=True)
class BoxConfig:
    """Shape of the head.

    Attributes
    ----------
    n_classes
        Classes C.
    hidden
        Width between the tokens and the predictions.
    n_mix
        Layers that mix each patch with its eight neighbours.
    """

    n_classes: int = 3
    hidden: int = 64
    n_mix: int = 2

    def __post_init__(self) -> None:
        if min(self.n_classes, self.hidden) < 1 or self.n_mix < 0:
            raise UsageError(
                "boxes: n_classes and hidden must be at least 1 and n_mix at least 0, got "
                f"{self.n_classes}, {self.hidden} and {self.n_mix}"
            )


class BoxOutput(NamedTuple):
    """What every patch says of every class.

    Attributes
    ----------
    logits
        ``(B, N, C)``, score before the sigmoid.
    ltrb
        ``(B, N, C, 4)``, distances from the patch's centre to the sides, in grid pixels.
    """

    logits: Tensor
    ltrb: Tensor


class BoxTargets(NamedTuple):
    """What every patch should say.

    Attributes
    ----------
    positive
        bool ``(B, N, C)``, whether the patch is to find a box of this class.
    ltrb
        ``(B, N, C, 4)``, its distances in grid pixels; 0 where not positive.
    """

    positive: Tensor
    ltrb: Tensor


class BoxLoss(NamedTuple):
    """Parts of the loss, each a scalar; ``sum(loss)`` is the whole."""

    score: Tensor
    overlap: Tensor
    sides: Tensor


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found in one window, best first.

    Attributes
    ----------
    boxes
        float32 ``(n, 4)``, x0, y0, x1, y1 in grid pixels.
    scores
        float32 ``(n,)`` in [0, 1].
    classes
        int64 ``(n,)``.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


class Mix(nn.Module):
    """``x + W gelu(depthwise 3x3 (x))`` over the grid of patches."""

    def __init__(self, hidden: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.near = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.point = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``(B, N, hidden)``."""
        plane = x.transpose(1, 2).unflatten(2, (self.side, self.side))
        near = self.near(plane).flatten(2).transpose(1, 2)
        mixed: Tensor = x + self.point(functional.gelu(near))
        return mixed


class BoxHead(nn.Module):
    """Tokens of all patches, fresh or remembered -> scores and boxes of each."""

    def __init__(self, config: BoxConfig, dim: int, grid: PatchGrid) -> None:
        super().__init__()
        self.config, self.grid = config, grid
        self.norm = nn.LayerNorm(dim)
        self.reduce = nn.Linear(dim, config.hidden)
        self.position = nn.Parameter(0.02 * torch.randn(grid.n_patches, config.hidden))
        self.mix = nn.ModuleList(Mix(config.hidden, grid.side) for _ in range(config.n_mix))
        self.score = nn.Linear(config.hidden, config.n_classes)
        self.sides = nn.Linear(config.hidden, 4 * config.n_classes)
        nn.init.constant_(self.score.bias, -math.log(1 / PRIOR - 1))

    def forward(self, tokens: Tensor) -> BoxOutput:
        """Read ``tokens (B, N, D)``, as `TokenMemory.patches` holds them."""
        if tokens.shape[1] != self.grid.n_patches:
            raise UsageError(
                f"boxes: needs a token for each of {self.grid.n_patches} patches, got "
                f"{tokens.shape[1]}; leave prefix tokens out"
            )
        x = functional.gelu(self.reduce(self.norm(tokens)) + self.position)
        for mix in self.mix:
            x = mix(x)
        sides = functional.softplus(self.sides(x)) - 0.5
        ltrb = self.grid.patch * sides.unflatten(-1, (self.config.n_classes, 4))
        return BoxOutput(self.score(x), ltrb)


def assign(boxes: Tensor, classes: Tensor, n_classes: int, grid: PatchGrid) -> BoxTargets:
    """Say which patch is to find which box.

    A patch is positive for a box when its centre lies in the box and within `RADIUS` patches of
    the box's centre along both axes, or when it is the patch nearest to that centre. Where two
    boxes of a class claim a patch, the smaller has it.

    Parameters
    ----------
    boxes
        ``(B, K, 4)`` in grid pixels; a row of NaN is a box that is not to be seen.
    classes
        int64 ``(K,)``, class of each of the K boxes.
    n_classes
        Classes C.

    Raises
    ------
    UsageError
        For boxes of other shape, partly NaN or turned inside out, and classes out of range.
    """
    _check_boxes(boxes, classes, n_classes)
    centres = patch_centres(grid, boxes.device).to(boxes)
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    ltrb = torch.cat([centres - low, high - centres], -1)  # (B, K, N, 4)
    away = (centres - (low + high) / 2).abs().amax(-1)
    chosen = (ltrb > 0).all(-1) & (away < RADIUS * grid.patch)
    seen = ~boxes.isnan().any(-1)
    nearest = away.nan_to_num().argmin(-1, keepdim=True)
    chosen = chosen.scatter(-1, nearest, True) & seen[..., None]
    sides = boxes[..., 2:] - boxes[..., :2]
    area = sides.prod(-1)[..., None].expand(chosen.shape).masked_fill(~chosen, torch.inf)
    positive, distances = [], []
    for index in range(n_classes):
        mine = classes == index
        if not mine.any():
            positive.append(torch.zeros_like(chosen[:, 0]))
            distances.append(torch.zeros_like(ltrb[:, 0]))
            continue
        smallest = area[:, mine].argmin(1)[:, None, :, None].expand(-1, 1, -1, 4)
        found = chosen[:, mine].any(1)
        told = ltrb[:, mine].gather(1, smallest)[:, 0]
        positive.append(found)
        distances.append(torch.where(found[..., None], told, 0.0))
    return BoxTargets(torch.stack(positive, -1), torch.stack(distances, -2))


def box_loss(output: BoxOutput, targets: BoxTargets, grid: PatchGrid) -> BoxLoss:
    """Focal loss of scores; 1 - GIoU and distance of sides of positive patches.

    Each is a sum divided by the number of positive patches, at least 1, of the batch.
    GIoU: Rezatofighi et al., CVPR 2019.
    """
    positive = targets.positive
    n = positive.sum().clamp(min=1)
    truth = positive.to(output.logits)
    entropy = functional.binary_cross_entropy_with_logits(output.logits, truth, reduction="none")
    missed = (truth - output.logits.sigmoid()).abs()
    alpha = torch.where(positive, FOCAL_ALPHA, 1 - FOCAL_ALPHA)
    score = (alpha * missed**FOCAL_GAMMA * entropy).sum() / n
    said, true = output.ltrb[positive], targets.ltrb[positive].to(output.ltrb)
    overlap = (1 - _giou(said, true)).sum() / n
    sides = SIDE_WEIGHT * (said - true).abs().mean(-1).sum() / (grid.patch * n)
    return BoxLoss(score, overlap, sides)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of boxes ``(n, 4)`` given by distances from one point per row; b is not empty."""

    def area(ltrb: Tensor) -> Tensor:
        return (ltrb[:, :2] + ltrb[:, 2:]).clamp(min=0).prod(-1)

    both, hull = area(torch.minimum(a, b)), area(torch.maximum(a, b))
    either = area(a) + area(b) - both
    return both / either - (hull - either) / hull


def decode(
    output: BoxOutput,
    grid: PatchGrid,
    *,
    per_class: int = 1,
    min_score: float = 0.05,
    max_iou: float = 0.5,
) -> list[Detections]:
    """Boxes of each stream: per class the best that do not overlap a better one.

    Parameters
    ----------
    per_class
        At most so many of a class; a body has one head.
    min_score
        Scores below are no detections.
    max_iou
        A box that overlaps a better one of its class by more is dropped (non-maximum suppression).
    """
    boxes = to_boxes(output.ltrb, grid).detach().float().cpu().numpy()
    scores = output.logits.sigmoid().detach().float().cpu().numpy()
    found = []
    for stream in range(len(scores)):
        kept = [
            (token, index)
            for index in range(scores.shape[2])
            for token in _best(
                boxes[stream, :, index], scores[stream, :, index], per_class, min_score, max_iou
            )
        ]
        kept.sort(key=lambda at: -scores[stream][at])
        tokens, classes = np.array(kept, np.int64).reshape(-1, 2).T
        found.append(
            Detections(boxes[stream, tokens, classes], scores[stream, tokens, classes], classes)
        )
    return found


def _best(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    n: int,
    min_score: float,
    max_iou: float,
) -> list[int]:
    """Greedy non-maximum suppression: indices of at most ``n`` boxes, best first."""
    left = np.argsort(-scores, kind="stable")
    left = left[scores[left] >= min_score]
    kept: list[int] = []
    while len(left) and len(kept) < n:
        kept.append(int(left[0]))
        left = left[1:][iou(boxes[left[:1]], boxes[left[1:]])[0] <= max_iou]
    return kept


def iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of every box ``(n, 4)`` with every box ``(m, 4)``: ``(n, m)``."""
    a, b = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = sides.clip(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clip(min=0).prod(-1) for box in (a, b)]
    either = areas[0] + areas[1] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def to_boxes(ltrb: Tensor, grid: PatchGrid) -> Tensor:
    """Corners x0, y0, x1, y1 of distances ``(B, N, C, 4)``; an empty box has no extent."""
    centres = patch_centres(grid, ltrb.device).to(ltrb)[:, None]
    low, high = centres - ltrb[..., :2], centres + ltrb[..., 2:]
    return torch.cat([low, torch.maximum(low, high)], -1)


def patch_centres(grid: PatchGrid, device: torch.device | None = None) -> Tensor:
    """Centres x, y of the patches in grid pixels, ``(N, 2)``."""
    axis = (torch.arange(grid.side, device=device) + 0.5) * grid.patch
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)


def _check_boxes(boxes: Tensor, classes: Tensor, n_classes: int) -> None:
    if boxes.ndim != 3 or boxes.shape[2] != 4 or classes.shape != boxes.shape[1:2]:
        raise UsageError(
            "boxes: must be (B, K, 4) with K classes, got "
            f"{tuple(boxes.shape)} and {tuple(classes.shape)}"
        )
    if ((classes < 0) | (classes >= n_classes)).any():
        raise UsageError(f"boxes: classes must be 0 to {n_classes - 1}, got {classes.tolist()}")
    hidden = boxes.isnan()
    wrong = (hidden.any(-1) & ~hidden.all(-1)) | boxes.isinf().any(-1)
    wrong |= (boxes[..., 2:] <= boxes[..., :2]).any(-1)
    if wrong.any():
        stream, k = wrong.nonzero()[0].tolist()
        raise UsageError(
            f"boxes: box {k} of stream {stream} is {boxes[stream, k].tolist()}; it must be x0, y0, "
            "x1, y1 with x0 < x1 and y0 < y1, or all NaN"
        )


def box_counts(config: BoxConfig, dim: int, n_tokens: int) -> tuple[LayerCount, ...]:
    """Count one window of `BoxHead`; like the label head it reads all N tokens every time.

    The 3 x 3 products are counted at every patch, those at the border with the padding.
    """
    h, c = config.hidden, config.n_classes
    counts = [
        elementwise("fusion", "boxes.norm", n_tokens * dim, weights=2 * dim),
        linear("fusion", "boxes.reduce", n_tokens, dim, h),
        elementwise("fusion", "boxes.position", n_tokens * h, weights=n_tokens * h),
        elementwise("fusion", "boxes.gelu", n_tokens * h),
    ]
    for layer in range(config.n_mix):
        name = f"boxes.mix.{layer}"
        counts += [
            _depthwise(f"{name}.near", n_tokens, h),
            elementwise("fusion", f"{name}.gelu", n_tokens * h),
            linear("fusion", f"{name}.point", n_tokens, h, h),
            elementwise("fusion", f"{name}.add", n_tokens * h, n_inputs=2),
        ]
    return (
        *counts,
        linear("fusion", "boxes.score", n_tokens, h, c),
        linear("fusion", "boxes.sides", n_tokens, h, 4 * c),
        elementwise("fusion", "boxes.softplus", 4 * n_tokens * c),
        elementwise("fusion", "boxes.sigmoid", n_tokens * c),
    )


def _depthwise(layer: str, n_tokens: int, channels: int) -> LayerCount:
    """Count nine products per patch and channel; each input is read once."""
    n_bytes = n_tokens * channels * FLOAT_BYTES
    return LayerCount(
        "fusion",
        layer,
        "gemm",
        macs=9 * n_tokens * channels,
        weight_bytes=(9 + 1) * channels * FLOAT_BYTES,
        read_bytes=n_bytes,
        write_bytes=n_bytes,
    )
