"""One pre-norm transformer layer whose keys and values may come from a memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.memory import put_rows, take_rows


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _swiglu(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return functional.silu(gate) * value


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "quick_gelu": _quick_gelu,
    "silu": functional.silu,
    "relu": functional.relu,
    "swiglu": _swiglu,
}
"""What an MLP does between its products; swiglu takes twice the hidden width."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Which rows of a bank a step writes: ``index (B, k)`` where ``valid``."""

    index: Tensor
    valid: Tensor | None


@dataclass(frozen=True, eq=False)
class Cache:
    """Remembered keys and values ``(B, h, R, d_h)`` and the rows that are new.

    Attributes
    ----------
    keys, values
        Before this step.
    rows
        Where the new ones go.
    gate
        ``(B, k)``; 1 writes a row, 0 keeps the old one. Between them in training only. None: 1.
    """

    keys: Tensor
    values: Tensor
    rows: Rows
    gate: Tensor | None = None

    def write(self, bank: Tensor, new: Tensor) -> Tensor:
        """The bank with ``new (B, h, k, d_h)`` in its rows."""
        if self.gate is not None:
            gate = self.gate[:, None, :, None]
            new = gate * new + (1 - gate) * take_rows(bank, self.rows.index)
        return put_rows(bank, self.rows.index, new, self.rows.valid)


@dataclass(frozen=True, eq=False)
class BlockOutput:
    """Rows after the layer, all keys and values, and how spread the attention was.

    Attributes
    ----------
    x
        ``(B, k, D)``.
    keys, values
        ``(B, h, R, d_h)``.
    weights
        ``(B, h, k, R)``, attention weights.
    """

    x: Tensor
    keys: Tensor
    values: Tensor
    weights: Tensor


class Block(nn.Module):
    """Attention to all keys, then an MLP; each on normalised input, each added to it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        d, hidden = config.dim, config.hidden_dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(d, config.eps)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d, config.eps)
        self.mlp_in = nn.Linear(d, 2 * hidden if config.activation == "swiglu" else hidden)
        self.mlp_out = nn.Linear(hidden, d)
        self.activation = ACTIVATIONS[config.activation]
        self.scale1 = nn.Parameter(torch.ones(d)) if config.layer_scale else None
        self.scale2 = nn.Parameter(torch.ones(d)) if config.layer_scale else None
        self.gamma = nn.Parameter(torch.zeros(())) if config.key_bias else None

    def forward(
        self, x: Tensor, normed: Tensor, cache: Cache | None, bias: Tensor | None
    ) -> BlockOutput:
        """Compute the rows of ``x``.

        Parameters
        ----------
        x, normed
            ``(B, k, D)`` and ``norm1(x)``, which a gate has to know before.
        cache
            Where to attend to; None when ``x`` is all there is.
        bias
            ``(B, R)`` or ``(B, 1)``, added to the logits of each key, or None.
        """
        n_streams, k, d = x.shape
        qkv = self.qkv(normed).view(n_streams, k, 3, self.heads, d // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, h, k, d_h)
        query = query * query.shape[-1] ** -0.5
        if cache is not None:
            key, value = cache.write(cache.keys, key), cache.write(cache.values, value)
        logits = query @ key.transpose(-1, -2)  # (B, h, k, R)
        if bias is not None:
            logits = logits + bias[:, None, None, :]
        weights = logits.softmax(-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n_streams, k, d)
        x = x + _scaled(self.proj(mixed), self.scale1)
        x = x + _scaled(self.mlp_out(self.activation(self.mlp_in(self.norm2(x)))), self.scale2)
        return BlockOutput(x, key, value, weights)


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale
