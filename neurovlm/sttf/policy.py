"""Which tokens are computed in a window: changed patches under a hard cap, plus a rolling refresh.

Active set of a window = the changed patches with the highest scores, at most
``max_active - n_refresh`` of them, and the ``n_refresh`` oldest of the others. The refresh slots
are reserved, so that a flood of events cannot starve it: every age stays at or below
``ceil(N / n_refresh)``. Ties go to the lower patch index, always.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurovlm.core.errors import UsageError


@dataclass(frozen=True)
class PolicyConfig:
    """Limits of the active set.

    Attributes
    ----------
    max_active
        Hard cap on tokens computed in a sparse step, refreshed ones included.
    n_refresh
        Slots of the cap reserved for the oldest tokens.
    scene_cut_share
        A larger share of changed patches is a scene cut and asks for a dense step.
    """

    max_active: int = 32
    n_refresh: int = 8
    scene_cut_share: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.n_refresh <= self.max_active:
            raise UsageError(
                f"policy: n_refresh must be in 0..max_active={self.max_active}, "
                f"got {self.n_refresh}"
            )
        if not 0 < self.scene_cut_share <= 1:
            raise UsageError(
                f"policy: scene_cut_share must be in (0, 1], got {self.scene_cut_share}"
            )


@dataclass(frozen=True, eq=False)
class Selection:
    """Tokens to compute, padded to one length over the batch.

    Attributes
    ----------
    index
        int64 ``(B, k)``, distinct within a stream: changed patches, then refreshed ones, then
        padding.
    valid
        bool ``(B, k)``, False on padding; None when there is none.
    n_changed, n_refreshed
        int64 ``(B,)``, how many of each.
    """

    index: Tensor
    valid: Tensor | None
    n_changed: Tensor
    n_refreshed: Tensor


def is_scene_cut(changed: Tensor, share: float) -> Tensor:
    """Streams of ``changed (B, N)`` in which more than ``share`` of the patches changed."""
    return changed.float().mean(-1) > share


def select(
    changed: Tensor,
    score: Tensor,
    age: Tensor,
    max_active: int | Tensor,
    n_refresh: int | Tensor,
) -> Selection:
    """Choose the active set of each stream.

    Parameters
    ----------
    changed, score, age
        ``(B, N)``: declared changed, its evidence, windows since computed.
    max_active, n_refresh
        Cap and reserved slots; one number, or ``(B,)`` to vary them between streams.
    """
    cap = torch.as_tensor(max_active).expand(len(changed))[:, None]
    slots = torch.as_tensor(n_refresh).expand(len(changed))[:, None]
    is_changed = changed & (_rank(torch.where(changed, score.long(), -1)) < cap - slots)
    is_refreshed = ~is_changed & (_rank(torch.where(is_changed, -1, age)) < slots)
    n_changed, n_refreshed = is_changed.sum(-1), is_refreshed.sum(-1)
    n_active = n_changed + n_refreshed
    width = int(n_active.max())
    order = (2 * is_changed.int() + is_refreshed.int()).argsort(
        dim=-1, descending=True, stable=True
    )
    valid = torch.arange(width) < n_active[:, None]
    padded = not bool(valid.all())
    return Selection(order[:, :width], valid if padded else None, n_changed, n_refreshed)


def _rank(priority: Tensor) -> Tensor:
    """Position of each patch when sorted by falling priority, ties by index."""
    order = priority.argsort(dim=-1, descending=True, stable=True)
    positions = torch.arange(priority.shape[-1]).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, positions)
