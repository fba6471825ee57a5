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
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.sttf.block import Block, BlockOutput, Cache, Rows
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.embed import PatchEmbed
from neurovlm.sttf.fusion import TemporalMerge
from neurovlm.sttf.memory import TokenMemory, put_rows, take_rows
from neurovlm.sttf.uncertainty import DriftHead

if TYPE_CHECKING:
    from neurovlm.sttf.towers import SparseTower

__all__ = ["EncoderConfig", "Rows", "SparseViT"]

GATE_EPS = 1e-6

Inputs = tuple[Any, ...]
"""What ``embed`` takes, batch first: ``(counts, frame | None)`` of our own models,
``(pixels,)`` of wrapped towers."""


@dataclass
class _Banks:
    """Each layer's part of the memory while a step runs; never outlives it."""

    keys: list[Tensor]
    values: list[Tensor]
    references: list[Tensor]
    outputs: list[Tensor]

    @classmethod
    def of(cls, memory: TokenMemory) -> _Banks:
        return cls(
            list(memory.keys), list(memory.values), list(memory.references), list(memory.outputs)
        )


@dataclass(frozen=True, eq=False)
class _Passing:
    """Tokens that pass a layer's gate.

    Attributes
    ----------
    tau
        ``(B,)``, threshold of this layer.
    temperature
        Of the soft gate in training; None: hard.
    """

    tau: Tensor
    temperature: float | None

    def weight(self, distance: Tensor, passes: Tensor) -> Tensor:
        """0 or 1, with the gradient of ``sigmoid((distance - tau) / temperature)``."""
        soft = torch.sigmoid((distance - self.tau[:, None]) / cast("float", self.temperature))
        return passes.to(soft.dtype) + soft - soft.detach()


class SparseViT(nn.Module):
    """Encoder of one window: ``dense`` for all tokens, ``step`` for the active ones.

    Parameters
    ----------
    config
        Shape.
    embed
        Patches to tokens: a module called with ``(inputs, index (B, k) | None)``; `PatchEmbed` by
        default. Where the config has prefix tokens, its ``prefix (P, D)`` are their embeddings.
    """

    def __init__(self, config: EncoderConfig, embed: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        own = PatchEmbed(config.dim, config.channels, config.grid) if embed is None else embed
        self.embed = own
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, config.eps) if config.final_norm else nn.Identity()
        self.merge = TemporalMerge(config.dim) if config.merge else None
        self.drift = DriftHead(config.dim) if config.uncertainty else None

    @staticmethod
    def from_transformers(model: nn.Module) -> SparseTower:
        """Copy the tower of a ViT, CLIP, SigLIP or DINOv2 model, or raise a UsageError.

        With all patches active its tokens are the tower's ``last_hidden_state``.
        """
        from neurovlm.sttf.hugging_face import from_transformers

        return from_transformers(model)

    @property
    def layers(self) -> tuple[Block, ...]:
        """The blocks, first to last."""
        return cast("tuple[Block, ...]", tuple(self.blocks))

    def dense(self, inputs: Inputs) -> TokenMemory:
        """Compute every token; the result owes nothing to the past.

        No gate and no merge take part; size is 1 and age 0 everywhere.
        """
        x = self._embedded(inputs, None)
        banks = _Banks([], [], [], [])
        gated = self.config.gate_tau is not None
        signals = []
        for block in self.layers:
            normed = block.norm1(x)
            out = block(x, normed, None, None)
            if self.config.remember == "all":
                banks.keys.append(out.keys)
                banks.values.append(out.values)
            if gated:
                banks.references.append(normed)
                banks.outputs.append(out.x)
                signals.append(_signals(torch.ones_like(x[..., 0]), None, out, None))
            x = out.x
        n_streams, n_patches = len(x), self.config.grid.n_patches
        fresh = torch.zeros(n_streams, n_patches, dtype=torch.int64, device=x.device)
        return TokenMemory(
            tokens=self.norm(x),
            keys=tuple(banks.keys),
            values=tuple(banks.values),
            size=torch.ones(n_streams, n_patches, device=x.device),
            age=fresh,
            exposure=fresh,
            signals=self._stacked(signals, n_streams, x),
            references=tuple(banks.references),
            outputs=tuple(banks.outputs),
        )

    def step(
        self,
        inputs: Inputs,
        active: Rows,
        memory: TokenMemory,
        tau: Tensor | None = None,
        temperature: float | None = None,
    ) -> tuple[TokenMemory, Tensor]:
        """Compute the active tokens and write them into a new memory.

        Parameters
        ----------
        inputs
            As the embedding takes them.
        active
            Patches to compute, ``(B, k)``, distinct where valid; see
            `neurovlm.sttf.policy.Selection`.
        memory
            State before the window; not changed.
        tau
            ``(B, L)``, thresholds of the gates; ``config.gate_tau`` for all by default.
        temperature
            Of the soft gate, for training the thresholds: the forward pass stays that of hard
            gates, the gradient is the sigmoid's. All active tokens are then computed.

        Returns
        -------
        memory
            State after the window: inactive tokens keep their bits and are one window older.
        n_rows
            int64 ``(B, L)``, rows each layer computed, prefix tokens included. With soft gates the
            same numbers as floats that carry a gradient.
        """
        n_streams, k = active.index.shape
        if k == 0:
            nothing = torch.zeros(n_streams, self.config.depth, dtype=torch.int64)
            return self._forgotten(memory.aged()), nothing
        rows = self._bank_rows(active)
        older = _older(memory, active)
        banks = _Banks.of(memory)
        x = self._embedded(inputs, active.index)
        bias = self._key_bias(older, rows)
        n_rows, signals = [], []
        for layer, block in enumerate(self.layers):
            if self.config.gate_tau is None:
                out = self._compute(block, layer, x, block.norm1(x), rows, banks, bias[layer])
                x, computed = out.x, _n_valid(rows)
            else:
                passing = _Passing(self._tau(tau, layer, x), temperature)
                x, computed, signal = self._gated(layer, x, rows, banks, bias[layer], passing)
                signals.append(signal)
            n_rows.append(computed)
        tokens, size = self._write(self.norm(x), active, rows, self._forgotten(memory))
        after = dataclasses.replace(
            older,
            tokens=tokens,
            keys=tuple(banks.keys),
            values=tuple(banks.values),
            size=size,
            signals=self._stacked(signals, n_streams, x),
            references=tuple(banks.references),
            outputs=tuple(banks.outputs),
        )
        return after, torch.stack(n_rows, -1)

    def risk(self, memory: TokenMemory) -> Tensor | None:
        """Estimated drift of each remembered token ``(B, N)``; None without `DriftHead`."""
        return None if self.drift is None else self.drift(memory)

    def _embedded(self, inputs: Inputs, index: Tensor | None) -> Tensor:
        x = self.embed(inputs, index)
        if not self.config.n_prefix:
            return x
        prefix = cast("Tensor", self.embed.prefix)
        return torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)

    def _bank_rows(self, active: Rows) -> Rows:
        """Rows of the banks: those of prefix tokens, where anything is active, and patches."""
        n_prefix = self.config.n_prefix
        if not n_prefix:
            return active
        first = torch.arange(n_prefix, device=active.index.device).expand(len(active.index), -1)
        index = torch.cat([first, active.index + n_prefix], dim=1)
        if active.valid is None:
            return Rows(index, None)
        some = active.valid.any(-1, keepdim=True).expand(-1, n_prefix)
        return Rows(index, torch.cat([some, active.valid], dim=1))

    def _compute(
        self,
        block: Block,
        layer: int,
        x: Tensor,
        normed: Tensor,
        rows: Rows,
        banks: _Banks,
        bias: Tensor | None,
        gate: Tensor | None = None,
    ) -> BlockOutput:
        """Run a block on rows and keep their keys and values."""
        if self.config.remember != "all":
            return cast("BlockOutput", block(x, normed, None, bias))
        cache = Cache(banks.keys[layer], banks.values[layer], rows, gate)
        out = cast("BlockOutput", block(x, normed, cache, bias))
        banks.keys[layer], banks.values[layer] = out.keys, out.values
        return out

    def _gated(
        self,
        layer: int,
        x: Tensor,
        rows: Rows,
        banks: _Banks,
        bias: Tensor | None,
        passing: _Passing,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run a layer on the rows that differ from their reference; the others fall back."""
        block = self.layers[layer]
        normed = block.norm1(x)
        reference = take_rows(banks.references[layer], rows.index)
        distance = (normed - reference).norm(dim=-1) / (reference.norm(dim=-1) + GATE_EPS)
        passes = distance >= passing.tau[:, None]
        passes[:, : self.config.n_prefix] = True
        if rows.valid is not None:
            passes = passes & rows.valid
        fallback = take_rows(banks.outputs[layer], rows.index)
        if passing.temperature is not None:
            weight = passing.weight(distance, passes)
            out = self._compute(block, layer, x, normed, rows, banks, bias, weight)
            new_x = weight[..., None] * out.x + (1 - weight[..., None]) * fallback
            kept = Rows(rows.index, passes)
            written, written_normed = new_x, normed
            computed = weight.sum(-1) if rows.valid is None else (weight * rows.valid).sum(-1)
        else:
            order = (~passes).int().argsort(dim=-1, stable=True)[:, : int(passes.sum(-1).max())]
            kept = Rows(rows.index.gather(-1, order), passes.gather(-1, order))
            if not order.shape[1]:
                return fallback, passes.sum(-1), _signals(distance, rows.valid, None, None)
            inner, written_normed = take_rows(x, order), take_rows(normed, order)
            out = self._compute(block, layer, inner, written_normed, kept, banks, bias)
            new_x = put_rows(fallback, order, out.x, kept.valid)
            written, computed = out.x, passes.sum(-1)
        banks.references[layer] = put_rows(
            banks.references[layer], kept.index, written_normed, kept.valid
        )
        banks.outputs[layer] = put_rows(banks.outputs[layer], kept.index, written, kept.valid)
        own = rows.valid if passing.temperature is not None else kept.valid
        return new_x, computed, _signals(distance, rows.valid, out, own)

    def _tau(self, tau: Tensor | None, layer: int, x: Tensor) -> Tensor:
        if tau is None:
            return torch.full((len(x),), cast("float", self.config.gate_tau), device=x.device)
        return tau[:, layer]

    def _key_bias(self, memory: TokenMemory, rows: Rows) -> list[Tensor | None]:
        """Per layer what is added to the logits of each key.

        log(size) - gamma age, fresh tokens counted as size 1; without remembered keys, minus
        infinity where a row is padding.
        """
        if self.config.remember != "all":
            padding = None if rows.valid is None else _minus_infinity_where(~rows.valid)
            return [padding] * self.config.depth
        if not self.config.key_bias:
            return [None] * self.config.depth
        size = torch.where(memory.age == 0, torch.ones_like(memory.size), memory.size)
        slopes = [cast("Tensor", block.gamma).clamp(min=0) for block in self.layers]
        return [
            functional.pad(size.log() - slope * memory.age, (self.config.n_prefix, 0))
            for slope in slopes
        ]

    def _write(
        self, new: Tensor, active: Rows, rows: Rows, memory: TokenMemory
    ) -> tuple[Tensor, Tensor]:
        """Tokens and sizes after the window; prefix tokens are replaced, never merged."""
        n_prefix = self.config.n_prefix
        size = torch.ones_like(new[:, n_prefix:, 0])
        if self.merge is not None:
            old = take_rows(memory.tokens, rows.index)[:, n_prefix:]
            size = memory.size.gather(-1, active.index)
            merged, size = self.merge(
                new[:, n_prefix:], old, size, memory.age.gather(-1, active.index)
            )
            new = torch.cat([new[:, :n_prefix], merged], dim=1)
        tokens = put_rows(memory.tokens, rows.index, new, rows.valid)
        sizes = put_rows(memory.size[..., None], active.index, size[..., None], active.valid)
        return tokens, sizes[..., 0]

    def _forgotten(self, memory: TokenMemory) -> TokenMemory:
        """Memory as a step finds it: zeros where nothing is remembered."""
        if self.config.remember != "nothing":
            return memory
        return dataclasses.replace(memory, tokens=torch.zeros_like(memory.tokens))

    def _stacked(self, signals: list[Tensor], n_streams: int, x: Tensor) -> Tensor:
        if not signals:
            return torch.zeros(n_streams, self.config.depth, 2, device=x.device)
        return torch.stack(signals, dim=1)


def _signals(
    distance: Tensor, seen: Tensor | None, out: BlockOutput | None, computed: Tensor | None
) -> Tensor:
    """Mean gate distance and mean attention entropy over log R, ``(B, 2)``.

    Over the rows that were seen and those that were computed; 0 where there are none.
    """
    mean_distance = _mean(distance, seen)
    entropy = torch.zeros_like(mean_distance)
    if out is not None:
        per_row = torch.special.entr(out.weights).sum(-1).mean(1)
        entropy = _mean(per_row, computed) / math.log(out.weights.shape[-1])
    return torch.stack([mean_distance, entropy], -1).detach()


def _mean(values: Tensor, valid: Tensor | None) -> Tensor:
    weight = torch.ones_like(values) if valid is None else valid.to(values.dtype)
    return (values * weight).sum(-1) / weight.sum(-1).clamp(min=1)


def _older(memory: TokenMemory, active: Rows) -> TokenMemory:
    """Every patch one window older and exposed to the active ones; those are fresh."""
    n_active = _n_valid(active)[:, None]
    zero = torch.zeros_like(active.index)[..., None]

    def renewed(values: Tensor) -> Tensor:
        return put_rows(values[..., None], active.index, zero, active.valid)[..., 0]

    return dataclasses.replace(
        memory, age=renewed(memory.age + 1), exposure=renewed(memory.exposure + n_active)
    )


def _n_valid(rows: Rows) -> Tensor:
    n_streams, k = rows.index.shape
    if rows.valid is not None:
        return rows.valid.sum(-1)
    return torch.full((n_streams,), k, device=rows.index.device)


def _minus_infinity_where(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -math.inf)
