"""Which tokens are computed in a window: changed patches under a hard cap, plus a rolling refresh.

Active set of a window, in this order and never more than ``max_active``:

1. changed patches by the evidence they gathered since they were last computed, so that a patch
   the cap turned away comes back first;
2. up to ``n_uncertain`` remembered tokens whose estimated drift is above ``uncertain_above``;
3. the oldest of the others: one for every two that changed, between ``idle_refresh`` and
   ``n_refresh``. Where little happens, little has to be refreshed.

Slots of 2 and 3 are reserved, so that a flood of events cannot starve them: while something
changes everywhere every age stays at or below ``ceil(N / n_refresh)``, and always at or below
``ceil(N / idle_refresh)``. Ties go to the lower patch index, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.block import Rows


@dataclass(frozen=True)
class PolicyConfig:
    """Limits of the active set.

    Attributes
    ----------
    max_active
        Hard cap on tokens computed in a sparse step, refreshed ones included.
    n_refresh, idle_refresh
        Most and fewest of the oldest tokens that are computed in a window.
    n_uncertain, uncertain_above
        Slots for tokens whose drift is estimated to be above a limit; needs an encoder with
        ``uncertainty``.
    scene_cut_share, cut_interval
        A larger share of changed patches is a scene cut and asks for a dense step, at most once
        in so many windows; cuts in between, and all of them where it is None, are worked off
        under the cap.
    dilate, hold
        Rings of neighbours, and windows, by which a declared change is widened.
    fixed
        Always compute ``max_active`` tokens, changed or not: one shape for every step.
    budget
        What a threshold policy may spend, 0 (as little as possible) to 1.
    """

    max_active: int = 32
    n_refresh: int = 8
    idle_refresh: int = 1
    n_uncertain: int = 0
    uncertain_above: float = 0.25
    scene_cut_share: float = 0.6
    cut_interval: int | None = 40
    dilate: int = 0
    hold: int = 0
    fixed: bool = False
    budget: float = 1.0

    def __post_init__(self) -> None:
        if self.max_active < 1:
            raise UsageError(f"policy: max_active must be at least 1, got {self.max_active}")
        if not 0 <= self.idle_refresh <= self.n_refresh:
            raise UsageError(
                f"policy: idle_refresh must be in 0..n_refresh={self.n_refresh}, "
                f"got {self.idle_refresh}"
            )
        if self.n_uncertain < 0 or self.n_refresh + self.n_uncertain > self.max_active:
            raise UsageError(
                "policy: n_refresh + n_uncertain must be in 0..max_active="
                f"{self.max_active}, got {self.n_refresh} + {self.n_uncertain}"
            )
        if not 0 < self.scene_cut_share <= 1:
            raise UsageError(
                f"policy: scene_cut_share must be in (0, 1], got {self.scene_cut_share}"
            )
        if self.cut_interval is not None and self.cut_interval < 1:
            raise UsageError(
                f"policy: cut_interval must be at least 1 or None, got {self.cut_interval}"
            )
        if not 0 <= self.budget <= 1:
            raise UsageError(f"policy: budget must be in [0, 1], got {self.budget}")
        if self.dilate < 0 or self.hold < 0:
            raise UsageError(
                f"policy: dilate and hold must be at least 0, got {self.dilate} and {self.hold}"
            )


NEVER = 100
"""Windows since a change that never was; longer silences count as this (2.5 s at 25 ms)."""


class Limits(NamedTuple):
    """Cap and refresh of each stream, ``(B,)``, where they differ between streams."""

    max_active: Tensor
    n_refresh: Tensor


class PolicyState(NamedTuple):
    """What the choice of one window leaves for the next.

    Attributes
    ----------
    evidence
        int64 ``(B, N)``, score gathered by changed patches that are still to be computed; 0 where
        nothing is owed.
    quiet
        int64 ``(B, N)``, windows since a patch was declared changed; `NEVER` before.
    since_dense
        int64 ``(B,)``, windows since the last dense step.
    """

    evidence: Tensor
    quiet: Tensor
    since_dense: Tensor

    @classmethod
    def initial(
        cls, n_streams: int, n_patches: int, device: torch.device | None = None
    ) -> PolicyState:
        """State before the first window."""
        nothing = torch.zeros(n_streams, n_patches, dtype=torch.int64, device=device)
        return cls(nothing, nothing + NEVER, nothing[:, 0].clone())


@dataclass(frozen=True, eq=False)
class Selection:
    """Tokens to compute, padded to one length over the batch.

    Attributes
    ----------
    index
        int64 ``(B, k)``, distinct within a stream: changed patches, then uncertain ones, then
        refreshed ones, then padding.
    valid
        bool ``(B, k)``, False on padding; None when there is none.
    n_changed, n_uncertain, n_refreshed
        int64 ``(B,)``, how many of each.
    """

    index: Tensor
    valid: Tensor | None
    n_changed: Tensor
    n_uncertain: Tensor
    n_refreshed: Tensor

    @property
    def rows(self) -> Rows:
        """As the encoder takes them."""
        return Rows(self.index, self.valid)

    @property
    def n_active(self) -> Tensor:
        """int64 ``(B,)``, tokens computed."""
        return self.n_changed + self.n_uncertain + self.n_refreshed


def notice(
    changed: Tensor, score: Tensor, state: PolicyState, config: PolicyConfig
) -> tuple[Tensor, PolicyState]:
    """Widen what was declared changed and add its evidence to what is owed.

    Parameters
    ----------
    changed, score
        ``(B, N)``: declared changed, and its evidence.

    Returns
    -------
    changed
        bool ``(B, N)``, dilated and held.
    state
        With this window's evidence; ``since_dense`` one window on.
    """
    quiet = torch.where(changed, 0, (state.quiet + 1).clamp(max=NEVER))
    wide = quiet <= config.hold
    if config.dilate:
        n_streams, n = wide.shape
        side = round(n**0.5)
        picture = wide.view(n_streams, 1, side, side).float()
        reach = 2 * config.dilate + 1
        grown = functional.max_pool2d(picture, reach, stride=1, padding=config.dilate)
        wide = grown.view(n_streams, n) > 0
    gained = torch.where(wide, score.long().clamp(min=1), 0)
    return wide, PolicyState(state.evidence + gained, quiet, state.since_dense + 1)


def asks_dense(changed: Tensor, state: PolicyState, config: PolicyConfig) -> Tensor:
    """Streams ``(B,)`` in which a scene cut asks for a dense step and may have one."""
    if config.cut_interval is None:
        return torch.zeros(len(changed), dtype=torch.bool, device=changed.device)
    cut = changed.float().mean(-1) > config.scene_cut_share
    return cut & (state.since_dense >= config.cut_interval)


def select(
    state: PolicyState,
    age: Tensor,
    risk: Tensor | None,
    config: PolicyConfig,
    limits: Limits | None = None,
) -> Selection:
    """Choose the active set of each stream.

    Parameters
    ----------
    state
        After `notice`.
    age
        ``(B, N)``, windows since computed.
    risk
        ``(B, N)``, estimated drift; None where nothing estimates it.
    limits
        Cap and refresh of each stream; those of ``config`` by default.
    """
    owed = state.evidence
    cap, most = _limits(limits, config, owed)
    slots = _refresh_slots(owed, most, config)
    n_uncertain = 0 if risk is None else config.n_uncertain
    is_changed = (owed > 0) & (_rank(owed) < cap - slots - n_uncertain)
    is_uncertain = torch.zeros_like(is_changed)
    if risk is not None and n_uncertain:
        worry = torch.where(is_changed, -1.0, risk)
        is_uncertain = (worry > config.uncertain_above) & (_rank(worry) < n_uncertain)
    taken = is_changed | is_uncertain
    if config.fixed:
        slots = cap - taken.sum(-1, keepdim=True)
    is_refreshed = ~taken & (_rank(torch.where(taken, -1, age)) < slots)
    order = (3 * is_changed.int() + 2 * is_uncertain.int() + is_refreshed.int()).argsort(
        dim=-1, descending=True, stable=True
    )
    counts = [which.sum(-1) for which in (is_changed, is_uncertain, is_refreshed)]
    n_active = counts[0] + counts[1] + counts[2]
    width = int(n_active.max())
    valid = torch.arange(width, device=age.device) < n_active[:, None]
    padded = not bool(valid.all())
    return Selection(order[:, :width], valid if padded else None, *counts)


def served(state: PolicyState, selection: Selection) -> PolicyState:
    """State after the selected patches were computed: nothing is owed to them any more."""
    evidence = state.evidence
    if selection.index.shape[1]:
        kept = torch.zeros_like(selection.index)
        if selection.valid is not None:
            kept = torch.where(selection.valid, kept, evidence.gather(-1, selection.index))
        evidence = evidence.scatter(-1, selection.index, kept)
    return state._replace(evidence=evidence)


def served_whole(state: PolicyState, which: Tensor) -> PolicyState:
    """State after a dense step in the streams ``which (B,)``."""
    return state._replace(
        evidence=torch.where(which[:, None], 0, state.evidence),
        since_dense=torch.where(which, 0, state.since_dense),
    )


def _limits(limits: Limits | None, config: PolicyConfig, owed: Tensor) -> tuple[Tensor, Tensor]:
    if limits is None:
        each = torch.ones(len(owed), dtype=torch.int64, device=owed.device)
        limits = Limits(config.max_active * each, config.n_refresh * each)
    return limits.max_active[:, None], limits.n_refresh[:, None]


def _refresh_slots(owed: Tensor, most: Tensor, config: PolicyConfig) -> Tensor:
    n_changed = (owed > 0).sum(-1, keepdim=True)
    return torch.minimum((n_changed // 2).clamp(min=config.idle_refresh), most)


def _rank(priority: Tensor) -> Tensor:
    """Position of each patch when sorted by falling priority, ties by index."""
    order = priority.argsort(dim=-1, descending=True, stable=True)
    positions = torch.arange(priority.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter(-1, order, positions)
