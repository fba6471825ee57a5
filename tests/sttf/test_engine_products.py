"""Products of the engines against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovlm.sttf.block import Block
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.engine import linear, panels
from neurovlm.sttf.engine.fold import Affine, fold
from neurovlm.sttf.engine.quantise import quantise_channels, quantise_rows


def affine(n: int, k: int, seed: int = 0) -> Affine:
    generator = torch.Generator().manual_seed(seed)
    return Affine(torch.randn(n, k, generator=generator), torch.randn(n, generator=generator))


@pytest.mark.parametrize("shape", [(8, 5, 48), (16, 7, 49), (24, 64, 1), (40, 1, 200)])
def test_panels_multiply_and_are_filled_up_with_zeros(shape):
    m, k, n = shape
    a, rows = affine(n, k), torch.randn(m, k)
    packed = panels.pack(a.weight)
    assert packed.shape == (-(-n // 48), k, 48)
    bias = torch.nn.functional.pad(a.bias, (0, -n % 48))
    out = panels.multiply(rows, packed, bias)
    exact = rows.double() @ a.weight.double().T + a.bias.double()
    # each of k products and sums rounds to 2^-24 of its size
    bound = 2**-23 * (k + 1) * (rows.abs() @ a.weight.abs().T + a.bias.abs())
    assert ((out[:, :n] - exact).abs() <= bound).all()
    assert torch.equal(out[:, n:], torch.zeros(m, out.shape[1] - n))


def test_panels_refuse_rows_that_do_not_fit():
    packed, bias = panels.pack(torch.ones(48, 6)), torch.zeros(48)
    for rows in (torch.ones(7, 6), torch.ones(8, 5)):
        with pytest.raises(ValueError, match=r"rows must be \(8 i, 6\)"):
            panels.multiply(rows, packed, bias)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("m", [16, 112])
def test_float32_products_are_the_same_on_every_processor(monkeypatch, wide, m):
    capability = "AVX512" if wide else "AVX2"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    a, rows = affine(80, 33), torch.randn(m, 33)
    exact = rows.double() @ a.weight.double().T + a.bias.double()
    product = linear.Fp32Product(a)
    assert (product.panels is not None) == wide
    assert (product(rows) - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_row_codes_are_the_nearest_and_scales_the_largest_value():
    rows = torch.randn(5, 1000) * torch.tensor([1.0, 1e3, 1e-3, 1.0, 0.0])[:, None]
    codes, scale = quantise_rows(rows)
    torch.testing.assert_close(scale[:4], rows[:4].abs().amax(1) / 127, rtol=1e-6, atol=0)
    ideal = rows[:4].double() / scale[:4, None].double()
    # half a level, and what the product with a rounded 1 / scale adds to 127 levels
    assert ((codes[:4].double() - 128) - ideal).abs().max() <= 0.5 + 1e-4
    assert codes[4].unique().tolist() == [128]
    assert codes.min() >= 1


def test_channel_codes_span_each_output():
    weight = torch.randn(6, 50) * torch.logspace(-3, 3, 6)[:, None]
    codes, scale = quantise_channels(weight)
    assert codes.abs().amax(1).tolist() == [127] * 6
    assert ((codes * scale[:, None] - weight).abs() <= 0.5001 * scale[:, None]).all()


def test_eight_bit_products_are_exact_on_their_codes():
    a, rows = affine(40, 96), torch.randn(16, 96)
    codes, scale = quantise_rows(rows)
    weights, weight_scale = quantise_channels(a.weight)
    exact_sums = (codes.numpy().astype(np.int64) - 128) @ weights.numpy().astype(np.int64).T
    expected = torch.from_numpy(exact_sums) * scale[:, None].double() * weight_scale.double()
    expected += a.bias
    got = linear.Int8Product(a)(rows)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_large_row_does_not_coarsen_the_others():
    a, rows = affine(40, 96), torch.randn(16, 96)
    product = linear.Int8Product(a)
    alone = product(rows)
    rows[3] *= 1e4
    with_large = product(rows)
    others = [n for n in range(16) if n != 3]
    assert torch.equal(with_large[others], alone[others])


def test_folding_keeps_the_layer():
    torch.manual_seed(0)
    block = Block(EncoderConfig(dim=16, heads=2, layer_scale=True)).requires_grad_(False)
    for parameter in block.parameters():
        parameter.copy_(torch.randn_like(parameter))
    folded, x = fold(block), torch.randn(3, 16)
    plain = torch.nn.functional.layer_norm(x, (16,), eps=1e-5)
    expected = block.qkv(block.norm1(x))
    expected[:, :16] /= 8**0.5
    for got, want in [
        (plain @ folded.qkv.weight.T + folded.qkv.bias, expected),
        (plain @ folded.mlp_in.weight.T + folded.mlp_in.bias, block.mlp_in(block.norm2(x))),
        (x @ folded.proj.weight.T + folded.proj.bias, block.proj(x) * block.scale1),
    ]:
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
