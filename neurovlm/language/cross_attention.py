"""Temporal cross-attention: text looks at the token memory, with a soft bias to what changed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class TemporalCrossAttention(nn.Module):
    """softmax(Q K^T / sqrt(d_h) + b_m score - b_a log(1 + age)) V.

    Q from text, K and V from the token memory; ``score`` in [0, 1] is the change evidence of a
    patch and ``age`` its windows since computed. b_m, b_a >= 0 are learned, b_m starts at 0.5.
    The bias is soft: a hard mask could not describe a scene that stands still.

    Parameters
    ----------
    dim
        Width of the text.
    memory_dim
        Width of the token memory.
    heads
        Attention heads.
    """

    def __init__(self, dim: int, memory_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(memory_dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        # softplus keeps both at or above 0; softplus(-0.4328) = 0.5
        self.raw_bias = nn.Parameter(torch.tensor([-0.4328, -2.0]))

    def remember(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``(B, h, N, d_h)`` of ``tokens (B, N, D)``, once per caption."""
        n_streams, n, _ = tokens.shape
        both = self.key_value(tokens).view(n_streams, n, 2, self.heads, -1)
        key, value = both.permute(2, 0, 3, 1, 4)
        return key, value

    def bias(self, score: Tensor, age: Tensor) -> Tensor:
        """b_m score - b_a log(1 + age), ``(B, 1, 1, N)``."""
        b_m, b_a = functional.softplus(self.raw_bias)
        return (b_m * score - b_a * torch.log1p(age.float()))[:, None, None, :]

    def forward(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attend from ``x (B, S, dim)``; the rest from `remember` and `bias`."""
        n_streams, length, dim = x.shape
        query = self.query(x).view(n_streams, length, self.heads, -1).transpose(1, 2)
        logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias
        mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(n_streams, length, dim)
        return self.proj(mixed)
