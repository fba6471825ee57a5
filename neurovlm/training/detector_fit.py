"""Training of the learned change detector on short films of procedural scenes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.film import Clip
from neurovlm.frontend.detect import FILTER
from neurovlm.frontend.detector import change_detector
from neurovlm.frontend.learned import METERS, LearnedConfig
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.encoding import encode_events, grid_for
from neurovlm.spiking.train import SpikeTrain
from neurovlm.training.detector_twin import GRID, Film, Sizes, Twin, meter_spikes

DT_US = 1000
CHANNELS = 2
TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Example:
    """One clip as the twin sees it.

    Attributes
    ----------
    spikes
        Input spikes of whole windows.
    meters
        Spikes of each meter, see `meter_spikes`.
    truth
        bool ``(n_windows, 14, 14)``.
    """

    spikes: SpikeTrain
    meters: Mapping[str, NDArray[np.bool_]]
    truth: NDArray[np.bool_]


def example(clip: Clip) -> Example:
    """Encode a clip once."""
    window_ticks = clip.window_us // DT_US
    shape = (CHANNELS, GRID.pixels, GRID.pixels)
    spikes = encode_events(
        clip.stream,
        grid_for(shape, clip.stream.sensor),
        channels=CHANNELS,
        t0_us=clip.start_us,
        n_ticks=clip.n_windows * window_ticks,
        dt_us=DT_US,
    )
    truth = clip.truth.reshape(-1, GRID.side, GRID.side)
    filtered = get_backend("fast").run(change_detector(), spikes).spikes[FILTER]
    sources = {"input": spikes, FILTER: filtered}
    meters = {
        name: meter_spikes(meter, sources[meter.source], window_ticks)
        for name, meter in METERS.items()
    }
    return Example(spikes, meters, truth)


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    Attributes
    ----------
    steps, films, windows, warm_up
        Steps; films per step; windows per film, of which the first only warm up.
    rate
        Highest learning rate of one cycle of Adam.
    weight_of_changed
        Weight of a changed patch against an unchanged one in the loss.
    spike_cost
        Cost of the mean firing rate, summed over X, P and Y.
    seed
        Decides first weights and the order of films.
    """

    steps: int = 6000
    films: int = 4
    windows: int = 7
    warm_up: int = 2
    rate: float = 1e-2
    weight_of_changed: float = 5.0
    spike_cost: float = 0.02
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)


def fit(
    examples: Sequence[Example], config: FitConfig, tell: Callable[[str], None] = lambda _: None
) -> Twin:
    """Train a twin.

    Each step cuts ``films`` pieces out of random clips, turns and mirrors them and swaps the
    polarities by chance, and minimises the cross-entropy between the read-out's sum and the truth.

    Raises
    ------
    UsageError
        When a clip is shorter than a film.
    """
    shortest = min(len(e.truth) for e in examples)
    if shortest < config.windows:
        raise UsageError(f"fit: films have {config.windows} windows, the shortest clip {shortest}")
    rng = np.random.default_rng(config.seed)
    twin = Twin(LearnedConfig(), config.sizes, seed=config.seed)
    optimizer = torch.optim.Adam(twin.parameters(), lr=config.rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, config.steps, pct_start=0.1
    )
    weight = torch.tensor(config.weight_of_changed)
    losses: list[float] = []
    start = time.monotonic()
    for step in range(config.steps):
        picked = [examples[i] for i in rng.integers(len(examples), size=config.films)]
        film, truth = make_film([cut(e, config.windows, rng) for e in picked])
        sums, spikes = twin(film, config.warm_up)
        wanted = torch.from_numpy(truth[config.warm_up :])
        loss = functional.binary_cross_entropy_with_logits(
            (sums - 1) * twin.gain, wanted, pos_weight=weight
        )
        busy = torch.stack([s.mean() for s in spikes.values()]).sum()
        optimizer.zero_grad()
        (loss + config.spike_cost * busy).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 200 == 0:
            rates = ", ".join(f"{name} {s.mean().item():.4f}" for name, s in spikes.items())
            spent_s = time.monotonic() - start
            tell(f"step {step + 1}: loss {np.mean(losses[-200:]):.4f}, {rates}, {spent_s:.0f} s")
    return twin


Images = dict[str, NDArray[np.bool_]]
Piece = tuple[NDArray[np.int64], Images, int]
"""``(tick, channel, row, column)`` of each spike; meters and truth by name; ticks per window."""


def cut(source: Example, windows: int, rng: np.random.Generator) -> Piece:
    """A random piece of ``windows`` windows, turned or mirrored, polarities swapped or not."""
    n = len(source.truth)
    window_ticks = source.spikes.n_ticks // n
    first = int(rng.integers(n - windows + 1))
    tick, channel, row, column = _spikes(
        source.spikes.between(first * window_ticks, (first + windows) * window_ticks)
    )
    images = {name: image[first : first + windows] for name, image in _images(source).items()}
    last = GRID.pixels - 1
    if rng.random() < 0.5:
        row, images = last - row, {name: a[..., ::-1, :] for name, a in images.items()}
    if rng.random() < 0.5:
        column, images = last - column, {name: a[..., ::-1] for name, a in images.items()}
    if rng.random() < 0.5:
        row, column = column, row
        images = {name: a.swapaxes(-1, -2) for name, a in images.items()}
    if rng.random() < 0.5:
        channel = 1 - channel
    return np.stack([tick, channel, row, column]), images, window_ticks


def whole(source: Example) -> Piece:
    """A clip as it is."""
    window_ticks = source.spikes.n_ticks // len(source.truth)
    return np.stack(_spikes(source.spikes)), _images(source), window_ticks


def make_film(pieces: Sequence[Piece]) -> tuple[Film, NDArray[np.float32]]:
    """Pieces side by side, and their truth ``(n_windows, n_pieces, 196)``."""
    spikes = np.concatenate([piece[0] for piece in pieces], axis=1)
    stream = np.repeat(np.arange(len(pieces)), [piece[0].shape[1] for piece in pieces])
    tick, channel, row, column = spikes
    meters = {
        name: np.stack([piece[1][name] for piece in pieces], axis=2).astype(np.float32)
        for name in METERS
    }
    truth = np.stack([piece[1][TRUTH] for piece in pieces], axis=1).astype(np.float32)
    n = len(truth)
    film = Film(tick, stream, channel, row, column, meters, n, len(pieces), pieces[0][2])
    return film, truth.reshape(n, len(pieces), -1)


def _images(source: Example) -> Images:
    return {**source.meters, TRUTH: source.truth}


def sums(twin: Twin, examples: Iterable[Example]) -> list[tuple[Tensor, NDArray[np.bool_]]]:
    """Whole sums at the read-out, and the truth, of each clip run from silence."""
    found = []
    with torch.no_grad():
        for e in examples:
            film, _ = make_film([whole(e)])
            values = twin(film)[0][:, 0] * twin.config.y_threshold
            found.append((values.round().int(), e.truth.reshape(len(e.truth), -1)))
    return found


def _spikes(train: SpikeTrain) -> tuple[NDArray[np.int64], ...]:
    channel, pixel = np.divmod(train.neuron.astype(np.int64), GRID.pixels**2)
    row, column = np.divmod(pixel, GRID.pixels)
    return train.tick.astype(np.int64), channel, row, column
