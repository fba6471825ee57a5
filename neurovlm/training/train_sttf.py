"""Train the shipped model on procedural scenes.

``python -m neurovlm.training.train_sttf --out DIR --seed 0 --minutes 18``
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from neurovlm.events.scenes.subject import TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.training.data import Augmentation, ClipSet, batches, make_clips
from neurovlm.training.loop import LoopConfig, Progress, train
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

TINY = ModelSpec(
    name="sttf-tiny",
    encoder=EncoderConfig(dim=64, depth=2, heads=2),
    decoder=DecoderConfig(dim=64, depth=2, heads=4),
)
"""The smallest model that was seen to reach the targets in the time allowed."""

FRAME_SHARE = 0.25
"""Share of batches with frames; most recordings have none."""

REPORT_EVERY = 20


def make_sets(frontend: Frontend, n_subjects: int, n_with_frames: int) -> tuple[ClipSet, ClipSet]:
    """Clips without and with frames, of different training subjects."""
    last = n_subjects + n_with_frames
    return (
        make_clips(TRAIN_SEEDS[:n_subjects], frontend, with_frames=False),
        make_clips(TRAIN_SEEDS[n_subjects:last], frontend, with_frames=True),
    )


def main(
    out: Annotated[Path, typer.Option(help="folder for the weights and their card")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    minutes: Annotated[float, typer.Option(help="processor minutes of training")] = 18.0,
    steps: Annotated[int, typer.Option(min=1, help="batches, if time allows")] = 1350,
    subjects: Annotated[int, typer.Option(min=1, help="training subjects, events only")] = 190,
    frame_subjects: Annotated[int, typer.Option(min=1, help="more of them, with frames")] = 32,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Render training data, train, and write weights and card."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    detector = DetectorConfig()
    frontend = Frontend.build(detector, window_ms=TINY.window_ms)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    sets = make_sets(frontend, subjects, frame_subjects)
    data_cpu_s = time.process_time() - start_cpu_s
    typer.echo(f"{sum(map(len, sets))} clips ready after {data_cpu_s:.0f} s of processor time")

    model = SttfModel(TINY)
    config = LoopConfig(steps=steps, max_cpu_s=60 * minutes)
    augmentation = Augmentation()
    source = batches(
        sets,
        (1 - FRAME_SHARE, FRAME_SHARE),
        model.tokenizer,
        augmentation,
        np.random.default_rng(seed),
    )
    last = train(model, source, config, _report)
    training = {
        "subjects": subjects,
        "subjects_with_frames": frame_subjects,
        "clips": sum(map(len, sets)),
        "steps": last.step + 1,
        "batch_size": augmentation.batch_size,
        "processor_s": last.cpu_s,
        "processor_s_data": data_cpu_s,
        "wall_s": time.monotonic() - start_s,
        "threads": threads,
        "torch": torch.__version__,
        "losses": last.losses,
    }
    typer.echo(save(model, ModelCard(TINY, detector, seed, training), out))


def _report(progress: Progress) -> None:
    if progress.step % REPORT_EVERY == REPORT_EVERY - 1:
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in progress.losses.items())
        typer.echo(f"step {progress.step + 1}, {progress.cpu_s:.0f} s: {losses}")


if __name__ == "__main__":
    typer.run(main)
