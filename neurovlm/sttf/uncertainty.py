"""How far a remembered token has drifted from what computing it now would give."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.sttf.memory import TokenMemory


class DriftHead(nn.Module):
    """Estimate of a token's drift from age, exposure and the token itself.

    ``q_i = softplus(w . M_i + w_a log(1 + age_i) + w_e log(1 + exposure_i) + b)``

    trained to regress the relative squared distance ``||M_i - d_i||^2 / mean ||d||^2`` to the
    dense step's token d_i, so q_i is in units of a token's mean energy. Age says how long a token
    has not been computed, exposure how much has been computed around it in the meantime.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Linear(dim, 1)
        self.past = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(self.token.weight)
        nn.init.constant_(self.token.bias, -3.0)
        nn.init.constant_(self.past.weight, 0.1)

    def forward(self, memory: TokenMemory) -> Tensor:
        """Drift of each patch's token, ``(B, N)``, at least 0."""
        past = torch.stack([memory.age, memory.exposure], dim=-1).to(memory.tokens.dtype)
        logit = self.token(memory.patches) + self.past(torch.log1p(past))
        return functional.softplus(logit[..., 0])


def drift(memory: TokenMemory, dense: TokenMemory) -> Tensor:
    """What `DriftHead` estimates: ``||M_i - d_i||^2 / mean ||d||^2``, ``(B, N)``."""
    energy = dense.patches.square().sum(-1)
    distance = (memory.patches - dense.patches).square().sum(-1)
    return distance / energy.mean(-1, keepdim=True)
