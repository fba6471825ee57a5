"""Spikes as tensors: equal to the numpy view, exact on spikes, differentiable."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovlm import bridge
from neurovlm.core.errors import UsageError
from neurovlm.spiking.train import SpikeTrain

TICKS, SHAPE, WINDOW = 23, (2, 3, 4), 5


@pytest.fixture
def train() -> SpikeTrain:
    raster = np.random.default_rng(0).random((TICKS, 24)) < 0.2
    return SpikeTrain.from_dense(raster, dt_s=1e-3, shape=SHAPE)


@pytest.fixture
def probabilities() -> torch.Tensor:
    """A dense float64 tensor between silence and spike, for numerical gradients."""
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(9, 2, 2, dtype=torch.float64, generator=generator)
    return values.mul(0.8).add(0.1).requires_grad_()


def test_dense_tensor_holds_the_trains_spikes(train):
    dense = bridge.to_dense_tensor(train)
    assert dense.shape == (TICKS, *SHAPE)
    assert dense.dtype is torch.float32
    assert np.array_equal(dense.reshape(TICKS, -1).numpy(), train.dense())


def test_counts_equal_the_trains_own(train):
    expected = train.counts(WINDOW)
    assert np.array_equal(bridge.counts(train, WINDOW).numpy(), expected)
    assert np.array_equal(bridge.counts(bridge.to_dense_tensor(train), WINDOW).numpy(), expected)
    assert expected.shape == (TICKS // WINDOW, *SHAPE)


def test_counts_of_less_than_one_window_are_empty(train):
    assert bridge.counts(train, TICKS + 1).shape == (0, *SHAPE)
    assert train.counts(TICKS + 1).shape == (0, *SHAPE)


def test_trace_of_one_spike_decays_geometrically():
    dense = torch.zeros(6, 1, dtype=torch.float64)
    dense[2] = 1
    trace = bridge.traces(dense, 0.5)
    assert trace.ravel().tolist() == [0, 0, 1, 0.5, 0.25, 0.125]


def test_trace_of_constant_firing_approaches_its_closed_form():
    decay, n = 0.75, 12
    trace = bridge.traces(torch.ones(n, 1, dtype=torch.float64), decay)
    closed = (1 - decay ** np.arange(1, n + 1)) / (1 - decay)
    assert np.allclose(trace.ravel().numpy(), closed, rtol=1e-12, atol=0)


def test_traces_in_halves_equal_the_whole(train):
    dense = bridge.to_dense_tensor(train, torch.float64)
    whole = bridge.traces(dense, 0.9)
    first = bridge.traces(dense[:10], 0.9)
    second = bridge.traces(dense[10:], 0.9, start=first[-1])
    assert torch.equal(torch.cat([first, second]), whole)


def test_traces_of_a_train_equal_those_of_its_tensor(train):
    assert torch.equal(bridge.traces(train, 0.5), bridge.traces(bridge.to_dense_tensor(train), 0.5))


def test_latency_is_one_at_once_and_zero_in_silence():
    dense = torch.zeros(8, 4, dtype=torch.float64)
    dense[0, 0] = dense[3, 1] = dense[1, 2] = dense[2, 2] = 1
    dense[4:, 3] = 1
    code = bridge.latency(dense, 4)
    assert code.tolist() == [[1, 0.25, 0.75, 0], [0, 0, 0, 1]]


def test_latency_against_a_search_for_the_first_spike(train):
    dense = train.dense()
    expected = np.zeros((TICKS // WINDOW, train.n_neurons))
    for w, n in np.ndindex(expected.shape):
        ticks = np.flatnonzero(dense[w * WINDOW : (w + 1) * WINDOW, n])
        if len(ticks):
            expected[w, n] = (WINDOW - ticks[0]) / WINDOW
    code = bridge.latency(bridge.to_dense_tensor(train, torch.float64), WINDOW)
    assert np.allclose(code.reshape(expected.shape).numpy(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "code",
    [
        lambda dense: bridge.counts(dense, 4),
        lambda dense: bridge.latency(dense, 4),
        lambda dense: bridge.traces(dense, 0.7),
    ],
    ids=["counts", "latency", "traces"],
)
def test_gradients(code, probabilities):
    assert torch.autograd.gradcheck(code, (probabilities,))


def test_gradient_of_the_decay(probabilities):
    decay = torch.full((2, 2), 0.6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bridge.traces, (probabilities, decay))


def test_latency_gradient_on_spikes_rewards_earlier_firing():
    dense = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64, requires_grad=True)
    bridge.latency(dense, 3).sum().backward()
    # a spike at tick 0 would replace the code 2/3 by 1; one at tick 2 would change nothing
    assert dense.grad.ravel().tolist() == pytest.approx([1 / 3, 2 / 3, 0])


def test_messages(train):
    with pytest.raises(UsageError, match="at least 1 tick, got 0"):
        bridge.counts(train, 0)
    with pytest.raises(UsageError, match=r"0\.\.1, got 1\.5"):
        bridge.traces(train, 1.5)
