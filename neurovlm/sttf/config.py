"""Shape of an encoder and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "swiglu"]
Remember = Literal["all", "tokens", "nothing"]


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the encoder.

    Attributes
    ----------
    dim, depth, heads, mlp_ratio
        Width D, layers L, attention heads h, hidden width of the MLP over D.
    channels
        Event count channels: OFF, ON, support filter.
    grid_side, patch
        The patch grid.
    remember
        What is kept of tokens that are not computed: ``"all"`` their output, keys and values;
        ``"tokens"`` their output, while active tokens attend to each other only; ``"nothing"``:
        they read as zero until they change. The last two are there to be compared with.
    gate_tau
        Per-layer reference gate: a token passes layer l if
        ``||LN(x) - p|| / (||p|| + eps) >= tau_l``, p the input that layer last computed on;
        else it takes its remembered output. None: no gate, nothing extra remembered. A threshold
        policy (`neurovlm.sttf.thresholds`) chooses tau_l anew in every window, else this is it.
    key_bias
        Add ``log(size) - gamma * age`` to the attention logits, gamma >= 0 learned per layer.
    merge
        Write tokens through `TemporalMerge`; else replace them.
    uncertainty
        Estimate how far each remembered token has drifted (`neurovlm.sttf.uncertainty`).
    hidden
        Hidden width of the MLP where it is no multiple of D.
    activation, eps, layer_scale, final_norm
        Of wrapped towers: the MLP's activation, epsilon of the norms, whether each residual
        branch has a scale per channel, whether the last tokens are normalised.
    n_prefix
        Tokens that stand for no patch (class token, registers). Their rows come first in every
        bank, and they are computed in every step.
    """

    dim: int = 128
    depth: int = 3
    heads: int = 4
    mlp_ratio: int = 4
    channels: int = 3
    grid_side: int = 14
    patch: int = 9
    remember: Remember = "all"
    gate_tau: float | None = None
    key_bias: bool = False
    merge: bool = False
    uncertainty: bool = False
    hidden: int | None = None
    activation: Activation = "gelu"
    eps: float = 1e-5
    layer_scale: bool = False
    final_norm: bool = True
    n_prefix: int = 0

    def __post_init__(self) -> None:
        if self.heads < 1 or self.dim % self.heads:
            raise UsageError(
                f"encoder: dim must be a multiple of heads, got {self.dim} and {self.heads}"
            )
        if self.gate_tau is not None and not self.gate_tau >= 0:
            raise UsageError(f"encoder: gate_tau must be at least 0, got {self.gate_tau}")
        if self.activation not in get_args(Activation):
            known = ", ".join(get_args(Activation))
            raise UsageError(f"encoder: activation must be one of {known}, got {self.activation!r}")
        if self.remember not in get_args(Remember):
            known = ", ".join(get_args(Remember))
            raise UsageError(f"encoder: remember must be one of {known}, got {self.remember!r}")
        if self.remember != "all" and (self.gate_tau is not None or self.key_bias):
            raise UsageError(
                "encoder: gate_tau and key_bias need remembered keys; set remember='all', "
                f"got {self.remember!r}"
            )
        if self.n_prefix < 0:
            raise UsageError(f"encoder: n_prefix must be at least 0, got {self.n_prefix}")

    @property
    def grid(self) -> PatchGrid:
        """The patch grid, one token per patch."""
        return PatchGrid(self.grid_side, self.patch)

    @property
    def hidden_dim(self) -> int:
        """Hidden width of the MLP."""
        return self.mlp_ratio * self.dim if self.hidden is None else self.hidden

    @property
    def n_rows(self) -> int:
        """Rows of a bank: prefix tokens, then one per patch."""
        return self.n_prefix + self.grid.n_patches
