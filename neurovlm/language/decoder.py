"""MicroGPT: a small causal decoder that writes captions from the token memory.

The sequence is ``[state, word 1, word 2, ...]``: the recurrent state of the label head, projected
to a token, opens the caption (it knows direction and speed), and cross-attention brings the
token memory (it knows where and what). Position j predicts word j + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.language.cross_attention import TemporalCrossAttention
from neurovlm.language.tokenizer import END


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of the decoder.

    Attributes
    ----------
    dim, depth, heads, mlp_ratio
        Width, layers, attention heads, hidden width of the MLP over ``dim``.
    max_words
        Longest caption, its end included.
    """

    dim: int = 96
    depth: int = 2
    heads: int = 4
    mlp_ratio: int = 4
    max_words: int = 24

    def __post_init__(self) -> None:
        if self.heads < 1 or self.dim % self.heads:
            raise UsageError(
                f"decoder: dim must be a multiple of heads, got {self.dim} and {self.heads}"
            )
        if self.max_words < 1:
            raise UsageError(f"decoder: max_words must be at least 1, got {self.max_words}")


class Context(NamedTuple):
    """What one caption is about, computed once for it.

    Attributes
    ----------
    opening
        ``(B, 1, dim)``, the first token.
    keys, values
        Per layer ``(B, h, N, d_h)``, of the token memory.
    biases
        Per layer ``(B, 1, 1, N)``.
    """

    opening: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]


class KVCache(NamedTuple):
    """Self-attention keys and values ``(B, h, S, d_h)`` per layer, of one generation."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class DecoderBlock(nn.Module):
    """Causal self-attention, temporal cross-attention, MLP; each pre-norm with a residual."""

    def __init__(self, config: DecoderConfig, memory_dim: int) -> None:
        super().__init__()
        d = config.dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.cross = TemporalCrossAttention(d, memory_dim, config.heads)
        self.norm3 = nn.LayerNorm(d)
        self.mlp_in = nn.Linear(d, config.mlp_ratio * d)
        self.mlp_out = nn.Linear(config.mlp_ratio * d, d)

    def attend_self(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from ``x (B, S, dim)`` to itself and to ``past``; return all keys and values."""
        n_streams, length, dim = x.shape
        qkv = self.qkv(x).view(n_streams, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, h, S, d_h)
        if past is not None:
            key = torch.cat([past[0], key], dim=2)
            value = torch.cat([past[1], value], dim=2)
        logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        n_past = key.shape[2] - length
        future = torch.ones_like(logits[0, 0], dtype=torch.bool).triu(n_past + 1)
        weights = logits.masked_fill(future, -torch.inf).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n_streams, length, dim)
        return self.proj(mixed), key, value

    def forward(
        self,
        x: Tensor,
        past: tuple[Tensor, Tensor] | None,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute ``x (B, S, dim)`` after ``past``; memory as in `Context`."""
        attended, own_keys, own_values = self.attend_self(self.norm1(x), past)
        x = x + attended
        x = x + self.cross(self.norm2(x), key, value, bias)
        x = x + self.mlp_out(functional.gelu(self.mlp_in(self.norm3(x))))
        return x, own_keys, own_values


class MicroGPT(nn.Module):
    """Caption decoder.

    Parameters
    ----------
    config
        Shape.
    n_ids
        Size of the vocabulary, the end included.
    memory_dim, state_dim
        Widths of the token memory and of the recurrent state.
    """

    def __init__(self, config: DecoderConfig, n_ids: int, memory_dim: int, state_dim: int) -> None:
        super().__init__()
        self.config = config
        self.opening = nn.Linear(state_dim, config.dim)
        self.words = nn.Embedding(n_ids, config.dim)
        self.position = nn.Parameter(torch.randn(config.max_words, config.dim) * 0.02)
        self.blocks = nn.ModuleList(DecoderBlock(config, memory_dim) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, n_ids)

    @property
    def _layers(self) -> tuple[DecoderBlock, ...]:
        return cast("tuple[DecoderBlock, ...]", tuple(self.blocks))

    def context(self, state: Tensor, tokens: Tensor, score: Tensor, age: Tensor) -> Context:
        """Prepare a caption.

        Parameters
        ----------
        state
            ``(B, state_dim)``, recurrent state of the head.
        tokens, age
            ``(B, N, D)`` and ``(B, N)``, of the token memory.
        score
            ``(B, N)``, spikes that declared each patch changed; enters as s / (1 + s).
        """
        evidence = score.float() / (1 + score.float())
        pairs = [block.cross.remember(tokens) for block in self._layers]
        return Context(
            opening=self.opening(state)[:, None],
            keys=tuple(key for key, _ in pairs),
            values=tuple(value for _, value in pairs),
            biases=tuple(block.cross.bias(evidence, age) for block in self._layers),
        )

    def forward(self, ids: Tensor, context: Context) -> Tensor:
        """Logits ``(B, S + 1, n_ids)`` of the word after each of ``[opening, *ids (B, S)]``."""
        x = torch.cat([context.opening, self.words(ids)], dim=1)
        logits, _ = self._run(x, None, context)
        return logits

    def _run(self, x: Tensor, cache: KVCache | None, context: Context) -> tuple[Tensor, KVCache]:
        n_past = 0 if cache is None else cache.keys[0].shape[2]
        x = x + self.position[n_past : n_past + x.shape[1]]
        keys, values = [], []
        for layer, block in enumerate(self._layers):
            past = None if cache is None else (cache.keys[layer], cache.values[layer])
            x, key, value = block(
                x, past, context.keys[layer], context.values[layer], context.biases[layer]
            )
            keys.append(key)
            values.append(value)
        return self.out(self.norm(x)), KVCache(tuple(keys), tuple(values))

    @torch.no_grad()
    def generate(self, context: Context) -> tuple[Tensor, Tensor]:
        """Write captions greedily with a KV cache.

        Returns
        -------
        ids
            int64 ``(B, S)``, each row ended (and padded) by `END` unless ``max_words`` was
            reached first.
        probabilities
            ``(B, S)``, of the chosen words; 1 on padding.
        """
        chosen, probabilities = [], []
        x, cache = context.opening, None
        done = torch.zeros(len(x), dtype=torch.bool)
        for _ in range(self.config.max_words):
            logits, cache = self._run(x, cache, context)
            probability, word = logits[:, -1].softmax(-1).max(-1)
            chosen.append(torch.where(done, END, word))
            probabilities.append(torch.where(done, 1.0, probability))
            done = done | (word == END)
            if bool(done.all()):
                break
            x = self.words(word)[:, None]
        return torch.stack(chosen, 1), torch.stack(probabilities, 1)
