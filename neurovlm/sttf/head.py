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
from neurovlm.sttf.memory import TokenMemory


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head.

    Attributes
    ----------
    n_queries
        Learned queries that pool the memory.
    observed_dim
        Width of what one window is reduced to.
    taps
        Windows back that are looked at beside the present one, ascending.
    state_dim
        Width of the recurrent state.
    """

    n_queries: int = 8
    observed_dim: int = 64
    taps: tuple[int, ...] = (2, 4, 8)
    state_dim: int = 128

    def __post_init__(self) -> None:
        if min(self.n_queries, self.observed_dim, self.state_dim) < 1:
            raise UsageError(
                "head: n_queries, observed_dim and state_dim must be at least 1, "
                f"got {self.n_queries}, {self.observed_dim} and {self.state_dim}"
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
    """Attention pooling of the memory that sees which tokens are fresh.

    Query j attends with ``q_j . M_i / sqrt(D) + f_j [a_i = 0] - o_j log(1 + a_i)
    + c_j log(1 + score_i)``, a the age. The memory is pooled as it is: no projection of all N
    tokens, so the readout costs 2 N D per query whatever the number of active tokens.
    """

    def __init__(self, dim: int, n_queries: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(n_queries, dim))
        # every second query starts with an eye for what just changed, the others see all alike
        eye = (torch.arange(n_queries) % 2).float()
        self.evidence = nn.Parameter(torch.stack([2 * eye, 0 * eye, eye], -1))  # (n_queries, 3)

    def forward(self, tokens: Tensor, age: Tensor, score: Tensor) -> Tensor:
        """Pool ``tokens (B, N, D)`` into ``(B, n_queries * D)``; age and score are ``(B, N)``."""
        seen = torch.stack(
            [(age == 0).float(), -torch.log1p(age.float()), torch.log1p(score.float())], 1
        )  # (B, 3, N)
        logits = self.query @ tokens.transpose(-1, -2) * tokens.shape[-1] ** -0.5
        weights = (logits + self.evidence @ seen).softmax(-1)  # (B, n_queries, N)
        return (weights @ tokens).flatten(1)


class LabelHead(nn.Module):
    """Readout -> this and earlier windows side by side -> GRU -> label logits."""

    def __init__(self, config: HeadConfig, dim: int, n_labels: int) -> None:
        super().__init__()
        self.config = config
        observed, state = config.observed_dim, config.state_dim
        self.readout = Readout(dim, config.n_queries)
        self.input = nn.Linear(config.n_queries * dim, observed)
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

    def observe(self, memory: TokenMemory, score: Tensor) -> Tensor:
        """Reduce a window to ``(B, observed_dim)``."""
        return self.norm(self.input(self.readout(memory.tokens, memory.age, score)))

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
