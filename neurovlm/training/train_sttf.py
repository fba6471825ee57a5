"""Train the shipped model on procedural scenes.

``python -m neurovlm.training.train_sttf --out DIR --seed 0 --minutes 18``
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

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
from neurovlm.training.refine import RefineConfig, look_at_subjects, refine
from neurovlm.zoo.load import ModelCard, load, save
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

FRAMES_EVERY_SUBJECT = 5
"""Every fifth subject of the second stage is seen with frames."""

REPORT_EVERY = 20


def make_sets(frontend: Frontend, n_subjects: int, n_with_frames: int) -> tuple[ClipSet, ClipSet]:
    """Clips without and with frames, of different training subjects."""
    last = n_subjects + n_with_frames
    return (
        make_clips(TRAIN_SEEDS[:n_subjects], frontend, with_frames=False),
        make_clips(TRAIN_SEEDS[n_subjects:last], frontend, with_frames=True),
    )


def first_stage(
    frontend: Frontend, seed: int, n_subjects: int, n_with_frames: int, config: LoopConfig
) -> tuple[SttfModel, dict[str, Any]]:
    """Train everything from scratch on whole clips; return the model and how it went."""
    start_s = processor_s()
    sets = make_sets(frontend, n_subjects, n_with_frames)
    data_s = processor_s() - start_s
    typer.echo(f"{sum(map(len, sets))} clips ready after {data_s:.0f} s of processor time")
    torch.manual_seed(seed)
    model, rng = SttfModel(TINY), np.random.default_rng(seed)
    shares = (1 - FRAME_SHARE, FRAME_SHARE)
    augmentation = Augmentation()
    last = train(model, batches(sets, shares, model.tokenizer, augmentation, rng), config, _report)
    return model, {
        "subjects": n_subjects,
        "subjects_with_frames": n_with_frames,
        "steps": last.step + 1,
        "batch_size": augmentation.batch_size,
        "processor_s": last.cpu_s,
        "processor_s_data": data_s,
        "losses": last.losses,
    }


def second_stage(
    model: SttfModel,
    frontend: Frontend,
    seed: int,
    n_subjects: int,
    workers: int,
    config: RefineConfig,
) -> dict[str, Any]:
    """Train head and decoder on what the frozen encoder sees of more subjects."""
    start_s = processor_s()
    seen = look_at_subjects(
        model,
        frontend,
        TRAIN_SEEDS[:n_subjects],
        with_frames_every=FRAMES_EVERY_SUBJECT,
        variants=1,
        workers=workers,
    )
    data_s = processor_s() - start_s
    typer.echo(f"{len(seen)} clips seen after {data_s:.0f} s of processor time")
    torch.manual_seed(seed)
    last = refine(model, seen, config, np.random.default_rng(seed), _report)
    return {
        "subjects": n_subjects,
        "epochs": config.epochs,
        "processor_s": last.cpu_s,
        "processor_s_data": data_s,
        "losses": last.losses,
    }


def processor_s() -> float:
    """Processor time of this process and of its finished children, all threads."""
    return sum(os.times()[:4])


def main(
    out: Annotated[Path, typer.Option(help="folder for the weights and their card")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    minutes: Annotated[float, typer.Option(help="processor minutes of the first stage")] = 15.0,
    steps: Annotated[int, typer.Option(min=1, help="its batches, if time allows")] = 800,
    subjects: Annotated[int, typer.Option(min=1, help="its subjects, events only")] = 90,
    frame_subjects: Annotated[int, typer.Option(min=1, help="more of them, with frames")] = 24,
    start: Annotated[
        str | None, typer.Option(help="model to take instead of the first stage")
    ] = None,
    refine_subjects: Annotated[int, typer.Option(min=1, help="of the second stage")] = 620,
    epochs: Annotated[int, typer.Option(min=1, help="of the second stage")] = 16,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    workers: Annotated[int, typer.Option(min=1, help="processes that render")] = 2,
) -> None:
    """Train the encoder with all that follows it, then head and decoder on more subjects."""
    torch.set_num_threads(threads)
    begin_s = time.monotonic()
    if start is None:
        detector = DetectorConfig()
        frontend = Frontend.build(detector, window_ms=TINY.window_ms)
        config = LoopConfig(steps=steps, max_cpu_s=60 * minutes)
        model, first = first_stage(frontend, seed, subjects, frame_subjects, config)
    else:
        model, card = load(start)
        detector, first = card.detector, card.training.get("first_stage", card.training)
        frontend = Frontend.build(detector, window_ms=card.spec.window_ms)
    second = second_stage(
        model, frontend, seed, refine_subjects, workers, RefineConfig(epochs=epochs)
    )
    training = {
        "processor_s": first["processor_s"] + second["processor_s"],
        "wall_s": time.monotonic() - begin_s,
        "threads": threads,
        "torch": torch.__version__,
        "first_stage": first,
        "second_stage": second,
    }
    typer.echo(save(model, ModelCard(model.spec, detector, seed, training), out))


def _report(progress: Progress) -> None:
    if progress.step % REPORT_EVERY == REPORT_EVERY - 1:
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in progress.losses.items())
        typer.echo(f"step {progress.step + 1}, {progress.cpu_s:.0f} s: {losses}")


if __name__ == "__main__":
    typer.run(main)
