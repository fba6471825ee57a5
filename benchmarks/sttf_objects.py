"""STTF on seven objects moved by hand in front of a DVS128: blocks of time, cross-validated.

``python -m benchmarks.sttf_objects --blocks 5 --seed 0`` with NEUROVLM_DATA set to a folder that
holds ``events_objects/dvs128_biolab``. There is one recording of 17 to 21 s an object, cut into
blocks of time; each block is tested once by a model trained on the others, half a second on either
side of it left out. Samples last half a second. One recording an object: light, background and
hand are the same in training and test, so accuracy says little about other recordings; what is
measured is how much of the dense twin's accuracy the sparse model keeps.

Settings are those of N-MNIST on the usual grid; the number of steps was set by the time allowed,
after two blocks had been read once with 40 steps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.sttf_sets import Task, cross_validate, recipe, summary, tell
from neurovlm.events.datasets import LabelledSet, labelled_folder, windows_of
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.training.augment import Affine, DropEvents, Shift, TimeSkew, compose, mirror
from neurovlm.zoo.spec import ModelSpec

SAMPLE_S = 0.5
TRAIN_STRIDE_S = 0.1
GAP_S = 0.5
_ALTER = compose(
    Affine(max_degrees=15, max_scale=1.15, max_shear=0.1),
    Shift(8),
    TimeSkew(1.15),
    DropEvents(0.3),
)


def vary(stream: EventStream, rng: np.random.Generator) -> EventStream:
    """Mirror every second sample, for an object has no side; then move, turn and thin it out."""
    return _ALTER(mirror(stream) if rng.random() < 0.5 else stream, rng)


SPEC = ModelSpec(
    name="sttf-objects",
    window_ms=50,
    encoder=EncoderConfig(dim=48, depth=2, heads=2),
    policy=PolicyConfig(max_active=32, n_refresh=6, cut_interval=None),
    head=HeadConfig(kind="conv", channels=32, observed_dim=128, taps=(1, 2, 4)),
    decoder=DecoderConfig(dim=16, depth=1, heads=1),  # says nothing here
    labels=(
        "box",
        "computer mouse",
        "mechanical pencil",
        "mobile phone",
        "mug",
        "scissors",
        "utility knife",
    ),
)
STEPS, VARIANTS, FIRST_WINDOW = 140, 6, 6
TASK = Task(
    recipe=recipe(SPEC, STEPS, VARIANTS, FIRST_WINDOW), detector=DetectorConfig(), vary=vary
)


def blocks_of(
    recordings: LabelledSet, n: int, gap_s: float
) -> list[tuple[LabelledSet, LabelledSet]]:
    """Pairs of training and test samples: block k tests, the others train, but for the gaps.

    Test samples follow each other without overlap.
    """
    return [
        (
            windows_of(_part(recordings, k, n, gap_s, train=True), SAMPLE_S, TRAIN_STRIDE_S),
            windows_of(_part(recordings, k, n, gap_s, train=False), SAMPLE_S, SAMPLE_S),
        )
        for k in range(n)
    ]


def _part(recordings: LabelledSet, k: int, n: int, gap_s: float, *, train: bool) -> LabelledSet:
    gap_us, samples = round(gap_s * 1e6), []
    for sample in recordings.samples:
        end_us = sample.load().duration_us
        first_us, last_us = k * end_us // n, (k + 1) * end_us // n
        spans = [(0, first_us - gap_us), (last_us + gap_us, end_us)]
        samples += [
            replace(sample, t0_us=t0_us, t1_us=t1_us)
            for t0_us, t1_us in (spans if train else [(first_us, last_us)])
            if t0_us < t1_us
        ]
    name = f"{recordings.name}, {'all but ' if train else ''}block {k} of {n}"
    return replace(recordings, name=name, samples=tuple(samples))


def main(
    data: Annotated[
        Path, typer.Option(envvar="NEUROVLM_DATA", help="folder of the shared recordings")
    ],
    blocks: Annotated[int, typer.Option(min=2, help="of time, per recording")] = 5,
    only: Annotated[int | None, typer.Option(min=1, help="run this many blocks only")] = None,
    steps: Annotated[int, typer.Option(min=1, help="batches per block")] = STEPS,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="folder for models and cards")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Cross-validate over blocks of time and print a table."""
    torch.set_num_threads(1)
    task = replace(TASK, recipe=recipe(SPEC, steps, VARIANTS, FIRST_WINDOW))
    folder = data / "events_objects" / "dvs128_biolab"
    recordings = labelled_folder(folder, label_column="label_en", labels=SPEC.labels)
    pairs = blocks_of(recordings, blocks, GAP_S)[:only]
    tell("Objects", summary(cross_validate(task, pairs, seed, out)), as_json)


if __name__ == "__main__":
    typer.run(main)
