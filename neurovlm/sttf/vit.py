"""SparseViT: a pre-norm vision transformer that can compute some tokens and remember the rest.

Dense step: all N tokens pass all layers. Sparse step, for the active tokens only::

    x   = embed(active patches)
    per layer:
        q, k, v = W LN(x)                     rows of active tokens
        K[active] <- k,  V[active] <- v       scattered into the remembered rows
        x = x + softmax(q K^T / sqrt(d_h)) V  against all N keys
        x = x + MLP(LN(x))
    M[active] <- LN(x)

Every product has k rows instead of N, so the encoder's multiply-accumulates fall by exactly N/k
(Eventful Transformers, Dutson et al. 2023, keep the same caches; NeuroFlow 2026 measures that
active tokens lose most when their context is dropped instead). With all tokens active and no
gate, the sparse step is the dense step.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid
from neurovlm.sttf.embed import PatchEmbed
from neurovlm.sttf.fusion import TemporalMerge
from neurovlm.sttf.memory import TokenMemory, put_rows, take_rows

GATE_EPS = 1e-6


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
    gate_tau
        Per-layer reference gate: a token passes layer l if
        ``||LN(x) - p|| / (||p|| + eps) >= gate_tau``, p the input that layer last computed on;
        else it takes its remembered output. None: no gate, nothing extra remembered.
    key_bias
        Add ``log(size) - gamma * age`` to the attention logits, gamma >= 0 learned per layer.
    merge
        Write tokens through `TemporalMerge`; else replace them.
    """

    dim: int = 128
    depth: int = 3
    heads: int = 4
    mlp_ratio: int = 4
    channels: int = 3
    grid_side: int = 14
    patch: int = 9
    gate_tau: float | None = None
    key_bias: bool = False
    merge: bool = False

    def __post_init__(self) -> None:
        if self.heads < 1 or self.dim % self.heads:
            raise UsageError(
                f"encoder: dim must be a multiple of heads, got {self.dim} and {self.heads}"
            )
        if self.gate_tau is not None and self.gate_tau < 0:
            raise UsageError(f"encoder: gate_tau must be at least 0, got {self.gate_tau}")

    @property
    def grid(self) -> PatchGrid:
        """The patch grid, one token per patch."""
        return PatchGrid(self.grid_side, self.patch)


@dataclass(frozen=True, eq=False)
class Rows:
    """Which rows of a layer's memory a step writes: ``index (B, k)`` where ``valid``."""

    index: Tensor
    valid: Tensor | None


class Block(nn.Module):
    """One pre-norm layer: attention to all keys, then an MLP."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        d = config.dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.mlp_in = nn.Linear(d, config.mlp_ratio * d)
        self.mlp_out = nn.Linear(config.mlp_ratio * d, d)
        self.gamma = nn.Parameter(torch.zeros(())) if config.key_bias else None

    def forward(
        self, x: Tensor, cache: tuple[Tensor, Tensor] | None, rows: Rows | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the rows of ``x (B, k, D)`` and return them with all keys and values.

        ``cache`` holds the remembered keys and values ``(B, h, N, d_h)``, overwritten at
        ``rows``; None when ``x`` is all there is. ``bias (B, N)`` is added to the logits.
        """
        n_streams, k, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(n_streams, k, 3, self.heads, d // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, h, k, d_h)
        query = query * query.shape[-1] ** -0.5
        if cache is not None and rows is not None:
            key = put_rows(cache[0], rows.index, key, rows.valid)
            value = put_rows(cache[1], rows.index, value, rows.valid)
        logits = query @ key.transpose(-1, -2)  # (B, h, k, N)
        if bias is not None:
            logits = logits + bias[:, None, None, :]
        mixed = (logits.softmax(-1) @ value).transpose(1, 2).reshape(n_streams, k, d)
        x = x + self.proj(mixed)
        x = x + self.mlp_out(functional.gelu(self.mlp_in(self.norm2(x))))
        return x, key, value


class SparseViT(nn.Module):
    """Encoder of one window: ``dense`` for all tokens, ``step`` for the active ones."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = PatchEmbed(config.dim, config.channels, config.grid)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.merge = TemporalMerge(config.dim) if config.merge else None

    @property
    def _layers(self) -> tuple[Block, ...]:
        return cast("tuple[Block, ...]", tuple(self.blocks))

    def dense(self, counts: Tensor, frame: Tensor | None) -> TokenMemory:
        """Compute every token; the result owes nothing to the past.

        No gate and no merge take part; size is 1 and age 0 everywhere. Arguments as in
        `PatchEmbed.forward`.
        """
        x = self.embed(counts, frame)
        keys, values, references, outputs = [], [], [], []
        for block in self._layers:
            if self.config.gate_tau is not None:
                references.append(block.norm1(x))
            x, key, value = block(x, None, None, None)
            keys.append(key)
            values.append(value)
            if self.config.gate_tau is not None:
                outputs.append(x)
        age = torch.zeros(x.shape[:2], dtype=torch.int64)
        return TokenMemory(
            tokens=self.norm(x),
            keys=tuple(keys),
            values=tuple(values),
            size=torch.ones(x.shape[:2]),
            age=age,
            references=tuple(references),
            outputs=tuple(outputs),
        )

    def step(
        self,
        counts: Tensor,
        frame: Tensor | None,
        index: Tensor,
        valid: Tensor | None,
        memory: TokenMemory,
    ) -> tuple[TokenMemory, Tensor]:
        """Compute the active tokens and write them into a new memory.

        Parameters
        ----------
        counts, frame
            As in `PatchEmbed.forward`.
        index, valid
            ``(B, k)``, as in `neurovlm.sttf.policy.Selection`.
        memory
            State before the window; not changed.

        Returns
        -------
        memory
            State after the window: inactive tokens keep their bits and are one window older.
        n_rows
            int64 ``(B, L)``, tokens each layer computed.
        """
        k = index.shape[1]
        if k == 0:
            return memory.aged(), torch.zeros(len(index), self.config.depth, dtype=torch.int64)
        rows = Rows(index, valid)
        bank_rows = (memory.age + 1)[..., None]
        age = put_rows(bank_rows, index, torch.zeros_like(index)[..., None], valid)[..., 0]
        x = self.embed(counts, frame, index)
        state = dataclasses.replace(memory, age=age)
        n_rows = []
        for layer in range(self.config.depth):
            x, state, computed = self._layer(layer, x, rows, state)
            n_rows.append(computed)
        tokens, size = self._write(self.norm(x), rows, memory)
        return dataclasses.replace(state, tokens=tokens, size=size), torch.stack(n_rows, -1)

    def _layer(
        self, layer: int, x: Tensor, rows: Rows, state: TokenMemory
    ) -> tuple[Tensor, TokenMemory, Tensor]:
        """Run one layer on ``rows``; with a gate, on those of them that pass it."""
        block = self._layers[layer]
        if self.config.gate_tau is None:
            return self._compute(block, layer, x, rows, state)
        normed = block.norm1(x)
        reference = take_rows(state.references[layer], rows.index)
        delta = (normed - reference).norm(dim=-1) / (reference.norm(dim=-1) + GATE_EPS)
        passes = delta >= self.config.gate_tau
        if rows.valid is not None:
            passes = passes & rows.valid
        order = (~passes).int().argsort(dim=-1, stable=True)[:, : int(passes.sum(-1).max())]
        inner = Rows(rows.index.gather(-1, order), passes.gather(-1, order))
        y, state, computed = self._compute(block, layer, take_rows(x, order), inner, state)
        fallback = take_rows(state.outputs[layer], rows.index)
        state = dataclasses.replace(
            state,
            references=_replace(
                state.references,
                layer,
                put_rows(
                    state.references[layer], inner.index, take_rows(normed, order), inner.valid
                ),
            ),
            outputs=_replace(
                state.outputs,
                layer,
                put_rows(state.outputs[layer], inner.index, y, inner.valid),
            ),
        )
        return put_rows(fallback, order, y, inner.valid), state, computed

    def _compute(
        self, block: Block, layer: int, x: Tensor, rows: Rows, state: TokenMemory
    ) -> tuple[Tensor, TokenMemory, Tensor]:
        cache = (state.keys[layer], state.values[layer])
        x, key, value = block(x, cache, rows, self._key_bias(block, state))
        state = dataclasses.replace(
            state,
            keys=_replace(state.keys, layer, key),
            values=_replace(state.values, layer, value),
        )
        n_streams, k = rows.index.shape
        computed = torch.full((n_streams,), k) if rows.valid is None else rows.valid.sum(-1)
        return x, state, computed

    def _key_bias(self, block: Block, state: TokenMemory) -> Tensor | None:
        """log(size) - gamma age, fresh tokens counted as size 1."""
        if block.gamma is None:
            return None
        size = torch.where(state.age == 0, torch.ones_like(state.size), state.size)
        return size.log() - block.gamma.clamp(min=0) * state.age

    def _write(self, new: Tensor, rows: Rows, memory: TokenMemory) -> tuple[Tensor, Tensor]:
        """Tokens and sizes after the window."""
        index, valid = rows.index, rows.valid
        size = torch.ones(index.shape)
        if self.merge is not None:
            old = take_rows(memory.tokens, index)
            size = memory.size.gather(-1, index)
            age = memory.age.gather(-1, index)
            new, size = self.merge(new, old, size, age)
        tokens = put_rows(memory.tokens, index, new, valid)
        return tokens, put_rows(memory.size[..., None], index, size[..., None], valid)[..., 0]


def _replace(layers: tuple[Tensor, ...], layer: int, tensor: Tensor) -> tuple[Tensor, ...]:
    return (*layers[:layer], tensor, *layers[layer + 1 :])
