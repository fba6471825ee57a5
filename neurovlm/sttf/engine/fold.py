"""Weights of a layer with everything constant multiplied into them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovlm.sttf.block import Block


@dataclass(frozen=True, eq=False)
class Affine:
    """y = W x + b.

    Attributes
    ----------
    weight
        ``(out, in)``.
    bias
        ``(out,)``.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class FoldedLayer:
    """The four products of a layer; its norms then have no scale and shift of their own.

    Attributes
    ----------
    qkv, proj, mlp_in, mlp_out
        As in `neurovlm.sttf.block.Block`. Queries come out already divided by sqrt(d_h), both
        branches already multiplied by their scale per channel.
    """

    qkv: Affine
    proj: Affine
    mlp_in: Affine
    mlp_out: Affine


def fold(block: Block) -> FoldedLayer:
    """Fold norms, attention scale and layer scales of a block.

    With LN(x) = n * gamma + beta, where n is x normalised::

        W LN(x) + b = (W diag(gamma)) n + (W beta + b)
    """
    qkv = _after_norm(block.qkv, block.norm1)
    dim = block.proj.in_features
    factor = torch.ones(3 * dim, dtype=qkv.bias.dtype)
    factor[:dim] = (dim // block.heads) ** -0.5
    return FoldedLayer(
        qkv=_scaled(qkv, factor),
        proj=_scaled(Affine(block.proj.weight, block.proj.bias), block.scale1),
        mlp_in=_after_norm(block.mlp_in, block.norm2),
        mlp_out=_scaled(Affine(block.mlp_out.weight, block.mlp_out.bias), block.scale2),
    )


def _after_norm(linear: nn.Linear, norm: nn.LayerNorm) -> Affine:
    return Affine(linear.weight * norm.weight, linear.weight @ norm.bias + linear.bias)


def _scaled(affine: Affine, scale: Tensor | None) -> Affine:
    if scale is None:
        return affine
    return Affine(affine.weight * scale[:, None], affine.bias * scale)
