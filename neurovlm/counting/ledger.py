"""Ledger: MACs of every operator torch really dispatches, seen from outside the model.

The closed forms of the models are checked against this, and it counts models that have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from neurovlm.core.errors import NeurovlmError

aten = torch.ops.aten


class UncountedOperatorError(NeurovlmError, NotImplementedError):
    """An operator that multiplies and accumulates, but that the ledger has no formula for."""


class Ledger(TorchDispatchMode):
    """Count multiply-accumulates per module of ``model`` while active.

    >>> with Ledger(model) as ledger:  # doctest: +SKIP
    ...     model.step(...)
    >>> ledger.macs  # doctest: +SKIP
    {'encoder.blocks.0.qkv': 9633792, ...}

    One MAC is one multiply-accumulate of a product or convolution; biases and elementwise work
    are none. An operator of those families without a formula raises, naming operator and module.
    Work outside any ``forward`` of a submodule stands under the empty name.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._macs: Counter[str] = Counter()
        self._running: list[str] = []
        self._hooks: list[RemovableHandle] = []

    @property
    def macs(self) -> Mapping[str, int]:
        """MACs per module name."""
        return dict(self._macs)

    @property
    def total(self) -> int:
        """MACs of everything."""
        return sum(self._macs.values())

    def __enter__(self) -> Ledger:
        for name, module in self._model.named_modules():
            enter = partial(self._begin, name)
            self._hooks.append(module.register_forward_pre_hook(enter))
            self._hooks.append(module.register_forward_hook(self._end, always_call=True))
        super().__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _begin(self, name: str, _module: nn.Module, _args: Any) -> None:
        self._running.append(name)

    def _end(self, _module: nn.Module, _args: Any, _out: Any) -> None:
        self._running.pop()

    def _where(self) -> str:
        return self._running[-1] if self._running else ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, then note what it cost."""
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in _FORMULAS:
            self._macs[self._where()] += _FORMULAS[packet](args, out)
        elif packet in _UNCOUNTED:
            raise UncountedOperatorError(
                f"ledger: no formula for {func} in module {self._where() or 'outside modules'!r}; "
                "add one before its cost is reported"
            )
        return out


def _mm(args: Any, out: Any) -> int:
    return prod(out.shape) * int(args[0].shape[-1])


def _addmm(args: Any, out: Any) -> int:
    return prod(out.shape) * int(args[1].shape[-1])


def _convolution(args: Any, out: Any) -> int:
    weight, transposed = args[1], args[6]
    per_site = prod(weight.shape[1:])
    return prod(args[0].shape if transposed else out.shape) * per_site


def _attention(args: Any, out: Any) -> int:
    query, key, value = args[:3]
    sites = prod(query.shape[:-1]) * int(key.shape[-2])
    return sites * (int(query.shape[-1]) + int(value.shape[-1]))


_FORMULAS = {
    aten.mm: _mm,
    aten.bmm: _mm,
    aten.mv: lambda args, out: prod(args[0].shape),
    aten.dot: lambda args, out: prod(args[0].shape),
    aten.addmm: _addmm,
    aten.addmv: lambda args, out: prod(args[1].shape),
    aten.baddbmm: _addmm,
    aten.convolution: _convolution,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_flash_attention: _attention,
}
_UNCOUNTED = {
    packet
    for name in (
        "addbmm",
        "_addmm_activation",
        "_convolution",
        "mkldnn_linear",
        "mkldnn_rnn_layer",
        "_thnn_fused_gru_cell",
        "_thnn_fused_lstm_cell",
        "_cdist_forward",
        "_embedding_bag",
        "_scaled_dot_product_cudnn_attention",
        "_sparse_addmm",
        "_int_mm",
        "_scaled_mm",
    )
    if (packet := getattr(aten, name, None)) is not None
}
