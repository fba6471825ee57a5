"""Label head: a causal recurrent state over a readout of the token memory.

A single window cannot tell clockwise from counter-clockwise. So each window's readout is laid
beside those of a few windows before (which way do things move?), and a GRU gathers that evidence
for seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.window import SttfState

Kind = Literal["place", "conv"]


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head.

    Attributes
    ----------
    kind
        How the tokens of a window are read. ``"place"``: with weights of their own at every
        place, for what is told by where it happens. ``"conv"``: by convolutions over the token
        grid, for shapes that may lie anywhere; needs far fewer examples.
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
    kind: Kind = "place"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise UsageError(f"head: kind must be one of {known}, got {self.kind!r}")
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

    Gestures are told apart by where things move when, so W has weights of its own for every place.
    In a ``"conv"`` head two convolutions of 3 x 3 with stride 2 (gelu after each), which are the
    same at all places, come before a linear map of what they leave of the grid.
    All N tokens are read in every window: a head that saw active tokens only would lose the scene.
    The evidence is the detector's, not the memory's: it is the same whether a token was computed,
    refreshed or remembered, so dense and sparse steps differ in their tokens only.
    """

    def __init__(
        self, dim: int, n_tokens: int, channels: int, observed_dim: int, kind: Kind = "place"
    ) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, channels, bias=False)
        self.gate = nn.Linear(4, channels, bias=False)
        with torch.no_grad():  # every second channel starts with an eye for what just changed
            eye = (torch.arange(channels) % 2).float()
            self.gate.weight.copy_(torch.stack([1 - eye, 0.5 * eye, 0.5 * eye, 0 * eye], -1))
        self.place: nn.Module
        if kind == "place":
            self.place = nn.Linear(n_tokens * channels, observed_dim)
        else:
            self.place = _Convolutions(n_tokens, channels, observed_dim)

    def forward(self, tokens: Tensor, quiet: Tensor, score: Tensor) -> Tensor:
        """Read ``tokens (B, N, D)`` into ``(B, observed_dim)``; quiet and score are ``(B, N)``."""
        return cast("Tensor", self.place(self.sketch(tokens, quiet, score)))

    def sketch(self, tokens: Tensor, quiet: Tensor, score: Tensor) -> Tensor:
        """Gated channels of every token, laid out by place: ``(B, N * channels)``."""
        fresh, elapsed = (quiet == 0).float(), torch.log1p(quiet.float())
        evidence = [torch.ones_like(fresh), fresh, torch.log1p(score.float()), -elapsed]
        gate = self.gate(torch.stack(evidence, -1))  # (B, N, channels)
        return (self.reduce(tokens) * gate).flatten(1)


class _Convolutions(nn.Module):
    """``(..., N * channels)``, a sketch -> ``(..., observed_dim)``, convolved over the grid."""

    def __init__(self, n_tokens: int, channels: int, observed_dim: int) -> None:
        super().__init__()
        self.side = math.isqrt(n_tokens)
        wide = 2 * channels
        left = conv_side(conv_side(self.side))
        self.first = nn.Conv2d(channels, wide, 3, stride=2, padding=1)
        self.second = nn.Conv2d(wide, wide, 3, stride=2, padding=1)
        self.out = nn.Linear(wide * left**2, observed_dim)

    def forward(self, sketch: Tensor) -> Tensor:
        lead = sketch.shape[:-1]
        picture = sketch.reshape(-1, self.side, self.side, self.first.in_channels)
        mixed = functional.gelu(self.first(picture.permute(0, 3, 1, 2)))
        mixed = functional.gelu(self.second(mixed)).flatten(1)
        return cast("Tensor", self.out(mixed).unflatten(0, lead))


def conv_side(side: int) -> int:
    """Side of a grid after a convolution of 3 x 3 with stride 2 and a border of one."""
    return (side + 1) // 2


class LabelHead(nn.Module):
    """Readout -> this and earlier windows side by side -> GRU -> label logits."""

    def __init__(self, config: HeadConfig, dim: int, n_tokens: int, n_labels: int) -> None:
        super().__init__()
        self.config = config
        observed, state = config.observed_dim, config.state_dim
        self.readout = Readout(dim, n_tokens, config.channels, observed, config.kind)
        self.norm = nn.LayerNorm(observed)
        self.motion = nn.Linear((1 + len(config.taps)) * observed, state)
        self.recurrent = nn.GRU(state, state, batch_first=True)
        self.label = nn.Linear(state, n_labels)

    def initial(self, n_streams: int) -> HeadState:
        """State before the first window."""
        c, device = self.config, self.label.weight.device
        return HeadState(
            torch.zeros(n_streams, c.taps[-1], c.observed_dim, device=device),
            torch.zeros(n_streams, c.state_dim, device=device),
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
