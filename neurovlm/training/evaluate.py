"""What a model is worth: scores on people it never saw, beside controls and its dense twin.

``neurovlm evaluate MODEL`` prints and writes them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.io import open_recording
from neurovlm.events.scenes.motion import MOTIONS
from neurovlm.events.scenes.subject import TEST_SEEDS, TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.pipeline import Pipeline
from neurovlm.training.clips import HARD, NATURAL, make_clips
from neurovlm.training.controls import (
    COUNT_LIMIT,
    IMAGE_LIMIT,
    SHUFFLE_LIMIT,
    LinearControl,
    count_features,
    image_features,
)
from neurovlm.training.data import ClipSet
from neurovlm.training.read import Reading, box_precision, read, slots_right
from neurovlm.zoo.load import ModelCard
from neurovlm.zoo.model import SttfModel

STYLES = {"hard": HARD, "natural": NATURAL}
FIRST_SCORED = 9000
"""Test subjects before this one were looked at while models were made."""
RESAMPLES = 2000

TARGETS = {
    "hard.dense_accuracy": ("at least", 0.95),
    "hard.retention": ("at least", 0.99),
    "hard.train_test_gap": ("at most", 0.03),
    "hard.caption_slots": ("at least", 0.90),
    "hard.box_retention": ("at least", 0.97),
    "hard.control_counts": ("below", COUNT_LIMIT),
    "hard.control_image": ("below", IMAGE_LIMIT),
    "hard.control_shuffled": ("below", SHUFFLE_LIMIT),
    "natural.retention": ("at least", 0.99),
    "natural.box_retention": ("at least", 0.97),
    "active.gesture.mean": ("at most", 31.0),
    "active.static.mean": ("at most", 6.0),
}


def retention(
    sparse: NDArray[np.bool_], dense: NDArray[np.bool_], seed: int = 0
) -> tuple[float, float, float]:
    """Accuracy of ``sparse`` over that of ``dense`` and its 95 % interval.

    The bootstrap draws clips, each with both of its results (paired); draws in which the dense
    twin names nothing have no ratio and are left out.

    Raises
    ------
    UsageError
        When the dense twin names no clip at all.
    """
    if not dense.any():
        raise UsageError("retention: the dense twin names no clip right; nothing to retain")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(sparse), size=(RESAMPLES, len(sparse)))
    chosen = chosen[dense[chosen].any(1)]
    ratios = sparse[chosen].mean(1) / dense[chosen].mean(1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(sparse.mean() / dense.mean()), float(low), float(high)


def confusion(reading: Reading, n_labels: int) -> NDArray[np.float64]:
    """Share of each true label's clips that were given each label, ``(true, given)``.

    A label without clips has a row of NaN.
    """
    table = np.zeros((n_labels, n_labels))
    known = reading.label >= 0
    np.add.at(table, (reading.label[known], reading.given[known]), 1)
    total = table.sum(1, keepdims=True)
    return np.divide(table, total, out=np.full_like(table, np.nan), where=total > 0)


def test_subjects(n: int) -> Sequence[int]:
    """Subjects that are scored."""
    return TEST_SEEDS[FIRST_SCORED : FIRST_SCORED + n]


def compare(model: SttfModel, clips: ClipSet) -> tuple[dict[str, float], Reading, Reading]:
    """Scores of a model and of its dense twin on the same clips, and what both read."""
    sparse, dense = read(model, clips), read(model, clips, dense=True)
    ratio, low, high = retention(sparse.right, dense.right)
    scores = {
        "accuracy": sparse.accuracy,
        "dense_accuracy": dense.accuracy,
        "retention": ratio,
        "retention_low": low,
        "retention_high": high,
        "mean_active": float(sparse.n_active.mean()),
    }
    if any(clips.slots):
        slots = slots_right(sparse, clips)
        scores |= {"caption_slots": slots.accuracy, "caption_exact": slots.exact}
    if sparse.found:
        boxes = box_precision(sparse, clips), box_precision(dense, clips)
        scores |= {"box_map50": boxes[0], "dense_box_map50": boxes[1]}
        if boxes[1]:  # of nothing, nothing can be retained
            scores["box_retention"] = boxes[0] / boxes[1]
    return scores, sparse, dense


class _Features(NamedTuple):
    """What the linear controls read of clips, see `neurovlm.training.controls`."""

    control_counts: NDArray[np.float64]
    control_image: NDArray[np.float64]

    @classmethod
    def of(cls, clips: ClipSet) -> _Features:
        return cls(count_features(clips), image_features(clips))


@dataclass(frozen=True, eq=False)
class _Scored:
    """One style in one performance of the test subjects.

    Attributes
    ----------
    scores
        By name.
    right
        bool ``(2, n)``, whether the label is right, of the sparse model and of its dense twin.
    table
        Confusion of the sparse model.
    label, features
        What the linear controls read, in hard scenes.
    """

    scores: dict[str, float]
    right: NDArray[np.bool_]
    table: NDArray[np.float64]
    label: NDArray[np.int64]
    features: _Features | None


def _score_style(
    model: SttfModel, card: ModelCard, n_subjects: int, task: tuple[str, int]
) -> _Scored:
    """Sparse beside dense, and with the masks of an oracle; hard scenes shuffled too."""
    style, seed = task
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    clips = make_clips(
        test_subjects(n_subjects),
        frontend,
        with_frames=False,
        repetition=seed,
        mixture=STYLES[style],
    )
    scores, sparse, dense = compare(model, clips)
    assert clips.truth is not None
    oracle = replace(clips, changed=clips.truth, score=np.maximum(clips.score, clips.truth))
    scores["accuracy_oracle_masks"] = read(model, oracle).accuracy
    features = None
    if style == "hard":
        shuffled = read(model, clips, shuffle=np.random.default_rng(seed))
        scores["control_shuffled"] = shuffled.accuracy
        features = _Features.of(clips)
    right = np.stack([sparse.right, dense.right])
    table = confusion(sparse, len(card.spec.labels))
    return _Scored(scores, right, table, clips.label, features)


def _linear_controls(card: ModelCard, n_train: int) -> tuple[LinearControl, LinearControl]:
    """Linear classifiers on the features of subjects trained on, hard scenes."""
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    train = make_clips(TRAIN_SEEDS[:n_train], frontend, with_frames=False)
    on_counts, on_images = (LinearControl.fit(each, train.label) for each in _Features.of(train))
    return on_counts, on_images


def _with_controls(
    scored: _Scored, controls: tuple[LinearControl, LinearControl]
) -> dict[str, float]:
    if scored.features is None:
        return scored.scores
    named = zip(_Features._fields, controls, scored.features, strict=True)
    return scored.scores | {
        name: control.accuracy(features, scored.label) for name, control, features in named
    }


def _trained_accuracy(model: SttfModel, card: ModelCard, n_subjects: int, style: str) -> float:
    """Accuracy on subjects the model was trained on, as many as were scored."""
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    subjects = TRAIN_SEEDS[:n_subjects]
    clips = make_clips(subjects, frontend, with_frames=False, mixture=STYLES[style])
    return read(model, clips).accuracy


def _active_by_motion(
    model: SttfModel, card: ModelCard, n_subjects: int, style: str
) -> dict[str, dict[str, float]]:
    """Tokens computed per window at each motion level, first window and refreshes included."""
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    subjects, mixture, table = test_subjects(n_subjects), STYLES[style], {}
    for motion in MOTIONS:
        clips = make_clips(subjects, frontend, with_frames=False, mixture=mixture, motion=motion)
        n_active = read(model, clips).n_active
        table[motion] = {
            "mean": float(n_active.mean()),
            "mean_after_first": float(n_active[:, 1:].mean()),
            "p95": float(np.quantile(n_active, 0.95)),
        }
    return table


def evaluate(
    model: SttfModel,
    card: ModelCard,
    *,
    seeds: int = 3,
    n_subjects: int = 20,
    n_linear: int = 40,
    n_motion: int = 4,
    workers: int = 1,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """All scores on procedural subjects, and the confusion tables of both styles.

    Seeds are other performances and other noise of the same subjects.

    Parameters
    ----------
    workers
        Processes that share the work, one thread each.
    report
        Told how many of how many parts are done.

    Returns
    -------
    scores
        Nested by style; numbers are means over the seeds, of what is retained over all their
        clips; ``by_seed`` holds each.
    tables
        Confusion of the sparse model by style, over all seeds.
    """
    tasks = [(style, seed) for style in STYLES for seed in range(seeds)]
    calls: list[Callable[[], Any]] = [
        partial(_linear_controls, card, n_linear),
        *(partial(_score_style, model, card, n_subjects, task) for task in tasks),
        *(partial(_trained_accuracy, model, card, n_subjects, style) for style in STYLES),
        *(partial(_active_by_motion, model, card, n_motion, style) for style in STYLES),
    ]
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        running = [pool.submit(call) for call in calls]
        for done, _ in enumerate(as_completed(running), 1):
            report(done, len(running))
    found = iter([each.result() for each in running])
    controls = next(found)
    runs = {task: next(found) for task in tasks}
    scores: dict[str, Any] = {"test_subjects": n_subjects, "seeds": seeds}
    tables = {}
    for style in STYLES:
        mine = [runs[style, seed] for seed in range(seeds)]
        by_seed = [_with_controls(each, controls) for each in mine]
        means = {name: float(np.mean([one[name] for one in by_seed])) for name in by_seed[0]}
        kept = retention(*np.concatenate([each.right for each in mine], axis=1))
        means["retention"], means["retention_low"], means["retention_high"] = kept
        means["train_accuracy"] = next(found)
        means["train_test_gap"] = means["train_accuracy"] - means["accuracy"]
        scores[style] = {**means, "by_seed": by_seed}
        tables[style] = np.mean([each.table for each in mine], axis=0)
    scores["active"], scores["active_natural"] = next(found), next(found)
    return scores, tables


def flat(scores: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of nested scores by dotted name; what belongs to single seeds is left out."""
    rows: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            rows |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            rows[prefix + name] = value
    return rows


def read_history(model_file: Path) -> list[dict[str, Any]]:
    """Looks of the training beside a model's file, in order; empty where there is no history."""
    path = model_file.with_suffix(".history.jsonl")
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def name_recordings(pipeline: Pipeline, folder: Path) -> list[dict[str, Any]]:
    """True and given label of each recording of a folder with a ``labels.csv``, after its end."""
    rows = []
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    for row in listed:
        result = pipeline.run(open_recording(folder / row["file"]))
        last = result.predictions[-1]
        rows.append(
            {
                "file": row["file"],
                "true": row["class_name"],
                "given": last.label,
                "confidence": last.confidence,
                "caption": last.caption,
            }
        )
    return rows
