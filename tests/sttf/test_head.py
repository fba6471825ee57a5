"""The head is causal, and may be fed window by window or all at once."""

from __future__ import annotations

import math

import pytest
import torch

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


@pytest.mark.parametrize("bad", [{"channels": 0}, {"taps": ()}, {"taps": (4, 2)}, {"taps": (0,)}])
def test_config_refuses_nonsense(bad):
    with pytest.raises(UsageError, match="head: "):
        HeadConfig(**bad)
