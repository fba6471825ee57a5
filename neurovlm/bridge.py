"""Spikes as tensors for the ANN stages, with gradients.

Every function takes a `SpikeTrain` or a dense tensor ``(n_ticks, *shape)`` of spikes s[t] and is
differentiable with respect to the dense one. Values of 0 and 1 are spikes; values in between are
read as independent spike probabilities, for which counts, traces and latencies below are the
expected ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurovlm.core.errors import UsageError
from neurovlm.spiking.train import SpikeTrain


def to_dense_tensor(train: SpikeTrain, dtype: torch.dtype = torch.float32) -> Tensor:
    """``(n_ticks, *shape)`` with 1 where a neuron fired and 0 elsewhere."""
    dense = torch.zeros(train.n_ticks, train.n_neurons, dtype=dtype)
    dense[torch.tensor(train.tick).long(), torch.tensor(train.neuron).long()] = 1
    return dense.reshape(train.n_ticks, *train.shape)


def counts(spikes: SpikeTrain | Tensor, window_ticks: int) -> Tensor:
    """Spikes per window, c[w] = sum of s[t] over the ticks of window w.

    Parameters
    ----------
    spikes
        A train, or ``(n_ticks, *shape)``.
    window_ticks
        Ticks per window; ticks after the last whole window are left out.

    Returns
    -------
    Tensor
        ``(n_ticks // window_ticks, *shape)``.
    """
    return _windows(spikes, window_ticks).sum(dim=1)


def traces(
    spikes: SpikeTrain | Tensor, decay: float | Tensor, start: Tensor | None = None
) -> Tensor:
    """Exponential traces, x[t] = decay x[t - 1] + s[t].

    Parameters
    ----------
    spikes
        A train, or ``(n_ticks, *shape)``.
    decay
        Part kept per tick, 0 to 1, exp(-dt / tau) for a time constant tau; a number or one per
        neuron, differentiable too.
    start
        x before the first tick, ``shape``; silence by default. The last row of an earlier result
        continues it.

    Returns
    -------
    Tensor
        ``(n_ticks, *shape)``.

    Raises
    ------
    UsageError
        When decay is outside 0..1.
    """
    kept = torch.as_tensor(decay)
    if not bool(((kept >= 0) & (kept <= 1)).all()):
        raise UsageError(f"traces: decay must lie in 0..1, got {decay}")
    dense = _dense(spikes)
    trace = dense.new_zeros(dense.shape[1:]) if start is None else start
    rows = []
    for row in dense:
        trace = decay * trace + row
        rows.append(trace)
    return torch.stack(rows) if rows else dense


def latency(spikes: SpikeTrain | Tensor, window_ticks: int) -> Tensor:
    """First-spike code: 1 for a spike in a window's first tick, 1/W in its last, 0 for silence.

    With W ticks per window and t counted from its start,

        code = sum over t of (W - t) / W * s[t] * product over k < t of (1 - s[k]),

    whose product is 1 until the first spike and 0 after it.

    Parameters
    ----------
    spikes
        A train, or ``(n_ticks, *shape)``.
    window_ticks
        Ticks per window; ticks after the last whole window are left out.

    Returns
    -------
    Tensor
        ``(n_ticks // window_ticks, *shape)``.
    """
    windows = _windows(spikes, window_ticks)
    silent = torch.cumprod(1 - windows, dim=1)
    none_yet = torch.cat([torch.ones_like(silent[:, :1]), silent[:, :-1]], dim=1)
    left = torch.arange(window_ticks, 0, -1, dtype=windows.dtype, device=windows.device)
    weight = (left / window_ticks).reshape(-1, *(1 for _ in windows.shape[2:]))
    return (weight * windows * none_yet).sum(dim=1)


def _dense(spikes: SpikeTrain | Tensor) -> Tensor:
    return to_dense_tensor(spikes) if isinstance(spikes, SpikeTrain) else spikes


def _windows(spikes: SpikeTrain | Tensor, window_ticks: int) -> Tensor:
    """``(n_windows, window_ticks, *shape)``."""
    if window_ticks < 1:
        raise UsageError(f"a window must have at least 1 tick, got {window_ticks}")
    dense = _dense(spikes)
    n_windows = len(dense) // window_ticks
    return dense[: n_windows * window_ticks].reshape(n_windows, window_ticks, *dense.shape[1:])
