"""What a pass computes: rows of streams, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import Inputs


@dataclass(frozen=True, eq=False)
class Segment:
    """One window of one stream.

    Attributes
    ----------
    stream
        Position of the stream in the memory.
    index
        int64 ``(k,)``, patches to compute, distinct; none: the stream only grows older.
    inputs
        As the encoder's embedding takes them, a batch of one.
    """

    stream: int
    index: Tensor
    inputs: Inputs


@dataclass(frozen=True, eq=False)
class Piece:
    """A segment's place in the stacked rows and in its stream's banks.

    Attributes
    ----------
    stream, index
        As in `Segment`.
    rows
        int64 ``(P + k,)``, rows of the banks, those of prefix tokens first; none where k = 0.
    stacked
        Where they lie in the rows of the pass.
    """

    stream: int
    index: Tensor
    rows: Tensor
    stacked: slice


def pieces_of(chosen: list[tuple[int, Tensor]], n_prefix: int) -> list[Piece]:
    """Stack the rows of ``(stream, patches)``, in this order."""
    pieces, first = [], 0
    prefix = torch.arange(n_prefix)
    for stream, index in chosen:
        rows = torch.cat([prefix, index + n_prefix]) if len(index) else index
        pieces.append(Piece(stream, index, rows, slice(first, first + len(rows))))
        first += len(rows)
    return pieces


def check_memory(memory: TokenMemory, config: EncoderConfig) -> None:
    """Raise unless a memory is one of this encoder.

    Raises
    ------
    UsageError
        Naming the part that does not fit.
    """
    b, d_h = memory.n_streams, config.dim // config.heads
    bank = (b, config.heads, config.n_rows, d_h)
    expected = {"tokens": (b, config.n_rows, config.dim), "age": (b, config.grid.n_patches)}
    expected |= {f"keys.{layer}": bank for layer in range(config.depth)}
    expected |= {f"values.{layer}": bank for layer in range(config.depth)}
    found = {"tokens": memory.tokens, "age": memory.age}
    found |= {f"keys.{layer}": keys for layer, keys in enumerate(memory.keys)}
    found |= {f"values.{layer}": values for layer, values in enumerate(memory.values)}
    for name in expected | found:
        got = tuple(found[name].shape) if name in found else "nothing"
        if got != expected.get(name):
            raise UsageError(
                f"engine: the state is of another model: {name} is {got}, this encoder has "
                f"{expected.get(name, 'no such layer')}; start a new stream"
            )
        if name != "age" and found[name].dtype != torch.float32:
            raise UsageError(f"engine: {name} must be float32, got {found[name].dtype}")


def check_chosen(chosen: list[tuple[int, Tensor]], n_streams: int, n_patches: int) -> None:
    """Raise unless streams exist and patches are distinct and on the grid.

    Raises
    ------
    UsageError
        Naming the stream.
    """
    for stream, index in chosen:
        if not 0 <= stream < n_streams:
            raise UsageError(f"engine: stream must be in 0..{n_streams - 1}, got {stream}")
        if index.ndim != 1 or index.dtype != torch.int64:
            raise UsageError(
                f"engine: index of stream {stream} must be int64 (k,), "
                f"got {index.dtype} {tuple(index.shape)}"
            )
        if not len(index):
            continue
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= n_patches:
            raise UsageError(
                f"engine: patches of stream {stream} must be in 0..{n_patches - 1}, "
                f"got {low if low < 0 else high}"
            )
        if int(torch.bincount(index).max()) > 1:
            raise UsageError(f"engine: stream {stream} names a patch twice; name each once")


def check_finite(x: Tensor, pieces: list[Piece]) -> None:
    """Raise where embedded rows hold NaN or infinity.

    Raises
    ------
    UsageError
        Naming the streams.
    """
    if bool(x.isfinite().all()):
        return
    bad = sorted({p.stream for p in pieces if not bool(x[p.stacked].isfinite().all())})
    named = ", ".join(map(str, bad))
    raise UsageError(
        f"engine: embedded rows of stream {named} hold NaN or infinity; check the window's inputs"
    )


def key_biases(
    gammas: list[Tensor] | None, size: Tensor, age: Tensor, n_prefix: int
) -> list[Tensor | None]:
    """Per layer what is added to the logits of each key of one stream, ``(1, P + N)``.

    log(size) - gamma age, fresh tokens counted as size 1, as in `neurovlm.sttf.vit`; all None
    without gammas.
    """
    if gammas is None:
        return []
    log_size = torch.where(age == 0, torch.ones_like(size), size).log()
    return [
        functional.pad(log_size - gamma.clamp(min=0) * age, (n_prefix, 0))[None] for gamma in gammas
    ]
