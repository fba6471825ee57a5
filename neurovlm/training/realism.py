"""How much procedural scenes look like real recordings, according to a critic and to statistics.

``python -m neurovlm.training.realism --style natural --clips 20``

The critic is a bias-free convolutional network that Synsense trained on the real DVS128 Gesture set
(sinabs, ``examples/visualizer``). It runs here as integrate-and-fire neurons at 10 ms a step: each
neuron adds its input to its potential v and sends floor(v) spikes whenever v >= 1, which are taken
off v; v never falls below -1. The share of our clips that it names as we labelled them says how
real they are. It needs the files of ``NEUROVLM_DATA``.

The ranges of the natural scenes were set while looking at this critic and at these statistics of
seven real recordings. So neither its accuracy on the scenes nor the number of the seven that a
model names that was trained on the scenes is a blind test.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.nn import functional

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.io import read
from neurovlm.events.scenes import LABELS, TEST_SEEDS, clip_seed, render_clip, subject_from_seed
from neurovlm.events.scenes.film import changed_patches
from neurovlm.events.stream import EventStream

STEP_US = 10_000
WINDOW_US = 25_000
SIDE = 128
WEIGHTS = "weights/sinabs_dvs_gesture/dvs_gesture_params.pt"
RECORDINGS = "events_gesture/dvs128_gesture"
POOLED = (1, 2, 3, 4, 5)
"""Convolutions that are padded by 1 and followed by 2 x 2 average pooling."""


@dataclass(frozen=True, eq=False)
class Critic:
    """Weights of seven convolutions and two linear layers, in order."""

    weights: tuple[torch.Tensor, ...]

    @classmethod
    def load(cls, path: Path) -> Critic:
        """Read a state dict; raise InputFileError if it is missing or has other layers."""
        if not path.is_file():
            raise InputFileError(f"{path}: no such file; the critic needs the real data set")
        state = torch.load(path, map_location="cpu", weights_only=True)
        dims = [weight.ndim for weight in state.values()]
        if dims != [4] * 7 + [2] * 2:
            raise InputFileError(f"{path}: expected 7 convolutions and 2 linear layers, got {dims}")
        return cls(tuple(state.values()))

    @torch.no_grad()
    def spikes(self, stream: EventStream) -> NDArray[np.float32]:
        """Output spikes ``(11,)`` of a 128 x 128 stream; the largest names the gesture."""
        x = torch.from_numpy(raster(stream))
        for i, weight in enumerate(self.weights):
            if weight.ndim == 4:
                padding = 1 if i in POOLED else 0
                x = integrate_and_fire(
                    functional.conv2d(x, weight, stride=2 if i == 0 else 1, padding=padding)
                )
                x = functional.avg_pool2d(x, 2) if i in POOLED else x
            else:
                x = integrate_and_fire(functional.linear(x.flatten(1), weight))
        total: NDArray[np.float32] = x.sum(dim=0).numpy()
        return total

    def names(self, streams: Sequence[EventStream]) -> NDArray[np.int64]:
        """Label of each stream."""
        return np.array([int(self.spikes(stream).argmax()) for stream in streams])


def integrate_and_fire(current: torch.Tensor) -> torch.Tensor:
    """Spikes of integrate-and-fire neurons, one step along the first axis after the other."""
    v = torch.zeros_like(current[0])
    spikes = torch.empty_like(current)
    for k, drive in enumerate(current):
        v = v + drive
        spikes[k] = v.floor().clamp(min=0)
        v = (v - spikes[k]).clamp(min=-1)
    return spikes


def raster(stream: EventStream) -> NDArray[np.float32]:
    """Event counts ``(T, 2, 128, 128)`` of 10 ms steps, OFF then ON.

    Raises
    ------
    UsageError
        For an empty stream or another sensor.
    """
    if stream.sensor != (SIDE, SIDE) or not len(stream):
        raise UsageError(
            f"raster: needs events of a 128 x 128 sensor, got {len(stream)} of {stream.sensor}"
        )
    step = (stream.t - stream.t[0]) // STEP_US
    counts = np.zeros((int(step[-1]) + 1, 2, SIDE, SIDE), np.float32)
    np.add.at(counts, (step, stream.p.astype(np.int64), stream.y, stream.x), 1)
    return counts


@dataclass(frozen=True)
class EventStatistics:
    """What one stream looks like.

    Attributes
    ----------
    rate_khz
        Events per millisecond.
    on_share
        Share of ON events.
    patches
        Mean number of patches with three events or more in a window of 25 ms.
    quiet_share
        Events of the quietest tenth of the windows relative to the mean window.
    again_share
        Share of events less than 3 us after another of the same pixel and polarity.
    return_share
        Share of events less than 1.5 ms after one of the same pixel and the other polarity.
    """

    rate_khz: float
    on_share: float
    patches: float
    quiet_share: float
    again_share: float
    return_share: float


def statistics(stream: EventStream) -> EventStatistics:
    """Statistics of a stream that is not empty and lasts a window or more."""
    start_us, n = int(stream.t[0]), stream.duration_us // WINDOW_US
    if n < 1:
        raise UsageError(f"statistics: needs {WINDOW_US} us of events, got {stream.duration_us}")
    patches = changed_patches(stream, start_us, n, WINDOW_US).sum(axis=1)
    per_window = np.bincount((stream.t - start_us) // WINDOW_US)[:n]
    pixel = stream.y.astype(np.int64) * stream.sensor[0] + stream.x
    order = np.argsort(pixel, kind="stable")
    wait_us = np.diff(stream.t[order])
    same_pixel = np.diff(pixel[order]) == 0
    same_sign = np.diff(stream.p[order].astype(np.int8)) == 0
    return EventStatistics(
        rate_khz=1000 * len(stream) / stream.duration_us,
        on_share=float(stream.p.mean()),
        patches=float(patches.mean()),
        quiet_share=float(np.quantile(per_window, 0.1) / per_window.mean()),
        again_share=float((same_pixel & same_sign & (wait_us < 3)).sum() / len(stream)),
        return_share=float((same_pixel & ~same_sign & (wait_us < 1500)).sum() / len(stream)),
    )


def real_recordings(root: Path) -> list[tuple[int, EventStream]]:
    """Labels and events of the real gesture recordings."""
    folder = root / RECORDINGS
    if not (folder / "labels.csv").is_file():
        raise InputFileError(
            f"{folder}/labels.csv: no such file; is NEUROVLM_DATA the data folder?"
        )
    with (folder / "labels.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [(int(row["class_index"]), read(folder / row["file"])) for row in rows]


def scenes(style: str, n_subjects: int) -> list[tuple[int, EventStream]]:
    """One clip of every label of ``n_subjects`` unseen subjects."""
    return [
        (label, render_clip(label, subject, seed=seed, style=style, with_frames=False).stream)
        for subject, subject_seed in ((subject_from_seed(s), s) for s in TEST_SEEDS[:n_subjects])
        for label in range(len(LABELS))
        for seed in (clip_seed(subject_seed, label, 0),)
    ]


def main(
    style: Annotated[str, typer.Option(help="hard or natural")] = "natural",
    clips: Annotated[int, typer.Option(min=1, help="clips of each gesture")] = 20,
) -> None:
    """Print the critic's verdict on scenes and real recordings, and statistics of both."""
    root = Path(os.environ.get("NEUROVLM_DATA", ""))
    torch.set_num_threads(1)
    critic = Critic.load(root / WEIGHTS)
    real, ours = real_recordings(root), scenes(style, clips)
    for name, pairs in (("real recordings", real), (f"{style} scenes", ours)):
        labels, streams = zip(*pairs, strict=True)
        named = critic.names(streams)
        right = int((named == labels).sum())
        typer.echo(f"critic names {right} of {len(labels)} {name} ({right / len(labels):.1%})")
        if name != "real recordings":
            _echo_confusion(np.array(labels), named)
    _echo_statistics([statistics(s) for _, s in real], [statistics(s) for _, s in ours])


def _echo_confusion(labels: NDArray[np.int64], named: NDArray[np.int64]) -> None:
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (labels, named), 1)
    for label, row in zip(LABELS, confusion, strict=True):
        typer.echo(f"{label:28}" + "".join(f"{n:5}" for n in row))


def _echo_statistics(real: list[EventStatistics], ours: list[EventStatistics]) -> None:
    typer.echo(f"{'10 %, 50 %, 90 % of':28}{'real':>24}{'scenes':>24}")
    for name in vars(real[0]):
        cells = [
            "".join(
                f"{q:8.3f}" for q in np.quantile([vars(s)[name] for s in side], (0.1, 0.5, 0.9))
            )
            for side in (real, ours)
        ]
        typer.echo(f"{name:28}{cells[0]}{cells[1]}")


if __name__ == "__main__":
    typer.run(main)
