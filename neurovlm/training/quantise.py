"""Training that knows it will be rounded to eight bits.

Weights are rounded per output row, inputs of linear layers per tensor, both symmetrically::

    q(x) = s round(x / s),  s = max |x| / 127

and gradients pass as if nothing had been rounded (straight-through; Jacob et al., CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.utils import parametrize

LEVELS = 127


def rounded(x: Tensor, dim: int | None = None) -> Tensor:
    """``x`` on its nearest eight-bit level; one scale for all, or one per slice along ``dim``."""
    size = x.detach().abs()
    largest = size.max() if dim is None else size.amax(dim, keepdim=True)
    scale = largest.clamp(min=1e-12) / LEVELS
    return x + ((x / scale).round() * scale - x).detach()


class _RoundedRows(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return rounded(weight, dim=1)


def _round_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (rounded(inputs[0]), *inputs[1:])


@contextmanager
def eight_bit(module: nn.Module, *, on: bool = True) -> Iterator[None]:
    """Round all linear layers of ``module`` within the block; its weights stay unrounded."""
    layers = [part for part in module.modules() if type(part) is nn.Linear] if on else []
    hooks = []
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _RoundedRows())
        hooks.append(layer.register_forward_pre_hook(_round_input))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
