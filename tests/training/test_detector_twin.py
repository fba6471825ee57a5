"""The quantised twin: the same spikes as the reference, and gradients that point downhill."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovlm.events.scenes import moving_square
from neurovlm.frontend.learned import LearnedConfig, learned_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.training.detector_fit import example, make_film, whole
from neurovlm.training.detector_scan import leaky_scan, leaky_scan_back
from neurovlm.training.detector_twin import (
    MAX_INHIBITION,
    LeakyAt,
    Sizes,
    Spike,
    Twin,
    first_weights,
    rounded,
)

SMALL = Sizes(y_channels=6, input_p=11)
FEW = LearnedConfig(x_groups=((2, 5.0), (2, 20.0)), p_groups=((2, 10.0), (1, 25.0)))


@pytest.fixture(scope="module")
def seen():
    return example(moving_square(duration_s=0.2, noise_hz=3.0, seed=5))


@pytest.mark.parametrize(
    ("backend", "windows"), [("reference", 3), pytest.param("fast", 8, marks=pytest.mark.slow)]
)
def test_the_twin_fires_where_the_graph_does(seen, backend, windows):
    """Every population, at the ticks the twin looks at; the graph runs all ticks in integers."""
    threshold = 40
    twin = Twin(FEW, SMALL, seed=2)
    graph = learned_detector(twin.constants(threshold))
    n_ticks = 25 * windows
    trace = get_backend(backend).run(graph, seen.spikes.between(0, n_ticks))

    def at(names, tick):
        parts = [
            trace.spikes[name].dense().reshape(windows, 25, *trace.spikes[name].shape)[:, tick]
            for name in names
        ]
        return np.concatenate(parts, axis=1)

    with torch.no_grad():
        sums, spikes = twin(make_film([whole(seen)])[0])
    ours = {name: fired[:windows].numpy().astype(bool) for name, fired in spikes.items()}
    assert np.array_equal(ours["X"][:, 0], at(("X0", "X1"), 22))
    assert np.array_equal(ours["Y"][:, 0], at(("Y",), 23))
    for k, tick in enumerate((22, 23)):
        assert np.array_equal(ours["P"][:, k, 0], at(("P0", "P1"), tick))
        for name, fired in seen.meters.items():
            assert np.array_equal(fired[:windows, k], at((name,), tick))
    declared = (sums[:windows, 0] * FEW.y_threshold).round().numpy() > threshold
    assert np.array_equal(declared, at(("H",), 24).reshape(windows, -1))
    for name in ("X", "P", "Y"):
        assert 0 < ours[name].mean() < 1, "silent or saturated, the comparison proves nothing"
    assert 0 < declared.mean() < 1


def test_several_streams_are_each_as_alone(seen):
    twin = Twin(FEW, SMALL)
    other = example(moving_square(duration_s=0.2, noise_hz=1.0, velocity_px_s=(0.0, -90.0), seed=6))
    with torch.no_grad():
        alone = [twin(make_film([whole(e)])[0])[0] for e in (seen, other)]
        together = twin(make_film([whole(seen), whole(other)])[0])[0]
    assert torch.equal(together, torch.cat(alone, dim=1))


def test_a_scan_keeps_loihis_rounding():
    """By hand: u = 64 * 3 = 192, then trunc(192 * 4000 / 4096) = 187, then 182 - 64 = 118."""
    drive = np.array([[3.0], [0.0], [-1.0]], np.float32)
    out = np.empty((3, 1), np.float32)
    leaky_scan(drive, np.array([4000.0]), 1e9, np.arange(3), out)
    assert out.ravel().tolist() == [192.0, 187.0, 118.0]


def test_a_scan_resets_what_fired_and_keeps_what_did_not():
    """v keeps 1 / 4096, so that 64 * 8192 leaves 128 for the next tick unless it fired."""
    drive = np.array([[8192.0], [0.0]], np.float32)
    kept, reset = (np.empty((2, 1), np.float32) for _ in range(2))
    leaky_scan(drive, np.zeros(1), 1e9, np.arange(2), kept)
    leaky_scan(drive, np.zeros(1), 1.0, np.arange(2), reset)
    assert kept.ravel().tolist() == [524_288.0, 128.0]
    assert reset.ravel().tolist() == [524_288.0, 0.0]


def test_the_scans_gradient_is_that_of_the_leaky_sum():
    n_ticks, keep, read = 6, 3000.0, np.array([2, 5])
    grad = np.array([[1.0], [2.0]], np.float32)
    back = np.empty((n_ticks, 1), np.float32)
    leaky_scan_back(grad, np.array([keep]), read, back)
    by_hand = [
        64 * sum(g * (keep / 4096) ** (r - t) for r, g in ((2, 1.0), (5, 2.0)) if r >= t)
        for t in range(n_ticks)
    ]
    assert np.allclose(back.ravel(), by_hand, rtol=1e-5)


def test_gradients_reach_every_weight(seen):
    twin = Twin(FEW, SMALL, seed=2)
    film, truth = make_film([whole(seen)])
    sums, _ = twin(film, first=2)
    wanted = torch.from_numpy(truth[2:])
    torch.nn.functional.binary_cross_entropy_with_logits(sums - 1, wanted).backward()
    for name, weight in twin.weights.items():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0, name


def test_the_surrogate_is_that_of_a_fast_sigmoid():
    x = torch.tensor([-1.0, 0.0, 0.5], requires_grad=True)
    spikes = Spike.apply(x, 2.0)
    assert spikes.tolist() == [0.0, 0.0, 1.0], "the threshold is strict"
    spikes.sum().backward()
    assert torch.allclose(x.grad, torch.tensor([1 / 9, 1.0, 1 / 4]))


def test_rounding_lets_the_gradient_through_inside_the_range():
    w = torch.tensor([0.4, -3.6, 300.0], requires_grad=True)
    whole_weights = rounded(w)
    assert whole_weights.tolist() == [0.0, -4.0, 255.0]
    whole_weights.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0, 0.0]


def test_weights_that_would_wrap_are_scaled_down():
    """The graph proves that no input can wrap u; huge parameters must pass that proof."""
    twin = Twin(FEW, SMALL)
    with torch.no_grad():
        twin.weights["input_P"].mul_(20.0)
        twin.weights["input_X"].mul_(20.0)
    learned_detector(twin.constants(40))


def test_inhibition_never_outlives_its_tick():
    """However large the parameters, v / 4096 of it is less than one unit of weight."""
    twin = Twin(FEW, SMALL)
    with torch.no_grad():
        twin.weights["X_Y"].fill_(-100.0)
        twin.weights["G_H"].fill_(-100.0)
    kernels = twin.constants(40).kernels
    for target in ("Y", "H"):
        parts = [k for name, k in kernels.items() if name.endswith(f"_{target}")]
        inhibition = -sum(np.minimum(k, 0).sum(axis=(1, 2, 3), dtype=int) for k in parts)
        assert 0 < inhibition.max() <= MAX_INHIBITION


def test_first_weights_follow_the_seed():
    one, same, other = (first_weights(FEW, SMALL, seed) for seed in (1, 1, 2))
    for name, weight in one.items():
        assert torch.equal(weight, same[name])
    assert not torch.equal(one["X_Y"], other["X_Y"])


def test_a_leaky_population_sums_what_arrives(seen):
    """Against a dense sum over the spikes of one cell."""
    film, _ = make_film([whole(seen)])
    kernel, side, tau_keep = 3, 42, 4096 - 400
    drive = film.drive(kernel, 3, side)
    ones = torch.ones(2 * kernel * kernel, 1)
    n_ticks = film.n_windows * film.window_ticks
    read = np.array([60])
    v = LeakyAt.apply(ones, drive, n_ticks, np.array([float(tau_keep)]), 1e9, read)
    cells = v.reshape(side, side)
    row, column = np.unravel_index(int(cells.argmax()), (side, side))
    u = 0.0
    for tick in range(61):
        mine = (
            (film.tick == tick - 1) & (film.row // 3 == row) & (film.column // 3 == column)
        ).sum()
        u = np.trunc(u * tau_keep / 4096) + 64 * mine
    assert abs(float(cells[row, column]) - u) <= 1, "v keeps at most a unit of the tick before"
    assert u > 64
