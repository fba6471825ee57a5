"""Products of few float32 rows with large weights that stream from memory, for AVX-512.

With some 30 rows a weight is used 30 times after it was fetched: fetching takes about as long as
computing, and a library that does one after the other needs the sum. Weights lie here in panels of
48 outputs, ``(N / 48, K, 48)``, read front to back; while a panel is computed the next one is
fetched into the cache, a line with every input. A tile of 8 rows by 48 outputs stays in 24 vector
registers (the usual shape, see Goto and van de Geijn 2008, and BLIS).

The inner loop is written in LLVM's own terms through numba, since neither numba's loops nor the
libraries we know fetch ahead.
"""

from __future__ import annotations

from typing import Any

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

TILE_ROWS = 8
LANES = 16
VECTORS = 3
PANEL = LANES * VECTORS
LINE = 16
"""Floats in a cache line."""

STEPS_AHEAD = 24
"""Inputs by which a tile fetches its own weights early, some 300 cycles."""

FIRST_LEVEL, SECOND_LEVEL = 3, 2
"""LLVM's names of the caches to fetch into."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()


def pack(weight: Tensor) -> Tensor:
    """Weight ``(N, K)`` as panels ``(ceil(N / 48), K, 48)``, filled up with zeros."""
    n, k = weight.shape
    padded = functional.pad(weight, (0, 0, 0, -n % PANEL))
    return padded.view(-1, PANEL, k).transpose(1, 2).contiguous()


def multiply(rows: Tensor, panels: Tensor, bias: Tensor) -> Tensor:
    """``rows @ W^T + bias``.

    Parameters
    ----------
    rows
        float32 ``(M, K)``, M a multiple of 8.
    panels
        As `pack` returns them.
    bias
        ``(48 ceil(N / 48),)``.

    Returns
    -------
    Tensor
        ``(M, 48 ceil(N / 48))``.
    """
    m, k = rows.shape
    if m % TILE_ROWS or k != panels.shape[1]:
        raise ValueError(f"rows must be (8 i, {panels.shape[1]}), got {(m, k)}")
    out = torch.empty(m, len(bias))
    flat = (each.contiguous().view(-1).numpy() for each in (rows, panels, bias, out))
    run: Any = _multiply
    run(*flat, m, k, len(bias))
    return out


@numba.njit(cache=True, nogil=True)
def _multiply(
    x: NDArray[Any], w: NDArray[Any], bias: NDArray[Any], out: NDArray[Any], m: int, k: int, n: int
) -> None:
    for first in range(0, n, PANEL):
        for row in range(0, m, TILE_ROWS):
            # each tile of a panel fetches another part of the next one
            ahead = min((first + PANEL) * k + row // TILE_ROWS * k * LINE, (n - LINE) * k)
            _tile(x, row * k, w, first * k, ahead, k, bias, first, out, row * n + first, n)


def _tile_code(
    typing: Any,
    x: Any,
    x_at: Any,
    w: Any,
    w_at: Any,
    ahead: Any,
    depth: Any,
    bias: Any,
    bias_at: Any,
    out: Any,
    out_at: Any,
    stride: Any,
) -> Any:
    """8 rows times one panel; ``x_at`` and the like are where the arrays are read from."""
    at = types.intp
    signature = types.void(x, at, w, at, at, at, bias, at, out, at, at)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        _, x_at, _, w_at, ahead, depth, _, bias_at, _, out_at, stride = args
        data = {
            n: cgutils.create_struct_proxy(sig.args[n])(context, builder, args[n]).data
            for n in (0, 2, 6, 8)
        }
        _tile_body(
            builder,
            builder.gep(data[0], [x_at]),
            builder.gep(data[2], [w_at]),
            builder.gep(data[2], [ahead]),
            builder.gep(data[6], [bias_at]),
            builder.gep(data[8], [out_at]),
            depth,
            stride,
        )
        return context.get_dummy_value()

    return signature, generate


_tile: Any = intrinsic(_tile_code)


def _tile_body(
    builder: ir.IRBuilder, x: Any, w: Any, ahead: Any, bias: Any, out: Any, depth: Any, stride: Any
) -> None:
    """For k in range(depth): prefetch; sums[r][v] += x[r, k] * w[k, v]. Then store the sums."""
    size = depth.type
    start = [_load(builder, bias, size(LANES * v)) for v in range(VECTORS)]
    rows = [builder.gep(x, [builder.mul(depth, size(r))]) for r in range(TILE_ROWS)]
    before, loop = builder.block, builder.append_basic_block("loop")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(size)
    k.add_incoming(size(0), before)
    sums = [builder.phi(_VECTOR) for _ in range(TILE_ROWS * VECTORS)]
    for n, each in enumerate(sums):
        each.add_incoming(start[n % VECTORS], before)
    _prefetch(builder, builder.gep(ahead, [builder.mul(k, size(LINE))]), SECOND_LEVEL)
    here = builder.gep(w, [builder.mul(k, size(PANEL))])
    for v in range(VECTORS):
        _prefetch(builder, builder.gep(here, [size(STEPS_AHEAD * PANEL + LANES * v)]), FIRST_LEVEL)
    weights = [_load(builder, here, size(LANES * v)) for v in range(VECTORS)]
    grown: list[Any] = []
    for row in rows:
        value = _broadcast(builder, builder.load(builder.gep(row, [k])))
        grown += [
            _fma(builder, value, weight, sums[len(grown) + v]) for v, weight in enumerate(weights)
        ]
    following = builder.add(k, size(1))
    k.add_incoming(following, loop)
    for each, new in zip(sums, grown, strict=True):
        each.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    builder.position_at_end(after)
    for n, value in enumerate(grown):
        row, vector = divmod(n, VECTORS)
        offset = builder.add(builder.mul(stride, size(row)), size(LANES * vector))
        place = builder.bitcast(builder.gep(out, [offset]), _VECTOR.as_pointer())
        builder.store(value, place).align = 4


def _load(builder: ir.IRBuilder, start: Any, offset: Any) -> Any:
    value = builder.load(builder.bitcast(builder.gep(start, [offset]), _VECTOR.as_pointer()))
    value.align = 4
    return value


def _broadcast(builder: ir.IRBuilder, value: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, value, _INT32(0))
    every = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, every)


def _fma(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fma.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def _prefetch(builder: ir.IRBuilder, place: Any, level: int) -> None:
    """Fetch for reading; a place outside the array is no error."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(place, _BYTES), _INT32(0), _INT32(level), _INT32(1)])
