"""What the benchmarks on labelled recordings share: fit to a fold, read it, tell.

A sample is a short event stream that starts from silence: the front end runs on it, its first
window is a dense step, and its label is read after its last window. Models are fitted by
`neurovlm.training.run.train`, as ``neurovlm train`` does, with a recipe of their own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.common import show
from benchmarks.sttf_runs import ratio_interval
from neurovlm.events.datasets import LabelledSet
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.augment import Augment
from neurovlm.training.batch import Augmentation
from neurovlm.training.clips import labelled_clips
from neurovlm.training.data import ClipSet
from neurovlm.training.read import Reading, read
from neurovlm.training.recipe import Recipe, RunConfig, Stage
from neurovlm.training.run import train
from neurovlm.training.sources import TrainingData
from neurovlm.zoo.load import card_path, load, write_card
from neurovlm.zoo.spec import ModelSpec

LOOKED_AT = 50
"""Training samples that the run is told the accuracy of; nothing is chosen by it."""


def recipe(spec: ModelSpec, steps: int, variants: int, first_window: int) -> Recipe:
    """How both sets are fitted: 50 samples a batch, caps from half of the policy's to all of it."""
    cap, refresh = spec.policy.max_active, spec.policy.n_refresh
    stage = Stage(
        steps=steps,
        first_window=first_window,
        learn_share=0.5,
        dense_share=0.25,
        part_dense_share=0.0,
        caption_weight=0.0,
        bfloat16=True,
        check_every=steps,
        augmentation=Augmentation(
            batch_size=50,
            n_windows=None,
            max_active=(cap // 2, cap),
            n_refresh=(refresh, refresh),
            max_shift=0,
            drop=0.0,
            contrast=0.0,
            flip=None,
        ),
    )
    return Recipe(spec=spec, stages=(stage,), variants=variants)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A model over ``n`` samples: label right after the last window, mean tokens a window."""

    right: NDArray[np.bool_]
    tokens: NDArray[np.float64]

    @classmethod
    def of(cls, reading: Reading, clips: ClipSet) -> Outcome:
        """Tokens count in a sample's own windows only."""
        counts = np.arange(clips.n_windows) < clips.lengths[:, None]
        return cls(reading.right, (reading.n_active * counts).sum(1) / clips.lengths)


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What one fold gave; ``processor_s`` is the time its fit took."""

    sparse: Outcome
    dense: Outcome
    processor_s: float


@dataclass(frozen=True)
class Task:
    """What is fitted to each fold, and how.

    Attributes
    ----------
    recipe, detector
        The model and how it is fitted, and the constants of the change detector.
    vary
        How training samples vary, `Recipe.variants` times each.
    """

    recipe: Recipe
    detector: DetectorConfig
    vary: Augment

    def run(
        self, training: LabelledSet, test: LabelledSet, seed: int, out: Path | None = None
    ) -> FoldResult:
        """Fit to ``training`` from scratch, score ``test`` once; keep the model in ``out``."""
        spec = self.recipe.spec
        frontend = Frontend.build(self.detector, grid=spec.encoder.grid, window_ms=spec.window_ms)
        clips = labelled_clips(
            training, frontend, seed=seed, variants=self.recipe.variants, vary=self.vary
        )
        data = TrainingData((clips,), clips[:LOOKED_AT])
        with tempfile.TemporaryDirectory() as folder:
            path = train(
                self.recipe, data, self.detector, RunConfig(out or Path(folder), seed=seed)
            )
            model, card = load(path)
        tested = labelled_clips(test, frontend)
        sparse, dense = read(model, tested), read(model, tested, dense=True)
        if out is not None:
            scores = {"accuracy": sparse.accuracy, "dense_accuracy": dense.accuracy}
            write_card(replace(card, scores=scores), card_path(path))
        return FoldResult(
            Outcome.of(sparse, tested), Outcome.of(dense, tested), card.training["processor_s"]
        )


def cross_validate(
    task: Task,
    pairs: Sequence[tuple[LabelledSet, LabelledSet]],
    seed: int,
    out: Path | None = None,
) -> list[FoldResult]:
    """Run every ``(training, test)`` pair; fold k is seeded with ``seed + k``."""
    results = []
    for k, (training, test) in enumerate(pairs):
        results.append(task.run(training, test, seed + k, None if out is None else out / str(k)))
        sparse, dense = (
            100 * part.right.mean() for part in (results[-1].sparse, results[-1].dense)
        )
        typer.echo(f"fold {k}: dense {dense:.1f} %, STTF {sparse:.1f} %", err=True)
    return results


def summary(folds: Sequence[FoldResult]) -> dict[str, Any]:
    """Rows of the folds and figures over all of them.

    Retention is sparse accuracy over dense accuracy of the same weights, all test samples pooled;
    its interval is a paired bootstrap over samples.
    """
    rows = [
        {
            "fold": str(k),
            "samples": len(fold.sparse.right),
            "dense_%": 100 * float(fold.dense.right.mean()),
            "sttf_%": 100 * float(fold.sparse.right.mean()),
            "tokens": float(fold.sparse.tokens.mean()),
            "processor_s": fold.processor_s,
        }
        for k, fold in enumerate(folds)
    ]
    sparse, dense = (
        np.concatenate([getattr(fold, name).right for fold in folds])
        for name in ("sparse", "dense")
    )
    means = {name: np.array([row[name] for row in rows]) for name in ("dense_%", "sttf_%")}
    retention, low, high = ratio_interval(sparse, dense)
    tokens = np.concatenate([fold.sparse.tokens for fold in folds])
    return {
        "folds": rows,
        "dense_%": {"mean": means["dense_%"].mean(), "sd": means["dense_%"].std(ddof=1)},
        "sttf_%": {"mean": means["sttf_%"].mean(), "sd": means["sttf_%"].std(ddof=1)},
        "retention_%": {"value": 100 * retention, "low": 100 * low, "high": 100 * high},
        "tokens": {"mean": tokens.mean(), "p95": np.quantile(tokens, 0.95)},
    }


def tell(title: str, result: dict[str, Any], as_json: bool) -> None:
    """Print a summary as JSON or as a table."""
    console = Console()
    if as_json:
        console.print_json(json.dumps(result))
        return
    show(title, result["folds"], console)
    for name in ("dense_%", "sttf_%"):
        console.print(f"{name:12} {result[name]['mean']:.2f}, sd {result[name]['sd']:.2f} of folds")
    kept = result["retention_%"]
    console.print(
        f"retention_%  {kept['value']:.2f}, 95 % interval {kept['low']:.2f} to {kept['high']:.2f}"
    )
    tokens = result["tokens"]
    console.print(
        f"tokens       {tokens['mean']:.1f} of 196 a window, first dense step included; "
        f"95 % of the samples below {tokens['p95']:.1f}"
    )
