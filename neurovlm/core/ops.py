"""What a layer did, counted from its shapes alone: the protocol between models and counting.

Modules of ``sttf``, ``language`` and ``zoo`` state closed forms as tuples of `LayerCount`;
``counting`` turns them into a workload. Nothing here knows a device.

Conventions: one MAC is one multiply-accumulate of a matrix product (2 FLOPs); biases, norms,
softmax and activations are ``elements``, never MACs. Bytes are those of the precision that ran.
``weight_bytes`` are read once per launch, ``read_bytes`` and ``write_bytes`` are activations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["frontend", "change", "router", "encoder", "memory", "fusion", "decoder"]
Kind = Literal["gemm", "attention", "elementwise", "gather", "scatter", "embedding"]

FLOAT_BYTES = 4
"""Bytes of one float32, the precision the models run in here."""


@dataclass(frozen=True)
class LayerCount:
    """Operations and traffic of one layer in one call.

    Attributes
    ----------
    stage
        Part of the pipeline it belongs to.
    layer
        Dotted name, unique within a stage and call.
    kind
        ``gemm`` is a product with weights, ``attention`` one of two activations; ``gather``,
        ``scatter`` and ``embedding`` move rows; ``elementwise`` is all else.
    macs
        Multiply-accumulates of matrix products.
    elements
        Results of elementwise work, elements moved; 0 for products.
    weight_bytes, read_bytes, write_bytes
        Traffic if every operand is touched once.
    launches
        Kernels started.
    """

    stage: Stage
    layer: str
    kind: Kind
    macs: int = 0
    elements: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    launches: int = 1


def linear(
    stage: Stage, layer: str, rows: int, n_in: int, n_out: int, *, bias: bool = True
) -> LayerCount:
    """Count ``(rows, n_in) @ (n_in, n_out)`` with weights: rows * n_in * n_out MACs."""
    return LayerCount(
        stage,
        layer,
        "gemm",
        macs=rows * n_in * n_out,
        weight_bytes=(n_in + bias) * n_out * FLOAT_BYTES,
        read_bytes=rows * n_in * FLOAT_BYTES,
        write_bytes=rows * n_out * FLOAT_BYTES,
    )


def attention(
    stage: Stage, layer: str, batch: int, rows: int, inner: int, columns: int
) -> LayerCount:
    """Count ``batch`` products ``(rows, inner) @ (inner, columns)`` of two activations."""
    return LayerCount(
        stage,
        layer,
        "attention",
        macs=batch * rows * inner * columns,
        read_bytes=batch * (rows + columns) * inner * FLOAT_BYTES,
        write_bytes=batch * rows * columns * FLOAT_BYTES,
    )


def elementwise(
    stage: Stage, layer: str, elements: int, *, n_inputs: int = 1, weights: int = 0
) -> LayerCount:
    """Count a layer that visits ``elements`` once, with ``n_inputs`` operands of that size."""
    return LayerCount(
        stage,
        layer,
        "elementwise",
        elements=elements,
        weight_bytes=weights * FLOAT_BYTES,
        read_bytes=n_inputs * elements * FLOAT_BYTES,
        write_bytes=elements * FLOAT_BYTES,
    )


def move(
    stage: Stage, layer: str, kind: Literal["gather", "scatter", "embedding"], elements: int
) -> LayerCount:
    """Count ``elements`` copied from one place to another."""
    n_bytes = elements * FLOAT_BYTES
    return LayerCount(
        stage, layer, kind, elements=elements, read_bytes=n_bytes, write_bytes=n_bytes
    )


def total_macs(counts: Iterable[LayerCount], stage: Stage | None = None) -> int:
    """Sum of MACs, of one stage or of all."""
    return sum(count.macs for count in counts if stage in (None, count.stage))
