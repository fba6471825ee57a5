"""Engine: the encoder's step for a CPU, with weights packed once.

One pass serves three uses. Its products run on the stacked rows of all segments (a segment is one
window of one stream); attention runs one segment at a time, each after its own keys and values
were written:

- one stream, one window;
- several streams with active sets of different sizes, without padding between them;
- several consecutive windows of a stream whose active sets are known beforehand. At every layer a
  window finds the keys its predecessor wrote there, so the result is that of one after the other,
  while the weights are read once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from neurovlm.core.errors import UsageError
from neurovlm.sttf.block import Rows
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.engine.fold import fold
from neurovlm.sttf.engine.layers import TorchLayers
from neurovlm.sttf.engine.linear import Precision, check_supported
from neurovlm.sttf.engine.onnx import OnnxLayers
from neurovlm.sttf.engine.pieces import (
    Piece,
    Segment,
    check_chosen,
    check_finite,
    check_memory,
    key_biases,
    pieces_of,
)
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import Inputs, SparseViT

Kind = Literal["torch", "onnx"]

ENGINES: dict[str, tuple[Precision, Kind] | None] = {
    "plain": None,
    "packed": ("fp32", "torch"),
    "packed-bf16": ("bf16", "torch"),
    "packed-int8": ("int8", "torch"),
    "onnx": ("fp32", "onnx"),
    "onnx-int8": ("int8", "onnx"),
}
"""Engines by name; ``plain`` is the encoder itself, the only one with gates."""


@dataclass(frozen=True, eq=False)
class Run:
    """What `Engine.run` returns.

    Attributes
    ----------
    memory
        After all segments.
    tokens
        Per segment ``(R, D)``: the tokens of its stream after it.
    """

    memory: TokenMemory
    tokens: tuple[Tensor, ...]


class Engine:
    """Runs an encoder's steps; stands in for it where nothing is trained.

    Attributes
    ----------
    config
        Of the encoder.
    precision, kind
        As given to `build`.
    """

    def __init__(self, vit: SparseViT, precision: str, kind: str) -> None:
        config = vit.config
        layers = [fold(block) for block in vit.layers]
        self.config: EncoderConfig = config
        self.precision = precision
        self.kind = kind
        self._vit = vit
        self._gammas = (
            [cast("Tensor", block.gamma).detach() for block in vit.layers]
            if config.key_bias
            else None
        )
        make = TorchLayers if kind == "torch" else OnnxLayers
        self._layers = make(layers, config.heads, config.eps, config.activation, precision)

    @classmethod
    @torch.no_grad()
    def build(cls, vit: SparseViT, precision: Precision = "fp32", kind: Kind = "torch") -> Engine:
        """Pack the weights of an encoder.

        Later changes of the encoder's layers are not seen; its embedding, last norm, merge and
        drift head are used as they are.

        Parameters
        ----------
        vit
            On the CPU, float32.
        precision
            Of the products; everything else is float32.
        kind
            ``"torch"``, or ``"onnx"`` for ONNX Runtime (``fp32`` and ``int8``).

        Raises
        ------
        UsageError
            Where this engine cannot do what the encoder asks for, or this processor cannot do
            what the precision asks for.
        MissingComponentError
            Where ``"onnx"`` is asked for and not installed.
        """
        if kind not in ("torch", "onnx"):
            raise UsageError(f"engine: kind must be one of torch, onnx, got {kind!r}")
        check_supported(precision)
        _check_encoder(vit, precision, kind)
        return cls(vit, precision, kind)

    @torch.no_grad()
    def dense(self, inputs: Inputs) -> TokenMemory:
        """Compute every token; see `SparseViT.dense`."""
        x = self._embedded(inputs, None)
        b, r, d = x.shape
        config = self.config
        fresh = torch.zeros(b, config.grid.n_patches, dtype=torch.int64)
        bank = (b, config.heads, r, d // config.heads)
        memory = TokenMemory(
            tokens=torch.empty(b, r, d),
            keys=tuple(torch.zeros(bank) for _ in range(config.depth)),
            values=tuple(torch.zeros(bank) for _ in range(config.depth)),
            size=torch.ones(b, config.grid.n_patches),
            age=fresh,
            exposure=fresh,
            signals=torch.zeros(b, config.depth, 2),
        )
        every = torch.arange(config.grid.n_patches)
        pieces = pieces_of([(stream, every) for stream in range(b)], config.n_prefix)
        stacked = x.flatten(0, 1)
        check_finite(stacked, pieces)
        out = self._layers(stacked, pieces, memory.keys, memory.values, [])
        return dataclasses.replace(memory, tokens=self._vit.norm(out).view(b, r, d))

    @torch.no_grad()
    def step(
        self,
        inputs: Inputs,
        active: Rows,
        memory: TokenMemory,
        tau: Tensor | None = None,
        temperature: float | None = None,
        *,
        donate: bool = False,
    ) -> tuple[TokenMemory, Tensor]:
        """Compute the active tokens of one window of every stream; see `SparseViT.step`.

        Parameters
        ----------
        inputs, active
            As `SparseViT.step` takes them.
        memory
            State before the window. Not changed unless donated.
        tau, temperature
            Thresholds of gates, which engines do not have; None.
        donate
            Write into the buffers of ``memory``, which must not be used afterwards (as donated
            arguments in JAX). Saves copying the keys and values of all rows.

        Raises
        ------
        UsageError
            Before anything is written: the state is of another model, a patch is named twice or
            is not on the grid, rows are not finite.
        """
        if tau is not None or temperature is not None:
            raise UsageError("engine: has no gates, so no thresholds; step the SparseViT instead")
        if active.index.ndim != 2 or len(active.index) != memory.n_streams:
            raise UsageError(
                f"engine: the index must be ({memory.n_streams}, k), "
                f"got {tuple(active.index.shape)}"
            )
        chosen = [
            (stream, index if active.valid is None else index[active.valid[stream]])
            for stream, index in enumerate(active.index)
        ]
        pieces = self._checked(chosen, memory)
        n_rows = torch.tensor([len(piece.rows) for piece in pieces])
        if bool(n_rows.any()):
            x = self._embedded(inputs, active.index)
            kept = [_valid_rows(x[s], active, s, self.config.n_prefix) for s in range(len(chosen))]
            after = self._pass(torch.cat(kept), pieces, memory, donate, snapshots=False).memory
        else:
            after = memory.aged()
        return after, n_rows[:, None].expand(-1, self.config.depth)

    @torch.no_grad()
    def run(self, segments: Sequence[Segment], memory: TokenMemory, *, donate: bool = False) -> Run:
        """Take windows of any streams in one pass.

        Segments of the same stream are its consecutive windows, in this order. A stream without
        a segment has no window: it does not grow older.

        Parameters
        ----------
        segments
            At least one.
        memory, donate
            As in `step`.

        Raises
        ------
        UsageError
            As `step`; and where windows of a stream are grouped although a window's key bias
            depends on the merge of the one before.
        """
        if not segments:
            raise UsageError("engine: run needs at least one segment, got none")
        chosen = [(segment.stream, segment.index) for segment in segments]
        pieces = self._checked(chosen, memory)
        streams = [segment.stream for segment in segments]
        if self.config.key_bias and self.config.merge and len(set(streams)) < len(streams):
            raise UsageError(
                "engine: with key_bias and merge a window needs the merged tokens of the one "
                "before; run the windows of a stream one by one"
            )
        embedded = [
            self._embedded(segment.inputs, segment.index[None])[0]
            for segment in segments
            if len(segment.index)
        ]
        x = torch.cat(embedded) if embedded else memory.tokens.new_empty(0, self.config.dim)
        return self._pass(x, pieces, memory, donate, snapshots=True)

    def risk(self, memory: TokenMemory) -> Tensor | None:
        """Estimated drift of each remembered token; see `SparseViT.risk`."""
        return self._vit.risk(memory)

    def _checked(self, chosen: list[tuple[int, Tensor]], memory: TokenMemory) -> list[Piece]:
        check_memory(memory, self.config)
        check_chosen(chosen, memory.n_streams, self.config.grid.n_patches)
        return pieces_of(chosen, self.config.n_prefix)

    def _embedded(self, inputs: Inputs, index: Tensor | None) -> Tensor:
        x: Tensor = self._vit.embed(inputs, index)
        if not self.config.n_prefix:
            return x
        prefix = cast("Tensor", self._vit.embed.prefix)
        return torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)

    def _pass(
        self, x: Tensor, pieces: list[Piece], memory: TokenMemory, donate: bool, snapshots: bool
    ) -> Run:
        """Run checked pieces whose rows ``x (M, D)`` are embedded."""
        check_finite(x, pieces)
        size, age, exposure = memory.size.clone(), memory.age.clone(), memory.exposure.clone()
        biases, ages = [], []
        for piece in pieces:
            stream = piece.stream
            ages.append(age[stream, piece.index])
            age[stream] += 1
            exposure[stream] += len(piece.index)
            age[stream, piece.index] = exposure[stream, piece.index] = 0
            biases.append(key_biases(self._gammas, size[stream], age[stream], self.config.n_prefix))
            if not self.config.merge:
                size[stream, piece.index] = 1
        tokens, *banks = _own([memory.tokens, *memory.keys, *memory.values], donate)
        keys, values = tuple(banks[: self.config.depth]), tuple(banks[self.config.depth :])
        working = [piece for piece in pieces if len(piece.rows)]
        if working:
            used = [b for b, piece in zip(biases, pieces, strict=True) if len(piece.rows)]
            x = self._vit.norm(self._layers(x, working, keys, values, used if self._gammas else []))
        after = []
        for piece, old_age in zip(pieces, ages, strict=True):
            self._write(x[piece.stacked], piece, old_age, tokens[piece.stream], size[piece.stream])
            if snapshots:
                after.append(tokens[piece.stream].clone())
        signals = torch.zeros(memory.n_streams, self.config.depth, 2)
        return Run(
            dataclasses.replace(
                memory,
                tokens=tokens,
                keys=keys,
                values=values,
                size=size,
                age=age,
                exposure=exposure,
                signals=signals,
            ),
            tuple(after),
        )

    def _write(self, new: Tensor, piece: Piece, age: Tensor, tokens: Tensor, size: Tensor) -> None:
        """Put rows ``new (P + k, D)`` into the tokens of a stream, merged where it merges."""
        n_prefix, merge = self.config.n_prefix, self._vit.merge
        if merge is not None and len(piece.index):
            old = tokens[piece.rows[n_prefix:]]
            merged, grown = merge(new[n_prefix:], old, size[piece.index], age)
            new = torch.cat([new[:n_prefix], merged])
            size[piece.index] = grown
        tokens[piece.rows] = new


def _check_encoder(vit: SparseViT, precision: str, kind: str) -> None:
    config = vit.config
    if config.gate_tau is not None:
        raise UsageError(
            "engine: per-layer gates (gate_tau) run in SparseViT only; use it, or build the "
            "encoder without gates"
        )
    if config.remember != "all":
        raise UsageError(
            f"engine: needs remembered keys (remember='all'), got {config.remember!r}; "
            "SparseViT runs it"
        )
    weight = vit.layers[0].qkv.weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        raise UsageError(
            f"engine: the encoder must be float32 on the cpu, got {weight.dtype} on "
            f"{weight.device}; call .float().cpu() first"
        )
    if kind == "onnx" and config.key_bias:
        raise UsageError("engine: key_bias needs kind='torch', got 'onnx'")
    if kind == "onnx" and precision == "bf16":
        raise UsageError("engine: bf16 needs kind='torch'; with kind='onnx' use fp32 or int8")


def _own(tensors: list[Tensor], donate: bool) -> list[Tensor]:
    """Buffers to write into: those handed in where they are donated and can be written."""
    return [
        t if donate and t.is_contiguous() else t.clone(memory_format=torch.contiguous_format)
        for t in tensors
    ]


def _valid_rows(x: Tensor, active: Rows, stream: int, n_prefix: int) -> Tensor:
    """Rows ``(P + k, D)`` of a stream without padding; none where no patch is valid."""
    if active.valid is None:
        return x
    valid = active.valid[stream]
    if not bool(valid.any()):
        return x[:0]
    return torch.cat([x[:n_prefix], x[n_prefix:][valid]])


def build_named(name: str, vit: SparseViT) -> Engine | None:
    """Build one of `ENGINES`; None stands for the encoder itself.

    Raises
    ------
    UsageError
        For an unknown name, or where the engine cannot do what the encoder asks for.
    """
    if name not in ENGINES:
        raise UsageError(f"unknown engine {name!r}; known are {', '.join(ENGINES)}")
    built = ENGINES[name]
    return None if built is None else Engine.build(vit, *built)
