"""Train the learned change detector, or search constants of the one set by hand.

    python -m neurovlm.training.train_detector --out DIR [--seed 0]
    python -m neurovlm.training.train_detector --out DIR --hand

Writes ``learned-detector.npz`` with its card, or ``hand-detector.json``. Subjects come from
TRAIN_SEEDS only: some to train on, others to choose the operating point.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import TRAIN_SEEDS
from neurovlm.events.scenes.film import Clip
from neurovlm.frontend.learned import LearnedConstants, save_constants
from neurovlm.training.detector_clips import procedural_clips, training_noise
from neurovlm.training.detector_fit import Example, FitConfig, example, fit, sums
from neurovlm.training.detector_scores import MaskScore, score_mask
from neurovlm.training.detector_search import search
from neurovlm.training.detector_twin import Twin

MAX_RATIO = 1.3
"""Patches that may be declared for each that changed."""
NOISE_LEVELS_HZ = (0.0, 0.5, 1.0, 2.0, 5.0)
CHOICE = slice(2000, 2040)
"""TRAIN_SEEDS of the subjects that decide the operating point; none of them is trained on."""
SEARCH = slice(5000, 5040)
"""TRAIN_SEEDS of the subjects that the search for constants sees."""


def level_clips(seeds: Sequence[int]) -> list[Clip]:
    """One clip per subject, the noise levels in turn."""
    levels = [NOISE_LEVELS_HZ[k % len(NOISE_LEVELS_HZ)] for k in range(len(seeds))]
    return list(procedural_clips(seeds, levels))


def curve(
    values: Sequence[tuple[torch.Tensor, NDArray[np.bool_]]], thresholds: Sequence[int]
) -> list[MaskScore]:
    """Score of all clips together at each threshold of the read-out."""
    scores = []
    for threshold in thresholds:
        total = MaskScore()
        for value, truth in values:
            total += score_mask((value > threshold).numpy(), truth)
        scores.append(total)
    return scores


def choose(twin: Twin, examples: Sequence[Example]) -> tuple[int, list[dict[str, float]]]:
    """Lowest threshold that stays within `MAX_RATIO`, and the curve it was chosen from.

    Raises
    ------
    UsageError
        When no threshold does.
    """
    thresholds = range(4 * twin.config.y_threshold)
    scores = curve(sums(twin, examples), thresholds)
    rows = [
        {"readout_threshold": t, "recall": round(s.recall, 4), "ratio": round(s.ratio, 4)}
        for t, s in zip(thresholds, scores, strict=True)
    ]
    within = [row for row in rows if row["ratio"] <= MAX_RATIO]
    if not within:
        raise UsageError(f"choose: no threshold declares less than {MAX_RATIO} per changed patch")
    best = int(within[0]["readout_threshold"])
    return best, [row for row in rows if abs(row["readout_threshold"] - best) <= 30]


def train(out: Path, config: FitConfig, n_clips: int) -> LearnedConstants:
    """Train, choose the operating point, write both files into ``out``."""
    start = time.monotonic()
    seeds = TRAIN_SEEDS[:n_clips]
    clips = procedural_clips(seeds, training_noise(n_clips, config.seed))
    examples = [example(clip) for clip in clips]
    typer.echo(f"{n_clips} clips rendered, {time.monotonic() - start:.0f} s")
    twin = fit(examples, config, typer.echo)
    held_out = [example(clip) for clip in level_clips(TRAIN_SEEDS[CHOICE])]
    threshold, points = choose(twin, held_out)
    constants = twin.constants(threshold)
    card = {
        "seed": config.seed,
        "training": {
            **asdict(config),
            "clips": n_clips,
            "subjects": f"TRAIN_SEEDS[0:{n_clips}]",
            "noise": "one clip in eight 0 Hz per pixel, the others log-uniform from 0.1 to 5 Hz",
            "minutes": round((time.monotonic() - start) / 60, 1),
            "command": f"python -m neurovlm.training.train_detector --out DIR --seed {config.seed}",
        },
        "operating_points": {
            "subjects": f"TRAIN_SEEDS[{CHOICE.start}:{CHOICE.stop}], noise {NOISE_LEVELS_HZ} Hz",
            "curve": points,
        },
    }
    save_constants(constants, card, out / "learned-detector.npz")
    return constants


def tune(out: Path, trials: int, seed: int) -> None:
    """Search constants of the detector set by hand and write them as JSON."""
    best, score = search(level_clips(TRAIN_SEEDS[SEARCH]), trials, seed, typer.echo)
    out.mkdir(parents=True, exist_ok=True)
    whole = {"seed": seed, "trials": trials, "scores": score, "detector": asdict(best)}
    (out / "hand-detector.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def main(
    out: Annotated[Path, typer.Option(help="folder for the constants")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    steps: Annotated[int, typer.Option(min=1, help="training steps")] = FitConfig.steps,
    clips: Annotated[int, typer.Option(min=1, help="training clips")] = 480,
    hand: Annotated[bool, typer.Option("--hand", help="search the hand-set constants")] = False,
    trials: Annotated[int, typer.Option(min=1, help="trials of that search")] = 400,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Train the learned detector on procedural scenes."""
    torch.set_num_threads(threads)
    if hand:
        tune(out, trials, seed)
        return
    constants = train(out, FitConfig(steps=steps, seed=seed), clips)
    typer.echo(f"read-out threshold {constants.config.readout_threshold}; written to {out}")


if __name__ == "__main__":
    typer.run(main)
