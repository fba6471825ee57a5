"""What the benchmarks on labelled recordings share: front end, fitting, reading, a table.

A sample is a short event stream that starts from silence: the front end runs on it, its first
window is a dense step, and its label is read after the last window.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.common import show
from benchmarks.sttf_runs import ratio_interval
from neurovlm.events.datasets import LabelledSet, streams
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.sttf.policy import Limits
from neurovlm.sttf.window import Steering, SttfState, encode_window
from neurovlm.training.augment import Augment
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

CHUNK = 100  # samples read side by side


@dataclass(frozen=True, eq=False)
class Samples:
    """``n`` samples of ``T`` windows, seen through the front end.

    Attributes
    ----------
    counts
        uint8 ``(n, T, 3, pixels, pixels)``.
    changed, score
        ``(n, T, N)``.
    label
        int64 ``(n,)``.
    """

    counts: Tensor
    changed: Tensor
    score: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, cut: slice) -> Samples:
        return Samples(self.counts[cut], self.changed[cut], self.score[cut], self.label[cut])


def labels_of(labelled: LabelledSet) -> NDArray[np.int64]:
    """Label of each sample."""
    return np.array([sample.label for sample in labelled.samples])


def see(
    frontend: Frontend,
    recordings: Sequence[EventStream],
    label: NDArray[np.int64],
    n_windows: int,
) -> Samples:
    """Run the front end on each stream; every sample gets ``n_windows`` windows."""
    counts, changed, score = zip(
        *(_windows(frontend, s, n_windows) for s in recordings), strict=True
    )
    return Samples(
        torch.from_numpy(np.stack(counts)),
        torch.from_numpy(np.stack(changed)),
        torch.from_numpy(np.stack(score)),
        torch.from_numpy(label),
    )


def _windows(frontend: Frontend, stream: EventStream, n_windows: int) -> tuple[Any, ...]:
    seen = frontend.run(stream)
    arrays = (seen.counts, seen.mask.changed, seen.mask.score.astype(np.uint8))
    missing = max(0, n_windows - len(seen.counts))  # the stream fell silent early
    return tuple(
        np.pad(each[:n_windows], [(0, missing)] + [(0, 0)] * (each.ndim - 1)) for each in arrays
    )


def unroll(
    model: SttfModel,
    samples: Samples,
    *,
    dense: bool,
    learn: Sequence[bool] | None = None,
    limits: Limits | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits ``(n, T, n_labels)`` after each window, and tokens computed ``(n, T)``.

    Nothing is learned through what was remembered, and the encoder learns in the windows
    ``learn`` only; the head learns in all.
    """
    state: SttfState | None = None
    observed, tokens = [], []
    for window in range(samples.counts.shape[1]):
        learns = torch.is_grad_enabled() and (learn is None or learn[window])
        before = None if state is None else SttfState(state.memory.detach(), state.policy)
        with torch.set_grad_enabled(learns):
            encoded = encode_window(
                model.encoder,
                model.spec.policy,
                (samples.counts[:, window], None),
                samples.changed[:, window],
                samples.score[:, window],
                before,
                dense=dense,
                steering=Steering(limits=limits),
            )
        state = encoded.state
        observed.append(model.head.observe(state, samples.score[:, window]))
        tokens.append(encoded.n_active)
    hidden, _ = model.head.advance(torch.stack(observed, 1), model.head.initial(len(samples)))
    return model.head.label(hidden), torch.stack(tokens, 1)


@dataclass(frozen=True)
class Recipe:
    """How to fit.

    Attributes
    ----------
    steps, batch_size
        Batches, and samples in each.
    learning_rate, weight_decay
        AdamW, warm-up over a twentieth of the steps, cosine to 0.
    smoothing, average
        Label smoothing; decay of the moving average of the weights, which is what is kept.
    dense_share
        Share of batches in which every window is a dense step, so that the dense twin learns too.
    learn_share
        Share of the windows in which the encoder learns; always in the last.
    first
        The label counts from this share of the windows on.
    """

    steps: int
    batch_size: int = 50
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.1
    average: float = 0.99
    dense_share: float = 0.25
    learn_share: float = 0.5
    first: float = 0.6


def fit(
    model: SttfModel,
    frontend: Frontend,
    training: LabelledSet,
    n_windows: int,
    recipe: Recipe,
    vary: Augment,
    rng: np.random.Generator,
) -> None:
    """Train ``model`` in place; each time it is drawn a sample varies before the front end."""
    r = recipe
    recordings, label = list(streams(training.samples)), labels_of(training)
    optimizer = torch.optim.AdamW(
        model.parameters(), r.learning_rate, (0.9, 0.98), weight_decay=r.weight_decay
    )
    schedule = OneCycleLR(optimizer, r.learning_rate, r.steps, pct_start=0.05, cycle_momentum=False)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(r.average))
    cap = model.spec.policy.max_active
    first = int(r.first * n_windows)
    left: list[int] = []
    model.train()
    for _ in range(r.steps):
        while len(left) < r.batch_size:
            left += rng.permutation(len(label)).tolist()
        chosen, left = left[: r.batch_size], left[r.batch_size :]
        varied = [vary(recordings[i], rng) for i in chosen]
        batch = see(frontend, varied, label[chosen], n_windows)
        caps = torch.from_numpy(rng.integers(cap // 2, cap, r.batch_size, endpoint=True))
        refresh = torch.full((r.batch_size,), model.spec.policy.n_refresh)
        learn = [*(rng.random(n_windows - 1) < r.learn_share).tolist(), True]
        with torch.autocast("cpu", torch.bfloat16):
            logits, _ = unroll(
                model,
                batch,
                dense=rng.random() < r.dense_share,
                learn=learn,
                limits=Limits(caps, refresh),
            )
            logits = logits[:, first:]
            truth = batch.label[:, None].expand(logits.shape[:2])
            loss = functional.cross_entropy(
                logits.flatten(0, 1), truth.flatten(), label_smoothing=r.smoothing
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
    model.load_state_dict(average.module.state_dict())
    model.eval()


@dataclass(frozen=True, eq=False)
class Outcome:
    """A model over ``n`` samples: label right after the last window, mean tokens a window."""

    right: NDArray[np.bool_]
    tokens: NDArray[np.float64]


@torch.no_grad()
def outcome(model: SttfModel, samples: Samples, *, dense: bool) -> Outcome:
    """Run all samples, sparse or as the dense twin."""
    right, tokens = [], []
    for first in range(0, len(samples), CHUNK):
        part = samples[first : first + CHUNK]
        logits, n_active = unroll(model, part, dense=dense)
        right.append((logits[:, -1].argmax(-1) == part.label).numpy())
        tokens.append(n_active.double().mean(1).numpy())
    return Outcome(np.concatenate(right), np.concatenate(tokens))


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
    spec, detector, n_windows
        The model, the constants of the change detector, windows of a sample.
    recipe, vary
        How it is fitted, and how training samples vary.
    """

    spec: ModelSpec
    detector: DetectorConfig
    n_windows: int
    recipe: Recipe
    vary: Augment

    def run(
        self, training: LabelledSet, test: LabelledSet, seed: int, out: Path | None = None
    ) -> FoldResult:
        """Fit to ``training`` from scratch, score ``test`` once; keep the model in ``out``."""
        frontend = Frontend.build(
            self.detector, grid=self.spec.encoder.grid, window_ms=self.spec.window_ms
        )
        torch.manual_seed(seed)
        model, rng = SttfModel(self.spec), np.random.default_rng(seed)
        start_s = time.process_time()
        fit(model, frontend, training, self.n_windows, self.recipe, self.vary, rng)
        spent_s = time.process_time() - start_s
        seen = see(frontend, list(streams(test.samples)), labels_of(test), self.n_windows)
        result = FoldResult(
            outcome(model, seen, dense=False), outcome(model, seen, dense=True), spent_s
        )
        if out is not None:
            training_card = {"data": training.name, "processor_s": spent_s, **asdict(self.recipe)}
            scores = {
                "data": test.name,
                "accuracy": float(result.sparse.right.mean()),
                "dense_accuracy": float(result.dense.right.mean()),
            }
            save(model, ModelCard(self.spec, self.detector, seed, training_card, scores), out)
        return result


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
