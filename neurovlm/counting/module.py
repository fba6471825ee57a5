"""Any torch module as a workload: run once on example inputs, every operator counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from hw_models import LayerOps, OpKind, Ops, Workload
from hw_models.ops import NETWORK_KINDS
from neurovlm.core.errors import UsageError
from neurovlm.counting.ledger import Operators
from neurovlm.counting.operators import (
    BATCH_NORMS,
    Work,
    first_tensor,
    is_product,
    is_weight_in,
    operator_name,
    storage_of,
    tensors_in,
    work_of,
)

Inputs: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]
"""One tensor, the positional arguments, or the arguments by name."""

_WEIGHTED = (OpKind.GEMM, OpKind.CONV, OpKind.DEPTHWISE)
_RAN_AS = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
}


def count_module(
    module: nn.Module,
    example_inputs: Inputs,
    *,
    name: str,
    stage: str = "encoder",
    op_class: str | None = None,
    window_ms: float = 1000.0,
    delta_density: Mapping[str, float] | None = None,
) -> Workload:
    """Count one call of a module, layer by layer; one inference is one call.

    The module is called once, in evaluation mode and without gradients; it is left as it was.
    Parameters and inputs on the ``meta`` device cost no time and memory. A batch norm that comes
    right after a convolution is free: every runtime folds it into the convolution. Nothing else
    is fused, and a fused attention with a causal mask counts all scores.

    Parameters
    ----------
    module
        Any module; what it computes with functions counts under the module that called them.
    example_inputs
        Inputs of the shapes to count, batch included.
    name
        Name of the workload.
    stage
        Stage of all layers; not a spiking one.
    op_class
        ``None``: one layer per submodule, called after it (and after its kind of work, where it
        does several kinds). A class of networks (``cnn``, ``dw-cnn``, ``vit``, ``hybrid``,
        ``llm``, ``decode``): one layer for the whole, as `Workload.from_totals` makes from totals,
        with the elements that products write, the weights once, and the operators as launches.
    window_ms
        Sets the default rate, one call per window.
    delta_density
        Share of changing inputs by layer, from `count_delta_density`.

    Raises
    ------
    UncountedOperatorError
        An operator that no rule names; the message names it and its module.
    UsageError
        ``op_class`` is unknown, or ``delta_density`` names no layer with weights.
    """
    classes = [str(kind) for kind in NETWORK_KINDS]
    if op_class is not None and op_class not in classes:
        raise UsageError(f"op_class must be one of {', '.join(classes)}, got {op_class!r}")
    tally = _Tally(module)
    _run(module, example_inputs, tally.count)
    ran_as = _precision(module, example_inputs)
    params = sum(each.numel() for each in module.parameters())
    if op_class is not None:
        kind = OpKind(op_class)
        layers = (LayerOps(stage, name, kind, tally.whole(kind), ran_as=ran_as),)
        return Workload(name, 1, window_ms, layers, params=params, notes=tally.notes())
    names = _layer_names(module, tally.ops)
    density = dict(delta_density or {})
    known = [layer for (_, kind), layer in names.items() if kind in _WEIGHTED]
    for layer in density:
        if layer not in known:
            raise UsageError(
                f"delta_density: {layer!r} is no layer with weights of {name!r}; "
                f"those are {', '.join(known)}"
            )
    return Workload(
        name,
        inferences=1,
        window_ms=window_ms,
        layers=tuple(
            LayerOps(
                stage,
                names[key],
                key[1],
                ops,
                ran_as=ran_as,
                delta_density=density.get(names[key]),
            )
            for key, ops in tally.ops.items()
        ),
        params=params,
        notes=tally.notes(),
    )


def count_delta_density(
    module: nn.Module, inputs_sequence: Sequence[Inputs], threshold: float
) -> dict[str, float]:
    """Measure the share of inputs that a sigma-delta network would send, per layer with weights.

    An element is sent where it differs from the value sent last by more than ``threshold``; the
    first window sends all and is left out of the mean. Activations are those of the exact network,
    as if what is held back did not add up downstream.

    Parameters
    ----------
    module
        Any module.
    inputs_sequence
        Inputs of consecutive windows, at least two, of one shape.
    threshold
        Smallest change that is not sent, in units of the activations, at least 0.

    Returns
    -------
    Density by layer, between 0 and 1, for ``count_module(..., delta_density=...)``. A product of
    two activations (attention) has none.

    Raises
    ------
    UsageError
        Fewer than two windows, a negative threshold, or windows whose layers differ in shape.
    """
    if len(inputs_sequence) < 2:
        raise UsageError(
            f"count_delta_density: needs at least 2 consecutive windows, got {len(inputs_sequence)}"
        )
    if not threshold >= 0:
        raise UsageError(f"count_delta_density: threshold must be at least 0, got {threshold}")
    encoder = _DeltaEncoder(module, threshold)
    for inputs in inputs_sequence:
        encoder.calls = 0
        _run(module, inputs, encoder.see)
    names = _layer_names(module, encoder.keys)
    return {names[key]: sent / seen for key, (sent, seen) in encoder.sent.items()}


_Key: TypeAlias = tuple[str, OpKind]  # submodule and kind of work: one layer


@dataclass
class _Tally:
    """Sums over the operators of one call."""

    module: nn.Module
    ops: dict[_Key, Ops] = field(default_factory=dict)
    folded: int = 0
    written: int = 0
    used: dict[int, int] = field(default_factory=dict)
    convolved: Tensor | None = None

    def __post_init__(self) -> None:
        self.is_weight = is_weight_in(_storages(self.module))

    def count(self, where: str, func: Any, args: tuple[Any, ...], out: Any) -> None:
        """Add one operator."""
        if self._folds(func, args):
            self.folded += 1
            self.convolved = None
            return
        work = work_of(func, args, out, self.is_weight)
        if operator_name(func) == "convolution":
            self.convolved = out
        if is_product(func):
            self.written += first_tensor(out).numel()
        if work == Work(work.kind):
            return
        key = (where, work.kind)
        self.ops[key] = self.ops.get(key, Ops()) + _one_launch(work)
        if work.weight_bytes:
            for tensor in tensors_in(args):
                if self.is_weight(tensor):
                    self.used[storage_of(tensor)] = tensor.untyped_storage().nbytes()

    def whole(self, kind: OpKind) -> Ops:
        """Counts of the network as one layer; ``decode`` reads its key-value cache."""
        attended = [ops for (_, each), ops in self.ops.items() if each is OpKind.ATTENTION]
        cached = sum(ops.read_bytes for ops in attended) if kind is OpKind.DECODE else 0
        return Ops(
            macs=sum(ops.macs for ops in self.ops.values()),
            elements=self.written,
            weight_bytes=sum(self.used.values()),
            read_bytes=cached,
            launches=sum(ops.launches for ops in self.ops.values()),
        )

    def notes(self) -> tuple[str, ...]:
        if not self.folded:
            return ()
        return (f"{self.folded} batch norms folded into the convolutions before them",)

    def _folds(self, func: Any, args: tuple[Any, ...]) -> bool:
        if operator_name(func) not in BATCH_NORMS or self.convolved is None:
            return False
        uses_batch = any(flag is True for flag in args[5:6])  # its own statistics, not stored ones
        return not uses_batch and storage_of(args[0]) == storage_of(self.convolved)


@dataclass
class _DeltaEncoder:
    """Value sent last, by call in order, and how many elements were sent by layer."""

    module: nn.Module
    threshold: float
    calls: int = 0
    reference: dict[int, tuple[_Key, Tensor]] = field(default_factory=dict)
    sent: dict[_Key, tuple[int, int]] = field(default_factory=dict)
    keys: dict[_Key, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.is_weight = is_weight_in(_storages(self.module))

    def see(self, where: str, func: Any, args: tuple[Any, ...], out: Any) -> None:
        """Encode the activation that a product with weights takes."""
        work = work_of(func, args, out, self.is_weight)
        if work == Work(work.kind):
            return
        key = (where, work.kind)
        self.keys[key] = None
        if not is_product(func) or work.kind not in _WEIGHTED:
            return
        taken = [t for t in tensors_in(args) if t.is_floating_point() and not self.is_weight(t)]
        if not taken:
            return
        now = max(taken, key=Tensor.numel).detach()
        self.calls += 1
        self._encode(key, now)

    def _encode(self, key: _Key, now: Tensor) -> None:
        known, last = self.reference.get(self.calls, (key, None))
        if last is None:
            self.reference[self.calls] = key, now.clone()
            return
        if known != key or last.shape != now.shape:
            raise UsageError(
                f"count_delta_density: layer {key[0]!r} takes {tuple(now.shape)}, layer "
                f"{known[0]!r} took {tuple(last.shape)} in the window before; "
                "give windows of one shape"
            )
        moved = (now - last).abs() > self.threshold
        self.reference[self.calls] = key, torch.where(moved, now, last)
        sent, seen = self.sent.get(key, (0, 0))
        self.sent[key] = sent + int(moved.sum()), seen + now.numel()


def _one_launch(work: Work) -> Ops:
    counts = {item.name: getattr(work, item.name) for item in fields(work) if item.name != "kind"}
    return Ops(**counts, launches=1)


def _layer_names(module: nn.Module, keys: Mapping[_Key, Any]) -> dict[_Key, str]:
    """Call a layer after its submodule, and after its kind where the submodule has several."""
    places = [where for where, _ in keys]
    root = type(module).__name__
    return {
        (where, kind): f"{where or root}:{kind}" if places.count(where) > 1 else where or root
        for where, kind in keys
    }


def _storages(module: nn.Module) -> frozenset[int]:
    held = [*module.parameters(), *module.buffers()]
    return frozenset(map(storage_of, held))


def _precision(module: nn.Module, inputs: Inputs) -> str:
    """Name of the floating dtype of most parameters, or of most inputs if there are none."""
    args, kwargs = _arguments(inputs)
    for tensors in (module.parameters(), tensors_in([*args, *kwargs.values()])):
        scalars: Counter[str] = Counter()
        for tensor in tensors:
            if tensor.dtype in _RAN_AS:
                scalars[_RAN_AS[tensor.dtype]] += tensor.numel()
        if scalars:
            return scalars.most_common(1)[0][0]
    return "fp32"


def _arguments(inputs: Inputs) -> tuple[list[Any], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return [], dict(inputs)
    return ([inputs], {}) if isinstance(inputs, Tensor) else (list(inputs), {})


def _run(
    module: nn.Module, inputs: Inputs, report: Callable[[str, Any, tuple[Any, ...], Any], None]
) -> None:
    """Call the module once and report its operators."""
    args, kwargs = _arguments(inputs)
    with _evaluating(module), torch.no_grad(), Operators(module, report):
        module(*args, **kwargs)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without torch's fused transformer layer, which hides its operators."""
    training = {part: part.training for part in module.modules()}
    fused = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for part, flag in training.items():
            part.training = flag
