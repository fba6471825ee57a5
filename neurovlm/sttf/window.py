"""One window of several streams: choose the tokens, compute them, write the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from neurovlm.core.errors import UsageError
from neurovlm.sttf.engine import Engine
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import (
    Limits,
    PolicyConfig,
    PolicyState,
    Selection,
    asks_dense,
    notice,
    select,
    served,
    served_whole,
)
from neurovlm.sttf.thresholds import Signs, ThresholdPolicy
from neurovlm.sttf.vit import Inputs, SparseViT


class SttfState(NamedTuple):
    """What STTF carries from window to window: tokens, and what is owed to which patch."""

    memory: TokenMemory
    policy: PolicyState


@dataclass(frozen=True, eq=False)
class Encoded:
    """One window of ``B`` streams.

    Attributes
    ----------
    state
        After the window.
    selection
        Tokens chosen; in streams with a dense step it does not count.
    dense
        bool ``(B,)``, whether all tokens were computed without gate and merge.
    n_active
        int64 ``(B,)``, patches computed.
    n_rows
        int64 ``(B, L)``, rows computed by each layer, prefix tokens included.
    tau
        ``(B, L)``, thresholds a policy chose; None without one or where nothing was computed.
    """

    state: SttfState
    selection: Selection
    dense: Tensor
    n_active: Tensor
    n_rows: Tensor
    tau: Tensor | None


@dataclass(frozen=True, eq=False)
class Steering:
    """What decides a step beside what changed.

    Attributes
    ----------
    thresholds
        Chooses the gates' thresholds; None: those of the encoder's config.
    events, doubt, budget
        ``(B,)``, see `neurovlm.sttf.thresholds.Signs`; needed with ``thresholds``.
    limits
        Cap and refresh of each stream where they are not those of the policy.
    temperature
        Of soft gates in training.
    """

    thresholds: ThresholdPolicy | None = None
    events: Tensor | None = None
    doubt: Tensor | None = None
    budget: Tensor | None = None
    limits: Limits | None = None
    temperature: float | None = None


def encode_window(
    encoder: SparseViT | Engine,
    policy: PolicyConfig,
    inputs: Inputs,
    changed: Tensor,
    score: Tensor,
    state: SttfState | None,
    *,
    dense: bool = False,
    steering: Steering | None = None,
) -> Encoded:
    """Take one window.

    Parameters
    ----------
    encoder, policy
        What computes, and what decides.
    inputs
        As the encoder's embedding takes them, for all streams.
    changed, score
        ``(B, N)``, declared changed and its evidence.
    state
        Before the window, not changed; None before the first, which is a dense step.
    dense
        Compute all tokens in all streams.

    Raises
    ------
    UsageError
        When something is missing, not finite or of the wrong shape, or the state is another
        encoder's; before anything is computed.
    """
    _check_inputs(inputs, changed, score, encoder.config.grid.n_patches)
    if state is not None:
        _check_state(encoder, state, len(changed))
    steering = Steering() if steering is None else steering
    if state is None:
        before = PolicyState.initial(len(changed), changed.shape[1], changed.device)
    else:
        before = state.policy
    wide, owed = notice(changed, score, before, policy)
    everywhere = torch.ones(len(changed), dtype=torch.bool, device=changed.device)
    cut = everywhere if state is None or dense else asks_dense(wide, owed, policy)
    if state is None or bool(cut.all()):
        return _dense(encoder, inputs, owed)
    risk = encoder.risk(state.memory) if policy.n_uncertain else None
    chosen = select(owed, state.memory.age, risk, policy, steering.limits)
    tau = _thresholds(steering, chosen, state.memory) if chosen.index.shape[1] else None
    memory, n_rows = encoder.step(inputs, chosen.rows, state.memory, tau, steering.temperature)
    after = served(owed, chosen)
    sparse = Encoded(SttfState(memory, after), chosen, cut, chosen.n_active, n_rows, tau)
    return _with_dense(sparse, _dense(encoder, inputs, owed)) if bool(cut.any()) else sparse


def _check_inputs(inputs: Inputs, changed: Tensor, score: Tensor, n_patches: int) -> None:
    for name, values in (("changed", changed), ("score", score)):
        if values.ndim != 2 or values.shape[1] != n_patches:
            raise UsageError(
                f"step: {name} must be (streams, {n_patches}), one value a patch, "
                f"got {tuple(values.shape)}"
            )
    given = [changed, score, *(part for part in inputs if isinstance(part, Tensor))]
    n_streams = [len(part) for part in given]
    if len(set(n_streams)) > 1:
        raise UsageError(f"step: inputs of {n_streams} streams do not go together; give as many")
    if inputs[0] is None:
        raise UsageError("step: what the encoder sees by is missing; give it in every window")
    if bool((score < 0).any()):
        raise UsageError(f"step: scores must be at least 0, got {score.min().item():g}")
    for part in given:
        if part.is_floating_point() and not bool(part.isfinite().all()):
            raise UsageError(
                f"step: an input of shape {tuple(part.shape)} holds NaN or infinity; "
                "leave the window out or repair it"
            )


def _check_state(encoder: SparseViT | Engine, state: SttfState, n_streams: int) -> None:
    """Refuse the state of other streams or of another encoder."""
    memory, config = state.memory, encoder.config
    if memory.n_streams != n_streams:
        raise UsageError(
            f"step: the state is of {memory.n_streams} streams, the window of {n_streams}; "
            "each batch of streams keeps its own"
        )
    kept = config.depth if config.remember == "all" else 0
    gated = config.depth if config.gate_tau is not None else 0
    found = (tuple(memory.tokens.shape[1:]), len(memory.keys), len(memory.references))
    wanted = ((config.n_rows, config.dim), kept, gated)
    if found != wanted or memory.age.shape[1] != config.grid.n_patches:
        raise UsageError(
            f"step: the state is of another model: tokens, layers with keys and layers with gates "
            f"are {found}, this encoder has {wanted}; start the stream anew"
        )


def _dense(encoder: SparseViT | Engine, inputs: Inputs, owed: PolicyState) -> Encoded:
    memory = encoder.dense(inputs)
    n_streams, n = memory.age.shape
    device = memory.age.device
    everywhere = torch.ones(n_streams, dtype=torch.bool, device=device)
    index = torch.arange(n, device=device).expand(n_streams, n)
    n_active = torch.full((n_streams,), n, device=device)
    nothing = torch.zeros_like(n_active)
    return Encoded(
        SttfState(memory, served_whole(owed, everywhere)),
        Selection(index, None, n_active, nothing, nothing),
        everywhere,
        n_active,
        torch.full((n_streams, encoder.config.depth), encoder.config.n_rows, device=device),
        None,
    )


def _with_dense(sparse: Encoded, whole: Encoded) -> Encoded:
    """The dense step in the streams where a scene was cut, the sparse one in the others."""
    cut = sparse.dense
    policy = PolicyState(
        *(
            torch.where(cut.view(-1, *(1,) * (theirs.ndim - 1)), theirs, mine)
            for mine, theirs in zip(sparse.state.policy, whole.state.policy, strict=True)
        )
    )
    return Encoded(
        SttfState(whole.state.memory.where(cut, sparse.state.memory), policy),
        sparse.selection,
        cut,
        torch.where(cut, whole.n_active, sparse.n_active),
        torch.where(cut[:, None], whole.n_rows, sparse.n_rows),
        sparse.tau,
    )


def _thresholds(steering: Steering, chosen: Selection, memory: TokenMemory) -> Tensor | None:
    if steering.thresholds is None:
        return None
    if steering.events is None or steering.doubt is None or steering.budget is None:
        raise ValueError("a threshold policy needs events, doubt and budget")
    signs = Signs(
        events=steering.events.float(),
        active_share=chosen.n_active / memory.age.shape[1],
        signals=memory.signals,
        mean_age=memory.age.float().mean(-1),
        doubt=steering.doubt,
        budget=steering.budget,
    )
    tau: Tensor = steering.thresholds(signs)
    return tau
