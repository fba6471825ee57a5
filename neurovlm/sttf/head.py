"""Label head: a causal recurrent state over a readout of the token memory.

A single window cannot tell clockwise from counter-clockwise, so the label is read from a GRU
that sees one readout per window and remembers for seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovlm.core.errors import UsageError
from neurovlm.sttf.memory import TokenMemory


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head.

    Attributes
    ----------
    n_queries
        Learned queries that pool the memory.
    state_dim
        Width of the recurrent state.
    """

    n_queries: int = 8
    state_dim: int = 128

    def __post_init__(self) -> None:
        if self.n_queries < 1 or self.state_dim < 1:
            raise UsageError(
                "head: n_queries and state_dim must be at least 1, "
                f"got {self.n_queries} and {self.state_dim}"
            )


class Readout(nn.Module):
    """Attention pooling of the memory that sees which tokens are fresh.

    Query j attends with ``q_j . M_i / sqrt(D) + f_j [a_i = 0] - o_j log(1 + a_i)
    + c_j log(1 + score_i)``, a the age. The memory is pooled as it is: no projection of all N
    tokens, so the readout costs 2 N D per query whatever the number of active tokens.
    """

    def __init__(self, dim: int, n_queries: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(n_queries, dim) * dim**-0.5)
        # half of the queries start with an eye for fresh tokens, half blind to freshness
        fresh = torch.arange(n_queries) % 2 * 2.0
        zeros = torch.zeros(n_queries)
        self.evidence = nn.Parameter(torch.stack([fresh, zeros, zeros], -1))  # (n_queries, 3)

    def forward(self, tokens: Tensor, age: Tensor, score: Tensor) -> Tensor:
        """Pool ``tokens (B, N, D)`` into ``(B, n_queries * D)``; age and score are ``(B, N)``."""
        seen = torch.stack(
            [(age == 0).float(), -torch.log1p(age.float()), torch.log1p(score.float())], 1
        )  # (B, 3, N)
        logits = self.query @ tokens.transpose(-1, -2) * tokens.shape[-1] ** -0.5
        weights = (logits + self.evidence @ seen).softmax(-1)  # (B, n_queries, N)
        return (weights @ tokens).flatten(1)


class LabelHead(nn.Module):
    """Readout -> GRU -> label logits."""

    def __init__(self, config: HeadConfig, dim: int, n_labels: int) -> None:
        super().__init__()
        self.config = config
        self.readout = Readout(dim, config.n_queries)
        self.input = nn.Linear(config.n_queries * dim, config.state_dim)
        self.norm = nn.LayerNorm(config.state_dim)
        self.recurrent = nn.GRU(config.state_dim, config.state_dim, batch_first=True)
        self.label = nn.Linear(config.state_dim, n_labels)

    def initial(self, n_streams: int) -> Tensor:
        """State before the first window, ``(B, state_dim)``."""
        return torch.zeros(n_streams, self.config.state_dim)

    def observe(self, memory: TokenMemory, score: Tensor) -> Tensor:
        """Read the memory: what the recurrent state is fed in this window, ``(B, state_dim)``."""
        return self.norm(self.input(self.readout(memory.tokens, memory.age, score)))

    def advance(self, observed: Tensor, state: Tensor) -> Tensor:
        """States after each of T windows: ``(B, T, state_dim)`` from ``observed`` of that shape."""
        states, _ = self.recurrent(observed, state[None])
        return states
