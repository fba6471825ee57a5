"""Label head: a causal recurrent state over a readout of the token memory.

A single window cannot tell clockwise from counter-clockwise. So each window's readout is laid
beside those of a few windows before (which way do things move?), and a GRU gathers that evidence
for seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.window import SttfState


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head.

    Attributes
    ----------
    channels
        What a token is reduced to.
    observed_dim
        Width of what one window is reduced to.
    taps
        Windows back that are looked at beside the present one, ascending.
    state_dim
        Width of the recurrent state.
    """

    channels: int = 16
    observed_dim: int = 64
    taps: tuple[int, ...] = (2, 4, 8)
    state_dim: int = 128

    def __post_init__(self) -> None:
        if min(self.channels, self.observed_dim, self.state_dim) < 1:
            raise UsageError(
                "head: channels, observed_dim and state_dim must be at least 1, "
                f"got {self.channels}, {self.observed_dim} and {self.state_dim}"
            )
        if not self.taps or min(self.taps) < 1 or list(self.taps) != sorted(set(self.taps)):
            raise UsageError(f"head: taps must be ascending and at least 1, got {self.taps}")


class HeadState(NamedTuple):
    """What the head carries from window to window.

    Attributes
    ----------
    history
        ``(B, max(taps), observed_dim)``, observations of the last windows, oldest first.
    hidden
        ``(B, state_dim)``, state of the GRU.
    """

    history: Tensor
    hidden: Tensor


class Readout(nn.Module):
    """Picture of the whole memory that sees what changed and when.

    Each token is reduced to a few channels, gated by its evidence e_i, and laid out by place::

        e_i = [1, q_i = 0, log(1 + score_i), -log(1 + q_i)]   q windows since i was declared changed
        r   = W vec_i( (P M_i) * (G e_i) )

    Gestures are told apart by where things move when, so every place has weights of its own.
    All N tokens are read in every window: a head that saw active tokens only would lose the scene.
    The evidence is the detector's, not the memory's: it is the same whether a token was computed,
    refreshed or remembered, so dense and sparse steps differ in their tokens only.
    """

    def __init__(self, dim: int, n_tokens: int, channels: int, observed_dim: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, channels, bias=False)
        self.gate = nn.Linear(4, channels, bias=False)
        with torch.no_grad():  # every second channel starts with an eye for what just changed
            eye = (torch.arange(channels) % 2).float()
            self.gate.weight.copy_(torch.stack([1 - eye, 0.5 * eye, 0.5 * eye, 0 * eye], -1))
        self.place = nn.Linear(n_tokens * channels, observed_dim)

    def forward(self, tokens: Tensor, quiet: Tensor, score: Tensor) -> Tensor:
        """Read ``tokens (B, N, D)`` into ``(B, observed_dim)``; quiet and score are ``(B, N)``."""
        return self.place(self.sketch(tokens, quiet, score))

    def sketch(self, tokens: Tensor, quiet: Tensor, score: Tensor) -> Tensor:
        """Gated channels of every token, laid out by place: ``(B, N * channels)``."""
        fresh, elapsed = (quiet == 0).float(), torch.log1p(quiet.float())
        evidence = [torch.ones_like(fresh), fresh, torch.log1p(score.float()), -elapsed]
        gate = self.gate(torch.stack(evidence, -1))  # (B, N, channels)
        return (self.reduce(tokens) * gate).flatten(1)


class LabelHead(nn.Module):
    """Readout -> this and earlier windows side by side -> GRU -> label logits."""

    def __init__(self, config: HeadConfig, dim: int, n_tokens: int, n_labels: int) -> None:
        super().__init__()
        self.config = config
        observed, state = config.observed_dim, config.state_dim
        self.readout = Readout(dim, n_tokens, config.channels, observed)
        self.norm = nn.LayerNorm(observed)
        self.motion = nn.Linear((1 + len(config.taps)) * observed, state)
        self.recurrent = nn.GRU(state, state, batch_first=True)
        self.label = nn.Linear(state, n_labels)

    def initial(self, n_streams: int) -> HeadState:
        """State before the first window."""
        c = self.config
        return HeadState(
            torch.zeros(n_streams, c.taps[-1], c.observed_dim), torch.zeros(n_streams, c.state_dim)
        )

    def observe(self, state: SttfState, score: Tensor) -> Tensor:
        """Reduce a window to ``(B, observed_dim)``."""
        return self.norm(self.readout(state.memory.patches, state.policy.quiet, score))

    def advance(self, observed: Tensor, state: HeadState) -> tuple[Tensor, HeadState]:
        """Take T windows at once or one by one, with the same result.

        Parameters
        ----------
        observed
            ``(B, T, observed_dim)``.
        state
            Before the first of them.

        Returns
        -------
        hidden
            ``(B, T, state_dim)``, after each window.
        state
            After the last.
        """
        n_windows, reach = observed.shape[1], self.config.taps[-1]
        known = torch.cat([state.history.to(observed.dtype), observed], dim=1)
        views = [known[:, reach - tap :][:, :n_windows] for tap in (0, *self.config.taps)]
        moves = functional.gelu(self.motion(torch.cat(views, dim=-1)))
        hidden, _ = self.recurrent(moves, state.hidden[None])
        return hidden, HeadState(known[:, -reach:], hidden[:, -1])
