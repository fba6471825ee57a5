"""Ledger against PyTorch's own flop counter, by hand where that has no formula, and refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from neurovlm.counting.ledger import Ledger, UncountedOperatorError

MODES = (torch.enable_grad, torch.no_grad, torch.inference_mode)


class Attention(nn.Module):
    """Softmax attention written with products, as the models here have it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v


class GatedStep(nn.Module):
    """One step of a recurrent cell, its products in the open."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(5, 21), nn.Linear(7, 21)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.input(x), self.state(torch.zeros(len(x), 7))
        return torch.sigmoid(a[:, :7] + b[:, :7]) * torch.tanh(a[:, 7:14] + b[:, 7:14])


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 7), (3, 5)),
    "linear without bias, two batch axes": (lambda: nn.Linear(5, 7, bias=False), (2, 3, 5)),
    "conv with stride": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 9)),
    "conv with groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 9, 9)),
    "depthwise conv": (lambda: nn.Conv2d(4, 4, 3, groups=4), (1, 4, 6, 6)),
    "dilated conv3d": (lambda: nn.Conv3d(2, 3, 3, dilation=2), (1, 2, 7, 7, 7)),
    "transposed conv": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 5, 5)),
    "attention": (Attention, (2, 6, 8)),
    "gru": (lambda: nn.GRU(5, 7, batch_first=True), (2, 3, 5)),
    "gated step": (GatedStep, (2, 5)),
}

PRODUCTS: dict[str, Callable[[], Tensor]] = {
    "mm": lambda: torch.mm(torch.rand(3, 5), torch.rand(5, 7)),
    "bmm": lambda: torch.bmm(torch.rand(2, 3, 5), torch.rand(2, 5, 7)),
    "addmm": lambda: torch.addmm(torch.rand(3, 7), torch.rand(3, 5), torch.rand(5, 7)),
    "baddbmm": lambda: torch.baddbmm(torch.rand(2, 3, 7), torch.rand(2, 3, 5), torch.rand(2, 5, 7)),
    "einsum": lambda: torch.einsum("bqd,bkd->bqk", torch.rand(2, 3, 5), torch.rand(2, 4, 5)),
    "broadcast matmul": lambda: torch.rand(3, 5) @ torch.rand(2, 5, 7),
}

BY_HAND: dict[str, tuple[Callable[[], Tensor], int]] = {
    "matrix vector": (lambda: torch.rand(3, 5) @ torch.rand(5), 3 * 5),
    "addmv": (lambda: torch.addmv(torch.rand(3), torch.rand(3, 5), torch.rand(5)), 3 * 5),
    "dot": (lambda: torch.dot(torch.rand(5), torch.rand(5)), 5),
    "fused attention": (
        # 2 x 4 heads, 5 queries against 6 keys of width 8, then values of width 8
        lambda: functional.scaled_dot_product_attention(
            torch.rand(2, 4, 5, 8), torch.rand(2, 4, 6, 8), torch.rand(2, 4, 6, 8)
        ),
        2 * 4 * 5 * 6 * (8 + 8),
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODULES)
def test_modules_agree_with_the_flop_counter(name: str, mode: type) -> None:
    build, shape = MODULES[name]
    model, x = build(), torch.rand(shape)
    with mode(), FlopCounterMode(display=False) as flops, Ledger(model) as ledger:
        model(x)
    assert ledger.total == flops.get_total_flops() / 2 > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_agree_with_the_flop_counter(name: str, mode: type) -> None:
    with mode(), FlopCounterMode(display=False) as flops, Ledger(nn.Identity()) as ledger:
        PRODUCTS[name]()
    assert ledger.total == flops.get_total_flops() / 2 > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", BY_HAND)
def test_products_the_flop_counter_does_not_know(name: str, mode: type) -> None:
    call, expected = BY_HAND[name]
    with mode(), Ledger(nn.Identity()) as ledger:
        call()
    assert ledger.total == expected


def test_counts_stand_under_the_module_that_ran_them() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 2)))
    with Ledger(model) as ledger:
        y = model(torch.rand(3, 4))
        y @ torch.rand(2, 5)
    assert ledger.macs == {"0": 3 * 4 * 6, "2.0": 3 * 6 * 2, "": 3 * 2 * 5}
    assert ledger.total == 72 + 36 + 30


def test_a_module_called_twice_counts_twice() -> None:
    model = nn.Linear(4, 6)
    with Ledger(model) as ledger:
        model(model.weight.new_ones(1, 4))
        model(model.weight.new_ones(2, 4))
    assert ledger.macs == {"": 3 * 24}


def test_zeros_and_ones_are_macs_all_the_same() -> None:
    """Spiking is declared, never guessed from values: a binary image is an ordinary input."""
    layer = nn.Linear(9, 4)
    with Ledger(layer) as binary:
        layer(torch.ones(2, 9))
    with Ledger(layer) as silent:
        layer(torch.zeros(2, 9))
    assert binary.total == silent.total == 2 * 9 * 4


def test_biases_and_elementwise_work_are_no_macs() -> None:
    with_bias, without = nn.Linear(5, 7), nn.Linear(5, 7, bias=False)
    with Ledger(with_bias) as one:
        with_bias(torch.rand(3, 5))
    with Ledger(without) as other:
        without(torch.rand(3, 5))
    assert one.total == other.total
    norms = nn.Sequential(nn.LayerNorm(5), nn.GELU(), nn.Softmax(-1))
    with Ledger(norms) as none:
        norms(torch.rand(3, 5))
    assert none.total == 0 and none.macs == {}


def test_results_are_those_of_the_model_alone() -> None:
    model, x = Attention(), torch.rand(2, 6, 8)
    alone = model(x)
    with Ledger(model):
        counted = model(x)
    assert torch.equal(alone, counted)


def test_hooks_are_gone_afterwards_even_when_the_model_raises() -> None:
    model = nn.Linear(4, 6)
    ledger = Ledger(model)
    with pytest.raises(RuntimeError), ledger:
        model(torch.rand(1, 3))
    assert not model._forward_hooks and not model._forward_pre_hooks
    model(torch.rand(1, 4))
    assert ledger.total == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_product_without_formula_is_an_error_that_names_it(mode: type) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ModuleDict({"pair": nn.Bilinear(3, 4, 5)})["pair"])
    with (
        mode(),
        Ledger(model),
        pytest.raises(UncountedOperatorError, match=r"aten\._trilinear\.default in module '1'"),
    ):
        model[1](torch.rand(2, 3), torch.rand(2, 4))


def test_a_fused_layer_is_refused_not_passed_as_free() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with (
        torch.no_grad(),
        Ledger(model),
        pytest.raises(UncountedOperatorError, match=r"_native_multi_head_attention"),
    ):
        model(torch.rand(2, 3, 8))


def test_harmless_operators_with_similar_names_pass() -> None:
    image = torch.rand(1, 2, 4, 4)
    with Ledger(nn.Identity()) as ledger:
        functional.interpolate(image, scale_factor=2, mode="bilinear")
        image.to(torch.float64).lgamma().digamma()
    assert ledger.total == 0
