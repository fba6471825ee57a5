"""Layers of published networks from their shapes: what one pass multiplies, visits and moves.

Counts are those of ``hw_models.Workload``, bytes at fp16. Equal layers stand as one, with the
launches of all. Attention is fused: its scores stay on chip, their softmax is its elements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from hw_models import LayerOps, OpKind, Ops

FP16 = 2


@dataclass(frozen=True)
class Part:
    """Some layers of a network, and the parameters they hold."""

    layers: tuple[LayerOps, ...] = ()
    params: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.layers + other.layers, self.params + other.params)

    @property
    def macs(self) -> int:
        return sum(layer.executed.macs for layer in self.layers)


@dataclass(frozen=True)
class Blocks:
    """A stack of equal transformer blocks.

    ``gated`` adds a third matrix to the MLP; ``norms`` per block, each with a bias or without.
    """

    layers: int
    d: int
    ff: int
    heads: int
    kv_heads: int | None = None
    head_dim: int | None = None
    gated: bool = False
    bias: bool = True
    norms: int = 2
    rotary: bool = False

    @property
    def q(self) -> int:
        return self.heads * (self.head_dim or self.d // self.heads)

    @property
    def kv(self) -> int:
        return (self.kv_heads or self.heads) * (self.head_dim or self.d // self.heads)


def total(*parts: Part) -> Part:
    return reduce(add, parts, Part())


def layer(stage: str, name: str, kind: OpKind, params: int = 0, **counts: int) -> Part:
    return Part((LayerOps(stage, name, kind, Ops(**counts), ran_as="fp16"),), params)


def linear(
    stage: str, name: str, rows: int, n_in: int, n_out: int, *, times: int = 1, bias: bool = True
) -> Part:
    weights = (n_in + bias) * n_out
    return layer(
        stage,
        name,
        OpKind.GEMM,
        params=times * weights,
        macs=times * rows * n_in * n_out,
        weight_bytes=FP16 * times * weights,
        read_bytes=FP16 * times * rows * n_in,
        write_bytes=FP16 * times * rows * n_out,
        launches=times,
    )


def conv(
    stage: str,
    name: str,
    out: tuple[int, int],
    n_in: int,
    n_out: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    groups: int = 1,
    times: int = 1,
    bias: bool = True,
) -> Part:
    """Convolve to ``out`` (rows, columns); ``groups`` as many as inputs is a depthwise one."""
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    sites = out[0] * out[1]
    per_site = rows * columns * n_in // groups
    weights = n_out * (per_site + bias)
    return layer(
        stage,
        name,
        OpKind.DEPTHWISE if groups == n_in > 1 else OpKind.CONV,
        params=times * weights,
        macs=times * sites * n_out * per_site,
        weight_bytes=FP16 * times * weights,
        read_bytes=FP16 * times * sites * stride**2 * n_in,
        write_bytes=FP16 * times * sites * n_out,
        launches=times,
    )


def visit(
    stage: str, name: str, elements: int, *, operands: int = 1, weights: int = 0, times: int = 1
) -> Part:
    """Visit ``elements`` once: normalise, activate, add, pool."""
    return layer(
        stage,
        name,
        OpKind.ELEMENTWISE,
        params=times * weights,
        elements=times * elements,
        weight_bytes=FP16 * times * weights,
        read_bytes=FP16 * times * elements * operands,
        write_bytes=FP16 * times * elements,
        launches=times,
    )


def embedding(stage: str, name: str, rows: int, vocabulary: int, d: int) -> Part:
    """Look up ``rows`` of a table."""
    n_bytes = FP16 * rows * d
    return layer(
        stage,
        name,
        OpKind.EMBEDDING,
        params=vocabulary * d,
        elements=rows * d,
        read_bytes=n_bytes,
        write_bytes=n_bytes,
        launches=1,
    )


def resize(stage: str, name: str, out: tuple[int, int], channels: int) -> Part:
    """Double rows and columns."""
    elements = out[0] * out[1] * channels
    return layer(
        stage,
        name,
        OpKind.RESIZE,
        elements=elements,
        read_bytes=FP16 * elements // 4,
        write_bytes=FP16 * elements,
        launches=1,
    )


def attend(
    stage: str, name: str, rows: int, keys: int, shape: Blocks, *, times: int, passes: int = 1
) -> Part:
    """Attend from ``rows`` to ``keys``: 2 rows keys width MACs; ``keys`` summed over passes."""
    return layer(
        stage,
        name,
        OpKind.ATTENTION,
        macs=times * 2 * rows * keys * shape.q,
        elements=times * rows * keys * shape.heads,
        read_bytes=FP16 * times * (passes * rows * shape.q + 2 * keys * shape.kv),
        write_bytes=FP16 * times * passes * rows * shape.q,
        launches=times * passes,
    )


def norm(stage: str, name: str, rows: int, d: int, *, times: int = 1, bias: bool = True) -> Part:
    return visit(stage, name, rows * d, weights=(1 + bias) * d, times=times)


def blocks(
    stage: str, prefix: str, shape: Blocks, rows: int, keys: int | None = None, passes: int = 1
) -> Part:
    """Run all blocks ``passes`` times over ``rows`` tokens that attend to ``keys`` (all passes)."""
    times, d = shape.layers * passes, shape.d
    up = 2 * shape.ff if shape.gated else shape.ff
    per_block = [
        norm(stage, f"{prefix}.attention.norm", rows, d, times=times, bias=shape.bias),
        linear(
            stage,
            f"{prefix}.attention.qkv",
            rows,
            d,
            shape.q + 2 * shape.kv,
            times=times,
            bias=shape.bias,
        ),
        attend(
            stage,
            f"{prefix}.attention.product",
            rows,
            rows if keys is None else keys,
            shape,
            times=shape.layers,
            passes=passes,
        ),
        linear(stage, f"{prefix}.attention.out", rows, shape.q, d, times=times, bias=shape.bias),
        visit(stage, f"{prefix}.attention.residual", rows * d, operands=2, times=times),
        linear(stage, f"{prefix}.mlp.up", rows, d, up, times=times, bias=shape.bias),
        visit(
            stage,
            f"{prefix}.mlp.activation",
            rows * shape.ff,
            operands=1 + shape.gated,
            times=times,
        ),
        linear(stage, f"{prefix}.mlp.down", rows, shape.ff, d, times=times, bias=shape.bias),
        visit(stage, f"{prefix}.mlp.residual", rows * d, operands=2, times=times),
    ]
    if shape.rotary:
        rotated = rows * (shape.q + shape.kv)
        per_block.insert(2, visit(stage, f"{prefix}.attention.rotary", rotated, times=times))
    if shape.norms == 2:
        mlp_norm = norm(stage, f"{prefix}.mlp.norm", rows, d, times=times, bias=shape.bias)
        per_block.insert(-4, mlp_norm)
    return total(*per_block)


def cross(
    stage: str,
    prefix: str,
    shape: Blocks,
    rows: int,
    keys: int,
    *,
    d_keys: int,
    passes: int = 1,
    with_keys: bool = True,
    bias: bool = True,
) -> Part:
    """Cross-attend in ``shape.layers`` layers; keys and values are made once, of ``keys`` rows."""
    times, d = shape.layers * passes, shape.d
    parts = [
        norm(stage, f"{prefix}.cross.norm", rows, d, times=times, bias=bias),
        linear(stage, f"{prefix}.cross.q", rows, d, shape.q, times=times, bias=bias),
        attend(
            stage,
            f"{prefix}.cross.product",
            rows,
            keys * passes,
            shape,
            times=shape.layers,
            passes=passes,
        ),
        linear(stage, f"{prefix}.cross.out", rows, shape.q, d, times=times, bias=bias),
        visit(stage, f"{prefix}.cross.residual", rows * d, operands=2, times=times),
    ]
    if with_keys:
        width = 2 * shape.kv
        parts.insert(0, cross_keys(stage, prefix, shape, keys, d_keys, width, bias=bias))
    return total(*parts)


def cross_keys(
    stage: str, prefix: str, shape: Blocks, keys: int, d_keys: int, width: int, *, bias: bool
) -> Part:
    name = f"{prefix}.cross.kv"
    return linear(stage, name, keys, d_keys, width, times=shape.layers, bias=bias)


def as_decode(part: Part, keys_and_values: int) -> Part:
    """Turn passes of one token into three or four layers of kind ``decode``, without parameters.

    They were counted in the prefill. Activations of one token stay on chip, so what is read is
    the cache of keys and values (given in elements, as written: the new ones).
    """
    groups: dict[str, Ops] = {}
    for each in part.layers:
        ops, name = each.executed, ".".join(each.layer.split(".")[:2])
        cached = each.layer.endswith(".product")
        read = ops.read_bytes - ops.write_bytes if cached else 0  # all but the query
        kept = replace(ops, read_bytes=read, write_bytes=0)
        groups[name] = groups.get(name, Ops()) + kept
    written = Ops(write_bytes=FP16 * keys_and_values)
    if "decode.attention" in groups:
        groups["decode.attention"] += written
    return Part(
        tuple(
            LayerOps("decoder", name, OpKind.DECODE, ops, ran_as="fp16")
            for name, ops in groups.items()
        )
    )
