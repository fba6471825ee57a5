"""Thresholds of the per-layer gates, chosen anew in every window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurovlm.core.errors import UsageError

N_SIGNS = 7


@dataclass(frozen=True)
class ThresholdConfig:
    """Range and size of a threshold policy.

    Attributes
    ----------
    tau_min, tau_max
        Thresholds lie between these.
    hidden
        Width of its hidden layer.
    """

    tau_min: float = 0.0
    tau_max: float = 1.0
    hidden: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.tau_min < self.tau_max:
            raise UsageError(
                f"thresholds: needs 0 <= tau_min < tau_max, got {self.tau_min} and {self.tau_max}"
            )
        if self.hidden < 1:
            raise UsageError(f"thresholds: hidden must be at least 1, got {self.hidden}")


class Signs(NamedTuple):
    """What the thresholds are chosen by, ``(B,)`` each unless said otherwise.

    Attributes
    ----------
    events
        Events of the window.
    active_share
        Share of the patches that are active.
    signals
        ``(B, L, 2)``, `neurovlm.sttf.memory.TokenMemory.signals` of the last step.
    mean_age
        Mean age of the tokens.
    doubt
        Entropy of the last label probabilities over its largest value.
    budget
        What may be spent, 0 (as little as possible) to 1.
    """

    events: Tensor
    active_share: Tensor
    signals: Tensor
    mean_age: Tensor
    doubt: Tensor
    budget: Tensor

    def features(self) -> Tensor:
        """Seven numbers of order one, ``(B, 7)``."""
        distance, entropy = self.signals.mean(1).unbind(-1)
        columns = [
            torch.log1p(self.events) / 8,
            self.active_share,
            distance,
            entropy,
            torch.log1p(self.mean_age) / 4,
            self.doubt,
            self.budget,
        ]
        return torch.stack(columns, dim=-1)


class ThresholdPolicy(nn.Module):
    """tau_l = tau_min + (tau_max - tau_min) sigmoid(MLP(z))_l, an MLP of 7 -> hidden -> L.

    The budget enters the last layer with a slope of its own, negative at the start: thresholds
    rise where less may be spent.
    """

    def __init__(self, config: ThresholdConfig, depth: int) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(N_SIGNS, config.hidden)
        self.out = nn.Linear(config.hidden, depth)
        self.slope = nn.Parameter(torch.full((depth,), -4.0))
        self.offset = nn.Parameter(torch.full((depth,), 0.0))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, signs: Signs) -> Tensor:
        """Thresholds ``(B, L)``."""
        shape = self.out(torch.tanh(self.hidden(signs.features())))
        logit = shape + self.offset + self.slope * signs.budget[:, None]
        low, high = self.config.tau_min, self.config.tau_max
        return low + (high - low) * torch.sigmoid(logit)
