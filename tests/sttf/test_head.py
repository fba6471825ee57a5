"""The head is causal, and may be fed window by window or all at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.sttf.head import HeadConfig, HeadState, LabelHead, Readout

CONFIG = HeadConfig(channels=3, observed_dim=6, taps=(1, 3), state_dim=8)


@pytest.fixture
def head() -> LabelHead:
    torch.manual_seed(0)
    return LabelHead(CONFIG, dim=16, n_tokens=9, n_labels=4).eval().requires_grad_(False)


def test_one_by_one_equals_all_at_once(head):
    observed = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(1))
    together, last = head.advance(observed, head.initial(2))
    state, parts = head.initial(2), []
    for window in range(12):
        hidden, state = head.advance(observed[:, window : window + 1], state)
        parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, 1), together)
    torch.testing.assert_close(state, last)


def test_the_future_changes_nothing(head):
    observed = torch.randn(1, 12, 6, generator=torch.Generator().manual_seed(1))
    other = observed.clone()
    other[:, 7:] += 1
    one, _ = head.advance(observed, head.initial(1))
    two, _ = head.advance(other, head.initial(1))
    assert torch.equal(one[:, :7], two[:, :7])
    assert not torch.equal(one[:, 7:], two[:, 7:])


def test_history_holds_the_last_windows(head):
    observed = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(1))
    _, state = head.advance(observed, head.initial(1))
    assert isinstance(state, HeadState)
    assert torch.equal(state.history, observed[:, 2:])


def test_readout_gates_tokens_as_its_equation_says():
    readout = Readout(dim=2, n_tokens=3, channels=1, observed_dim=3).requires_grad_(False)
    readout.reduce.weight[:] = torch.tensor([[1.0, 2.0]])
    readout.gate.weight[:] = torch.tensor([[1.0, 0.5, 2.0, 0.25]])
    readout.place.weight[:] = torch.eye(3)
    readout.place.bias.zero_()
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    age, score = torch.tensor([[0, 3, 0]]), torch.tensor([[0, 0, 1]])
    expected = [
        1.0 * (1 + 0.5),
        2.0 * (1 - 0.25 * math.log(4)),
        3.0 * (1 + 0.5 + 2 * math.log(2)),
    ]
    torch.testing.assert_close(readout(tokens, age, score), torch.tensor([expected]))


def conv_readout(side: int = 12) -> Readout:
    torch.manual_seed(0)
    readout = Readout(dim=5, n_tokens=side**2, channels=4, observed_dim=7, kind="conv")
    return readout.requires_grad_(False)


def test_a_conv_readout_is_two_convolutions_over_the_token_grid():
    side, readout = 12, conv_readout()
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(2, side**2, 5, generator=generator)
    quiet, score = torch.randint(0, 9, (2, 2, side**2), generator=generator)
    place = readout.place
    picture = readout.sketch(tokens, quiet, score).view(2, side, side, 4)
    for layer in (place.first, place.second):
        rows = (picture.shape[1] + 1) // 2
        padded = functional.pad(picture, (0, 0, 1, 1, 1, 1))
        next_picture = torch.zeros(2, rows, rows, 8)
        for row in range(rows):
            for column in range(rows):
                seen = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
                product = torch.einsum("byxc,ocyx->bo", seen, layer.weight)
                next_picture[:, row, column] = functional.gelu(product + layer.bias)
        picture = next_picture
    expected = picture.permute(0, 3, 1, 2).flatten(1) @ place.out.weight.T + place.out.bias
    torch.testing.assert_close(readout(tokens, quiet, score), expected)


def test_a_conv_readout_sees_a_shape_alike_wherever_it_lies():
    readout = conv_readout(side=20)
    picture = torch.zeros(1, 20, 20, 4)
    picture[:, 6:9, 6:9] = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(1))
    first = readout.place.first
    here = first(picture.permute(0, 3, 1, 2))
    there = first(picture.roll((2, 4), (1, 2)).permute(0, 3, 1, 2))
    torch.testing.assert_close(here.roll((1, 2), (2, 3)), there)


def test_a_conv_readout_takes_windows_together():
    readout = conv_readout()
    sketch = torch.randn(2, 3, 144 * 4, generator=torch.Generator().manual_seed(1))
    apart = torch.stack([readout.place(sketch[:, window]) for window in range(3)], 1)
    torch.testing.assert_close(readout.place(sketch), apart)


@pytest.mark.parametrize("side", [1, 2, 13, 14])
def test_a_conv_head_fits_every_grid(side):
    config = HeadConfig(kind="conv", channels=2, observed_dim=6, taps=(1,), state_dim=8)
    head = LabelHead(config, dim=16, n_tokens=side**2, n_labels=4)
    memory = torch.zeros(3, side**2, 16)
    observed = head.readout(memory, torch.zeros(3, side**2), torch.zeros(3, side**2))
    assert observed.shape == (3, 6)


@pytest.mark.parametrize(
    "bad", [{"kind": "fourier"}, {"channels": 0}, {"taps": ()}, {"taps": (4, 2)}, {"taps": (0,)}]
)
def test_config_refuses_nonsense(bad):
    with pytest.raises(UsageError, match="head: "):
        HeadConfig(**bad)
