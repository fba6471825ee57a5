"""Temporal merge of a newly computed token into the memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_COSINE = 0.8
"""Below it the content is new and must not be averaged with the old."""


class TemporalMerge(nn.Module):
    """Gated average of old and new token, where they agree in direction.

    With new tokens z, old tokens M and age a (windows since M was computed)::

        c = cos(z, M)
        g = sigmoid(w . [z ; M] + w_c c + w_a log(1 + a) + b)   if c >= 0.8
        g = 1                                                   otherwise
        M <- g z + (1 - g) M,   s <- 1 + (1 - g) s

    ``s`` is the effective number of windows in a token. All ``w`` start at 0 and b at ``bias``,
    so that merging starts close to plain replacement (g = 0.98 at b = 4) and only training can
    make it keep more of the past.
    """

    def __init__(self, dim: int, bias: float = 4.0) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dim + 2, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, new: Tensor, old: Tensor, size: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
        """Merge ``new`` and ``old (B, k, D)``; return tokens and sizes ``(B, k)``."""
        cosine = functional.cosine_similarity(new, old, dim=-1)[..., None]
        elapsed = torch.log1p(age.to(new.dtype))[..., None]
        gate = torch.sigmoid(self.gate(torch.cat([new, old, cosine, elapsed], dim=-1)))
        gate = torch.where(cosine >= MIN_COSINE, gate, torch.ones_like(gate))
        return gate * new + (1 - gate) * old, 1 + (1 - gate[..., 0]) * size
