"""Thresholds chosen by a policy against the best fixed one, on accuracy over MACs.

    python -m benchmarks.sttf_policy [--seeds 3] [--subjects 20] [--steps 400] [--json FILE]

Behind the frozen model a policy is fitted on training subjects, once per seed. Fixed thresholds are
swept over the same test clips of subjects never seen. At each of three budgets the policy's
accuracy stands beside the best that any fixed threshold reaches with as many MACs or fewer, and
beside the curve of the fixed ones at the policy's own MACs (linear between neighbours). Accuracy
is that of every window from 0.4 s on: what a gate saves, it saves before the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.common import machine, show
from benchmarks.sttf_clips import batches_of_subjects
from benchmarks.sttf_runs import Outcome, difference_interval, run
from neurovlm.events.scenes import TEST_SEEDS, TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.batch import Batch
from neurovlm.training.clips import make_clips
from neurovlm.training.recipe import RECIPES, Recipe, RunConfig
from neurovlm.training.run import train
from neurovlm.training.sources import TrainingData
from neurovlm.training.thresholds import with_fixed_threshold
from neurovlm.zoo.load import load
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

FIRST_TRAINING, FIRST_TEST = 5000, 4000
"""Subjects from here on, which nothing else was trained on or chosen by."""
TAUS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
BUDGETS = (0.0, 0.3, 0.6)


@dataclass(frozen=True)
class Fixed:
    """A fixed threshold and what it gave."""

    tau: float
    outcome: Outcome


def fixed_curve(model: SttfModel, batches: Sequence[Batch]) -> list[Fixed]:
    """Fixed thresholds, cheapest first."""
    curve = [Fixed(tau, run(with_fixed_threshold(model, tau), batches)) for tau in TAUS]
    return sorted(curve, key=lambda each: each.outcome.macs)


def at_cost(curve: Sequence[Fixed], macs: float) -> tuple[np.ndarray[Any, Any], float]:
    """Accuracy of each clip on the fixed curve at ``macs``, and of the best one not dearer."""
    costs = [each.outcome.macs for each in curve]
    above = min(int(np.searchsorted(costs, macs)), len(curve) - 1)
    below = max(above - 1, 0)
    span = costs[above] - costs[below]
    share = np.clip((macs - costs[below]) / span, 0, 1) if span else 0.0
    low, high = curve[below].outcome.any_time, curve[above].outcome.any_time
    cheaper = [each.outcome.any_time.mean() for each in curve if each.outcome.macs <= macs]
    return low + share * (high - low), max(cheaper, default=float("nan"))


def gated(spec: ModelSpec, steps: int) -> Recipe:
    """Recipe ``gated`` for a model of any shape."""
    recipe = RECIPES["gated"]
    spec = dataclasses.replace(
        spec,
        encoder=dataclasses.replace(spec.encoder, gate_tau=recipe.spec.encoder.gate_tau),
        thresholds=recipe.spec.thresholds,
    )
    stage = dataclasses.replace(recipe.stages[0], steps=steps)
    return dataclasses.replace(recipe, spec=spec, stages=(stage,))


def fitted(
    model: SttfModel, data: TrainingData, detector: DetectorConfig, seed: int, steps: int
) -> SttfModel:
    """The same weights with a policy, as ``neurovlm train --recipe gated --start`` fits it."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(Path(folder), seed)
        path = train(gated(model.spec, steps), data, detector, config, start=model)
        return load(str(path))[0]


def compare(
    model: SttfModel, steered: SttfModel, test: Sequence[Batch], seed: int
) -> list[dict[str, Any]]:
    """One row per budget for one seed of the fit."""
    curve = fixed_curve(model, test)
    rows = []
    for budget in BUDGETS:
        ours = run(steered, test, budget)
        theirs, best = at_cost(curve, ours.macs)
        gain, low, high = difference_interval(ours.any_time, theirs)
        rows.append(
            {
                "seed": seed,
                "budget": budget,
                "MACs saved": ours.saving,
                "policy": float(ours.any_time.mean()),
                "fixed, same MACs": float(theirs.mean()),
                "best fixed, no dearer": best,
                "gain": gain,
                "95% from": low,
                "to": high,
                "policy, last window": float(ours.right.mean()),
            }
        )
    return rows


def main() -> None:
    """Fit, sweep and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--training-subjects", type=int, default=32)
    parser.add_argument("--steps", type=int, default=RECIPES["gated"].stages[0].steps)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, card = load(options.model)
    first, last = FIRST_TRAINING, FIRST_TRAINING + options.training_subjects
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    clips = make_clips(TRAIN_SEEDS[first:last], frontend, with_frames=False)
    held_out = make_clips(TRAIN_SEEDS[last : last + 3], frontend, with_frames=False)
    data = TrainingData((clips,), held_out)
    subjects = TEST_SEEDS[FIRST_TEST : FIRST_TEST + options.subjects]
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        test = batches_of_subjects(model, card.detector, subjects, repetition=seed)
        steered = fitted(model, data, card.detector, seed, options.steps)
        rows += compare(model, steered, test, seed)
    console = Console()
    show("Threshold policy against fixed thresholds, accuracy of all windows", rows, console)
    for budget in BUDGETS:
        gains = [row["gain"] for row in rows if row["budget"] == budget]
        console.print(
            f"budget {budget}: mean gain {np.mean(gains):+.2%} over {len(gains)} seeds "
            f"({min(gains):+.2%} to {max(gains):+.2%})"
        )
    if options.json:
        found = {"machine": machine(["torch"]), "rows": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
