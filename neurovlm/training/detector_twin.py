"""The learned detector's quantised twin: the same integers in torch, with surrogate gradients.

Forward is Loihi's arithmetic, not an imitation: weights are rounded and kept in their range, the
leaky populations X, P and G run tick by tick in the integers of `neurovlm.spiking.fixed_point`, and
Y and H, which forget within the tick, are evaluated where they matter. That is one tick per window:
H in the last one, Y and what feeds H one before, what feeds Y two before.

Backward passes rounding straight through and replaces the derivative of a spike at
``x = v / threshold - 1`` by that of a fast sigmoid, ``1 / (1 + beta |x|)^2`` (SuperSpike; Zenke and
Ganguli, Neural Computation 30, 2018).

What makes the shortcut exact: one tick later Y and H keep v / 4096 of a voltage that caused no
spike. Their sums are whole multiples of 64; thresholds of at most 63 leave nothing above, and
inhibition of less than 4096 per tick leaves less than one unit below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.grid import PatchGrid
from neurovlm.frontend.learned import (
    KERNELS,
    X_PER_PATCH,
    LearnedConfig,
    LearnedConstants,
    Meter,
)
from neurovlm.spiking.fixed_point import UNIT, WEIGHT_SHIFT
from neurovlm.spiking.loihi import MAX_WEIGHT
from neurovlm.spiking.train import SpikeTrain
from neurovlm.training.detector_scan import leaky_scan, leaky_scan_back

GRID = PatchGrid()
ROOM = 0.97  # of the largest current: rounding may add half a unit per weight
MAX_INHIBITION = 4095
INHIBITION_ROOM = 0.9
UNIT_V = 1 << WEIGHT_SHIFT

STEP = dict(zip(KERNELS, (1 / 3, 1 / 3, 0.1, 0.2, 0.2, 0.2, 0.2, 0.3, 0.2, 0.2), strict=True))
"""Weight that a parameter of 1 stands for, in thresholds: one learning rate then suits all."""


@dataclass(frozen=True)
class Sizes:
    """Side of each kernel and channels of Y."""

    y_channels: int = 32
    input_x: int = 5
    input_p: int = 15
    x_y: int = 5
    p_y: int = 3
    g_y: int = 3
    s_y: int = 3
    y_h: int = 3
    p_h: int = 3
    g_h: int = 3
    s_h: int = 3


@dataclass(frozen=True, eq=False)
class Film:
    """Input of one or several streams of equal length, ready for the twin.

    Attributes
    ----------
    tick, stream, channel, row, column
        int64 ``(n,)``: one entry per input spike.
    meters
        Spikes of each meter two ticks and one tick before the end of each window, float32
        ``(n_windows, 2, n_streams, levels, 14, 14)``.
    n_windows, n_streams, window_ticks
        Length, number of streams, ticks per window.
    """

    tick: NDArray[np.int64]
    stream: NDArray[np.int64]
    channel: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    meters: Mapping[str, NDArray[np.float32]]
    n_windows: int
    n_streams: int
    window_ticks: int

    def drive(self, kernel: int, stride: int, side: int) -> scipy.sparse.csr_array:
        """Which weight each spike adds to which cell, ``(ticks x streams x cells, 2 k k)``.

        A spike arrives one tick later. Cells are ``side x side``, centred under the kernel.
        """
        arrives = self.tick + 1 < self.n_windows * self.window_ticks
        tick, channel, row, column = (
            a[arrives] for a in (self.tick + 1, self.channel, self.row, self.column)
        )
        cells = (tick * self.n_streams + self.stream[arrives]) * side * side
        padding, reach = (kernel - stride) // 2, -(-kernel // stride)
        rows, columns = [], []
        for i in range(reach):
            y = (row + padding) // stride - i
            ky = row + padding - stride * y
            for j in range(reach):
                x = (column + padding) // stride - j
                kx = column + padding - stride * x
                ok = (y >= 0) & (y < side) & (x >= 0) & (x < side) & (ky < kernel) & (kx < kernel)
                rows.append((cells + y * side + x)[ok])
                columns.append(((channel * kernel + ky) * kernel + kx)[ok])
        row_all, column_all = np.concatenate(rows), np.concatenate(columns)
        shape = (
            self.n_windows * self.window_ticks * self.n_streams * side * side,
            2 * kernel * kernel,
        )
        ones = np.ones(len(row_all), np.float32)
        return scipy.sparse.csr_array((ones, (row_all, column_all)), shape=shape)


def meter_spikes(meter: Meter, source: SpikeTrain, window_ticks: int) -> NDArray[np.bool_]:
    """What a meter fires, ``(n_windows, 2, levels, 14, 14)``: 2 ticks and 1 before each end."""
    n_windows, n = source.n_ticks // window_ticks, GRID.n_patches
    row, column = np.divmod(source.neuron % GRID.pixels**2, GRID.pixels)
    patch = row // GRID.patch * GRID.side + column // GRID.patch
    slot = (source.tick.astype(np.int64) + 1) * n + patch
    counts = np.bincount(slot, minlength=(source.n_ticks + 1) * n)[: source.n_ticks * n]
    drive = counts.reshape(-1, n, 1) * np.array(meter.levels)
    read = _ends(n_windows, window_ticks)
    keep = np.full(n * len(meter.levels), float(UNIT - round(UNIT / meter.tau_ms)))
    v = np.empty((len(read), len(keep)), np.float32)
    threshold = float(meter.threshold * UNIT_V)
    leaky_scan(drive.reshape(len(drive), -1).astype(np.float32), keep, threshold, read, v)
    fired = v.reshape(n_windows, 2, GRID.side, GRID.side, len(meter.levels)) > threshold
    by_level: NDArray[np.bool_] = fired.transpose(0, 1, 4, 2, 3)
    return by_level


def _ends(n_windows: int, window_ticks: int, first: int = 0) -> NDArray[np.int64]:
    """Two ticks and one tick before the last tick of each window from ``first`` on."""
    ends = window_ticks * np.arange(first + 1, n_windows + 1)
    return np.stack([ends - 3, ends - 2], axis=1).ravel()


class Spike(torch.autograd.Function):
    """1 where x > 0; backward ``1 / (1 + beta |x|)^2``."""

    @staticmethod
    def forward(ctx, x, beta):  # type: ignore[no-untyped-def]
        """Spikes of ``x = v / threshold - 1``."""
        ctx.save_for_backward(x)
        ctx.beta = beta
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        """The surrogate's derivative."""
        (x,) = ctx.saved_tensors
        return grad / (1 + ctx.beta * x.abs()) ** 2, None


class LeakyAt(torch.autograd.Function):
    """v of leaky populations at given ticks; weights are ``(inputs, channels)``."""

    @staticmethod
    def forward(ctx, weights, drive, n_ticks, keep, threshold, read):  # type: ignore[no-untyped-def]
        """Float32 ``(n_read, cells, channels)``."""
        w = weights.detach().numpy()
        cells = drive.shape[0] // n_ticks
        keep_all = np.tile(keep, cells)
        out = np.empty((len(read), len(keep_all)), np.float32)
        arriving = np.asarray(drive @ w).reshape(n_ticks, -1)
        leaky_scan(arriving, keep_all, threshold, read, out)
        ctx.saved = (drive, n_ticks, keep_all, read, w.shape[1])
        return torch.from_numpy(out.reshape(len(read), cells, -1))

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        """Gradient of the weights."""
        drive, n_ticks, keep, read, channels = ctx.saved
        flat = np.ascontiguousarray(grad.numpy()).reshape(len(read), -1)
        back = np.empty((n_ticks, flat.shape[1]), np.float32)
        leaky_scan_back(flat, keep, read, back)
        grad_w = np.asarray(drive.T @ back.reshape(-1, channels))
        return torch.from_numpy(grad_w), None, None, None, None, None


def rounded(weights: Tensor) -> Tensor:
    """Whole weights in Loihi's range; the gradient passes through rounding, not out of range."""
    inside = weights.clamp(-MAX_WEIGHT, MAX_WEIGHT)
    return inside + (inside.round() - inside).detach()


class Twin(nn.Module):
    """Learned detector whose constants are trained in units of the thresholds.

    Parameters
    ----------
    config, sizes
        Constants that stay and shapes.
    seed
        Decides the first weights.
    beta
        Sharpness of the surrogate.
    """

    def __init__(
        self, config: LearnedConfig, sizes: Sizes, *, seed: int = 0, beta: float = 2.0
    ) -> None:
        super().__init__()
        self.config, self.sizes, self.beta = config, sizes, beta
        self.keep = {
            name: np.concatenate([np.full(n, UNIT - round(UNIT / tau)) for n, tau in groups]) * 1.0
            for name, groups in (("X", config.x_groups), ("P", config.p_groups))
        }
        self.weights = nn.ParameterDict(
            {
                name: nn.Parameter(value)
                for name, value in first_weights(config, sizes, seed).items()
            }
        )
        self.gain = nn.Parameter(torch.tensor(2.0))

    def integers(self) -> dict[str, Tensor]:
        """The whole weights that the parameters stand for, by connection."""
        c = self.config
        units = {"X": c.x_threshold, "P": c.p_threshold, "Y": c.y_threshold, "H": c.y_threshold}
        whole = {}
        for name, weight in self.weights.items():
            target = name.split("_")[1]
            scaled = weight * (units[target] * STEP[name])
            if target in self.keep:
                scaled = _within(scaled, 32.0 * ROOM * (UNIT - self.keep[target]))
            whole[name] = scaled
        for target in ("Y", "H"):
            factor = _bearable([w for name, w in whole.items() if name.endswith(f"_{target}")])
            for name, weight in whole.items():
                if name.endswith(f"_{target}"):
                    whole[name] = weight * factor
        return {name: rounded(weight) for name, weight in whole.items()}

    def forward(self, film: Film, first: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
        """Sums at the read-out, in units of Y's threshold, and the spikes they come from.

        Parameters
        ----------
        first
            Windows before this one only warm up.

        Returns
        -------
        ``(n_windows - first, n_streams, 196)`` and, per population, what it fired: X two ticks
        before the end of the window, P two ticks and one tick, Y one tick before.
        """
        c, w = self.config, self.integers()
        n_ticks, b = film.n_windows * film.window_ticks, film.n_streams
        both = _ends(film.n_windows, film.window_ticks, first)
        n = len(both) // 2
        x = self._leaky("X", w["input_X"], film, n_ticks, both[::2])
        p = self._leaky("P", w["input_P"], film, n_ticks, both).unflatten(0, (n, 2))
        seen = {"P": p} | {k: torch.from_numpy(m[first:]) for k, m in film.meters.items()}
        at_y = _same(x.flatten(0, 1), w["X_Y"], X_PER_PATCH)
        for name, spikes in seen.items():
            at_y = at_y + _same(spikes[:, 0].flatten(0, 1), w[f"{name}_Y"])
        y = Spike.apply(at_y / c.y_threshold - 1, self.beta)
        at_h = _same(y, w["Y_H"])
        for name, spikes in seen.items():
            at_h = at_h + _same(spikes[:, 1].flatten(0, 1), w[f"{name}_H"])
        fired = {"X": x, "P": p, "Y": y.unflatten(0, (n, b))}
        return at_h.reshape(n, b, -1) / c.y_threshold, fired

    def _leaky(
        self, name: str, kernel: Tensor, film: Film, n_ticks: int, read: NDArray[np.int64]
    ) -> Tensor:
        """Spikes of X or P at the ticks ``read``: ``(n_read, n_streams, channels, side, side)``."""
        per_patch = X_PER_PATCH if name == "X" else 1
        threshold = self.config.x_threshold if name == "X" else self.config.p_threshold
        side = GRID.side * per_patch
        drive = film.drive(kernel.shape[-1], GRID.patch // per_patch, side)
        limit = float(threshold * UNIT_V)
        columns = kernel.flatten(1).T.contiguous()
        v = LeakyAt.apply(columns, drive, n_ticks, self.keep[name], limit, read)
        fired = Spike.apply(v / limit - 1, self.beta)
        return fired.unflatten(1, (film.n_streams, side, side)).movedim(-1, 2)

    def constants(self, readout_threshold: int) -> LearnedConstants:
        """What the detector's graph is built from."""
        config = replace(self.config, readout_threshold=readout_threshold)
        kernels = {
            name: value.detach().numpy().astype(np.int16) for name, value in self.integers().items()
        }
        return LearnedConstants(config, kernels)


def first_weights(config: LearnedConfig, sizes: Sizes, seed: int) -> dict[str, Tensor]:
    """Random weights around a start that already counts.

    X starts as blobs of random width that need one to four events, half of them for one polarity
    more than the other; P as boxes over the patch that need one to seven; the rest as noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=generator))

    z = torch.arange(sizes.input_x) - (sizes.input_x - 1) / 2
    blobs = []
    for k in range(config.channels["X"]):
        blob = torch.exp(-(z[:, None] ** 2 + z[None] ** 2) / (2 * uniform(0.8, 2.5) ** 2))
        polarity = (1.0, 1.0) if k % 2 else ((1.0, 0.3) if k % 4 else (0.3, 1.0))
        blobs.append(torch.stack([p * blob for p in polarity]) * 3.9 / uniform(1.2, 4.0))
    rim = (sizes.input_p - GRID.patch) // 2
    box = functional.pad(torch.ones(2, GRID.patch, GRID.patch), (rim,) * 4)
    needed = np.concatenate([np.geomspace(1.0, 7.0, n) for n, _ in config.p_groups])
    boxes = [3 * box / float(n) for n in needed]
    c = {**config.channels, "Y": sizes.y_channels, "H": 1}

    def random(name: str, size: int, spread: float, mean: float = 0.0) -> Tensor:
        source, target = name.split("_")
        return mean + spread * noise(c[target], c[source], size, size)

    x, p = torch.stack(blobs), torch.stack(boxes)
    return {
        "input_X": x + 0.3 * noise(*x.shape),
        "input_P": p + 0.06 * noise(*p.shape),
        "X_Y": random("X_Y", sizes.x_y, 0.7, 0.15),
        "P_Y": random("P_Y", sizes.p_y, 0.7),
        "G_Y": random("G_Y", sizes.g_y, 0.2, -0.05),
        "S_Y": random("S_Y", sizes.s_y, 0.5),
        "Y_H": random("Y_H", sizes.y_h, 0.5),
        "P_H": random("P_H", sizes.p_h, 0.2, 0.1),
        "G_H": random("G_H", sizes.g_h, 0.1, -0.02),
        "S_H": random("S_H", sizes.s_h, 0.2, 0.1),
    }


def _same(spikes: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    return functional.conv2d(
        spikes, kernel, stride=stride, padding=(kernel.shape[-1] - stride) // 2
    )


def _bearable(weights: list[Tensor]) -> Tensor:
    """Factor per channel that keeps the inhibition of all ``weights`` within `MAX_INHIBITION`."""
    with torch.no_grad():
        total = torch.stack([-w.clamp(max=0).sum(dim=(1, 2, 3)) for w in weights]).sum(0)
        factor = (INHIBITION_ROOM * MAX_INHIBITION / total).clamp(max=1.0)
    return factor[:, None, None, None]


def _within(weights: Tensor, room: NDArray[np.float64]) -> Tensor:
    """Channels scaled down where one sign's sum is larger than ``room``: u must not wrap."""
    with torch.no_grad():
        flat = weights.flatten(1)
        largest = torch.maximum(flat.clamp(min=0).sum(1), -flat.clamp(max=0).sum(1))
        factor = (torch.from_numpy(room).float() / largest).clamp(max=1.0)
    return weights * factor[:, None, None, None]
