"""Ledger: MACs of every operator torch really dispatches, seen from outside the model.

The closed forms of the models are checked against this, and it counts models that have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
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


class Ledger:
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
        self._model = model
        self._mode = _Dispatch(self._count)
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
        self._mode.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._mode.__exit__(*details)
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _begin(self, name: str, _module: nn.Module, _args: Any) -> None:
        self._running.append(name)

    def _end(self, _module: nn.Module, _args: Any, _out: Any) -> None:
        self._running.pop()

    def _count(self, func: Any, args: tuple[Any, ...], out: Any) -> None:
        where = self._running[-1] if self._running else ""
        packet = func.overloadpacket
        if packet in _FORMULAS:
            self._macs[where] += _FORMULAS[packet](args, out)
        elif _PRODUCT.search(packet.__name__):
            raise UncountedOperatorError(
                f"ledger: no formula for {func} in module {where or 'outside modules'!r}; "
                "add one before its cost is reported"
            )


class _Dispatch(TorchDispatchMode):
    """Runs every operator and reports it, composite ones by their parts."""

    def __init__(self, report: Callable[[Any, tuple[Any, ...], Any], None]) -> None:
        super().__init__()
        self._report = report

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in _FORMULAS:
            with self:  # inference mode hands over linear and matmul whole
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        self._report(func, args, out)
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
_PRODUCT = re.compile(
    r"mm(_|$)|mv(_|$)|dot(_|$)|addr(_|$)|matmul|linear(_|$)|conv(?!ert)|attention|transformer"
    r"|rnn|gru|lstm|cdist|euclidean_dist|embedding_bag"
)
"""Names of operators that multiply and accumulate."""
