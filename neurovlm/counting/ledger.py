"""Ledger: MACs of every operator torch really dispatches, seen from outside the model.

The closed forms of the models are checked against this, and it counts models that have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from neurovlm.core.errors import NeurovlmError
from neurovlm.counting.operators import UnknownOperatorError, is_product, macs_of

Report: TypeAlias = Callable[[str, Any, tuple[Any, ...], Any], None]
"""Takes the module's name, the operator, its arguments and its result."""


class UncountedOperatorError(NeurovlmError, NotImplementedError):
    """An operator that the counter has no formula for."""


class Operators:
    """Report every operator that runs while active, and the submodule of ``model`` it runs in.

    Operators made of others are reported by their parts. Work outside any ``forward`` of a
    submodule stands under the empty name.
    """

    def __init__(self, model: nn.Module, report: Report) -> None:
        self._model = model
        self._mode = _Dispatch(self._tell)
        self._report = report
        self._running: list[str] = []
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Operators:
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

    def _tell(self, func: Any, args: tuple[Any, ...], out: Any) -> None:
        where = self._running[-1] if self._running else ""
        try:
            self._report(where, func, args, out)
        except UnknownOperatorError as unknown:
            root = type(self._model).__name__ if self._running else "outside modules"
            raise UncountedOperatorError(
                f"ledger: no formula for {unknown} in module {where or root!r}; "
                "add one before its cost is reported"
            ) from None


class Ledger:
    """Count multiply-accumulates per module of ``model`` while active.

    >>> with Ledger(model) as ledger:  # doctest: +SKIP
    ...     model.step(...)
    >>> ledger.macs  # doctest: +SKIP
    {'encoder.blocks.0.qkv': 9633792, ...}

    One MAC is one multiply-accumulate of a product or convolution; biases and elementwise work
    are none. An operator of those families without a formula raises, naming operator and module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._operators = Operators(model, self._count)
        self._macs: Counter[str] = Counter()

    @property
    def macs(self) -> Mapping[str, int]:
        """MACs per module name."""
        return dict(self._macs)

    @property
    def total(self) -> int:
        """MACs of everything."""
        return sum(self._macs.values())

    def __enter__(self) -> Ledger:
        self._operators.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._operators.__exit__(*details)

    def _count(self, where: str, func: Any, args: tuple[Any, ...], out: Any) -> None:
        macs = macs_of(func, args, out)
        if macs is not None:
            self._macs[where] += macs


class _Dispatch(TorchDispatchMode):
    """Runs every operator and reports it, composite ones by their parts."""

    def __init__(self, report: Callable[[Any, tuple[Any, ...], Any], None]) -> None:
        super().__init__()
        self._report = report

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not is_product(func):
            with self:  # inference mode hands over linear and matmul whole
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        self._report(func, (*args, *kwargs.values()), out)
        return out
