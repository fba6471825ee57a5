"""All layers of an encoder on stacked rows: products together, attention one segment at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.sttf.block import ACTIVATIONS
from neurovlm.sttf.engine.fold import FoldedLayer
from neurovlm.sttf.engine.linear import PRODUCTS, ROW_MULTIPLE
from neurovlm.sttf.engine.pieces import Piece

Biases = Sequence[Sequence[Tensor | None]]

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.ops.aten.gelu_,
    "gelu_tanh": partial(torch.ops.aten.gelu_, approximate="tanh"),
    "silu": partial(functional.silu, inplace=True),
    "relu": torch.relu_,
}
"""Activations that need no second buffer and keep the order in memory."""


class TorchLayers:
    """The layers, with their weights packed for one precision.

    Norms, attention, activations and the residual stream are float32 in every precision, and so
    are remembered keys and values: a state can go on in any engine.
    """

    def __init__(
        self,
        layers: Sequence[FoldedLayer],
        heads: int,
        eps: float,
        activation: str,
        precision: str,
    ) -> None:
        pack = PRODUCTS[precision]
        self.products = [
            (pack(f.qkv), pack(f.proj), pack(f.mlp_in), pack(f.mlp_out)) for f in layers
        ]
        self.heads = heads
        self.eps = eps
        self.activation = IN_PLACE.get(activation, ACTIVATIONS[activation])

    def __call__(
        self,
        x: Tensor,
        pieces: Sequence[Piece],
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        biases: Biases,
    ) -> Tensor:
        """Compute the rows of all pieces and write their keys and values.

        A piece attends after the keys of all pieces before it, in this order, were written: a
        stream's next window sees at every layer what its last one left there.

        Parameters
        ----------
        x
            ``(M, D)``, embedded rows in the order of the pieces.
        keys, values
            Per layer ``(B, h, R, d_h)``, contiguous; written in place.
        biases
            Per piece and layer ``(1, R)``, added to the logits; empty without.

        Returns
        -------
        Tensor
            ``(M, D)``, rows after the last layer, before the last norm.
        """
        m = len(x)
        x = functional.pad(x, (0, 0, 0, -m % ROW_MULTIPLE))
        for layer, (qkv, proj, mlp_in, mlp_out) in enumerate(self.products):
            rows = qkv(self._normed(x)).contiguous().view(len(x), 3, self.heads, -1)
            mixed = torch.zeros_like(x)
            for n, piece in enumerate(pieces):
                bias = biases[n][layer] if biases else None
                banks = keys[layer][piece.stream], values[layer][piece.stream]
                mixed[piece.stacked] = _attend(rows[piece.stacked], piece.rows, banks, bias)
            x = x.add_(proj(mixed))
            x = x.add_(mlp_out(self.activation(mlp_in(self._normed(x)))))
        return x[:m]

    def _normed(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], eps=self.eps)


def _attend(
    rows: Tensor, where: Tensor, banks: tuple[Tensor, Tensor], bias: Tensor | None
) -> Tensor:
    """Write the new keys and values of a stream, then attend to all of its.

    Parameters
    ----------
    rows
        ``(k, 3, h, d_h)``: queries, keys, values.
    where
        ``(k,)``, their rows in the banks ``(h, R, d_h)``.
    bias
        ``(1, R)`` or None.
    """
    query, key, value = rows.permute(1, 2, 0, 3)
    keys, values = banks
    keys.index_copy_(1, where, key)
    values.index_copy_(1, where, value)
    mixed = functional.scaled_dot_product_attention(
        query[None], keys[None], values[None], attn_mask=bias, scale=1.0
    )
    return mixed[0].transpose(0, 1).flatten(1)
