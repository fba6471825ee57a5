"""Eight bits while training: what is rounded, and that nothing stays rounded."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from neurovlm.training.quantise import eight_bit, rounded


def test_values_on_a_level_stay_and_others_go_to_the_nearest():
    x = torch.tensor([127.0, -3.0, 0.4, 0.6])
    assert rounded(x).tolist() == [127.0, -3.0, 0.0, 1.0]


def test_rows_have_a_scale_of_their_own():
    x = torch.tensor([[127.0, 0.6], [1.27, 0.004]])
    torch.testing.assert_close(rounded(x, 1), torch.tensor([[127.0, 1.0], [1.27, 0.0]]))


def test_the_gradient_passes_straight_through():
    x = torch.randn(5, requires_grad=True)
    (rounded(x) * torch.arange(5.0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 3, 4]


def test_within_the_block_weights_and_inputs_are_rounded_and_afterwards_not():
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 3), torch.randn(2, 6)
    model = nn.Sequential(layer)
    parameter, plain = layer.weight, model(x)
    with eight_bit(model):
        found = model(x)
        expected = nn.functional.linear(rounded(x), rounded(parameter, 1), layer.bias)
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, plain)
        found.sum().backward()
    assert layer.weight is parameter
    assert parameter.grad is not None
    assert torch.equal(model(x), plain)


def test_an_error_inside_leaves_the_layers_as_they_were():
    layer = nn.Linear(2, 2)
    with pytest.raises(KeyError), eight_bit(layer):
        raise KeyError
    assert set(dict(layer.named_parameters())) == {"weight", "bias"}


def test_off_means_off():
    layer, x = nn.Linear(2, 2), torch.randn(1, 2)
    plain = layer(x)
    with eight_bit(layer, on=False):
        assert torch.equal(layer(x), plain)
