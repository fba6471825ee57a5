"""Products of few rows with large weights, on a CPU.

Below about 100 rows a product takes as long as its weights take to stream from memory, and a
library that packs them anew in every call, as ``torch.nn.Linear`` does, wastes most of that time.
All products here take rows ``(M, in)`` and return rows ``(M, out)``, float32 both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.engine import panels
from neurovlm.sttf.engine.fold import Affine
from neurovlm.sttf.engine.quantise import quantise_channels, quantise_rows

Precision = Literal["fp32", "bf16", "int8"]
Product = Callable[[Tensor], Tensor]

ROW_MULTIPLE = 16
"""Row counts are padded to it: fewer shapes to compile kernels for, and full vector registers."""

MOST_STREAMED = 96
"""Above so many rows computing takes longer than fetching the weights."""


class Fp32Product:
    """Few rows by `neurovlm.sttf.engine.panels`, where the processor has AVX-512; many by torch.

    Keeps the weights twice, in the order that each of them reads.
    """

    def __init__(self, affine: Affine) -> None:
        self.weight, self.bias = affine.weight.contiguous(), affine.bias
        wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        self.panels = panels.pack(self.weight) if wide else None
        self.padded_bias = functional.pad(self.bias, (0, -len(self.bias) % panels.PANEL))

    def __call__(self, rows: Tensor) -> Tensor:
        """``(M, in)`` -> ``(M, out)``."""
        if self.panels is None or len(rows) > MOST_STREAMED:
            return functional.linear(rows, self.weight, self.bias)
        return panels.multiply(rows, self.panels, self.padded_bias)[:, : len(self.bias)]


class Bf16Product:
    """Weights and rows in bfloat16, sums in float32, as oneDNN computes them."""

    def __init__(self, affine: Affine) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(
            affine.weight.bfloat16(), ROW_MULTIPLE
        )
        self.bias = affine.bias.bfloat16()

    def __call__(self, rows: Tensor) -> Tensor:
        """``(M, in)`` -> ``(M, out)``."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows.bfloat16(), self.weight, self.bias, "none", [], ""
        )
        return out.float()


class Int8Product:
    """Weights in 8 bits with a scale per output, rows in 8 bits with a scale each, exact sums."""

    def __init__(self, affine: Affine) -> None:
        codes, self.scale = quantise_channels(affine.weight)
        self.weight = torch.ops.onednn.qlinear_prepack(codes, [ROW_MULTIPLE, codes.shape[1]])
        self.zero = torch.zeros(len(codes), dtype=torch.int32)
        self.bias = affine.bias

    def __call__(self, rows: Tensor) -> Tensor:
        """``(M, in)`` -> ``(M, out)``."""
        codes, scale = quantise_rows(rows.contiguous())
        unscaled: Tensor = torch.ops.onednn.qlinear_pointwise(
            codes,
            1.0,
            128,
            self.weight,
            self.scale,
            self.zero,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return torch.addcmul(self.bias, unscaled, scale[:, None], out=unscaled)


PRODUCTS: dict[str, Callable[[Affine], Product]] = {
    "fp32": Fp32Product,
    "bf16": Bf16Product,
    "int8": Int8Product,
}
"""What each precision computes its products with."""


def check_supported(precision: str) -> None:
    """Raise where this processor or build of torch cannot compute in a precision.

    Raises
    ------
    UsageError
        Naming a precision that can be had.
    """
    if precision not in PRODUCTS:
        known = ", ".join(PRODUCTS)
        raise UsageError(f"engine: precision must be one of {known}, got {precision!r}")
    if precision != "fp32" and not torch.backends.mkldnn.is_available():
        raise UsageError(f"engine: {precision} needs a torch with oneDNN; use precision='fp32'")
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        raise UsageError("engine: this processor has no bfloat16; use precision='int8' or 'fp32'")
