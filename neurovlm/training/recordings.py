"""Training data from labelled recordings, by the name of the set and where it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from neurovlm.core.errors import UsageError
from neurovlm.events.datasets import (
    LabelledSet,
    dvs128_gesture,
    folds,
    labelled_folder,
    nmnist,
)
from neurovlm.frontend.detect import Frontend
from neurovlm.training.clips import labelled_clips
from neurovlm.training.data import ClipSet
from neurovlm.training.recipe import Recipe
from neurovlm.training.sources import TrainingData
from neurovlm.training.variations import VARIATIONS

HELD_OUT = 5
"""One of so many groups is held out."""


def recorded_data(
    name: str,
    recipe: Recipe,
    frontend: Frontend,
    seed: int,
    workers: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[TrainingData, Recipe]:
    """Clips of ``nmnist:PATH``, ``dvs128:FOLDER`` or a folder, and the recipe for their labels.

    Events are varied before the front end, `Recipe.variants` times each. Groups held out are those
    of the set (persons 21-23 of DVS128 Gesture) or a fifth of all; a model for recordings has no
    boxes and says no captions that were learned.

    Raises
    ------
    UsageError
        For an unknown kind of set.
    InputFileError
        When the recordings are not there or cannot be read.
    """
    train, held, suits = _sets(name, seed)
    spec = replace(recipe.spec, labels=train.labels, boxes=None)
    stages = tuple(
        replace(stage, augmentation=replace(stage.augmentation, flip=train.flip))
        for stage in recipe.stages
    )

    clips = labelled_clips(
        train,
        frontend,
        seed=seed,
        variants=recipe.variants,
        vary=VARIATIONS[recipe.vary or suits],
        mixed=recipe.mixed,
        workers=workers,
        report=report,
    )
    held_out = labelled_clips(held, frontend, workers=workers)
    data = TrainingData((clips,), held_out)
    return data, replace(recipe, spec=spec, stages=stages)


def _sets(name: str, seed: int) -> tuple[LabelledSet, LabelledSet, str]:
    kind, path = _kind(name)
    if kind == "dvs128":
        return dvs128_gesture(path, "train"), dvs128_gesture(path, "validation"), "event-ssm"
    labelled = nmnist(path) if kind == "nmnist" else labelled_folder(path)
    train, held = folds(labelled, n=HELD_OUT, seed=seed)[0]
    return train, held, "digits" if kind == "nmnist" else "event-ssm"


def recorded_clips(name: str, frontend: Frontend, workers: int = 1) -> ClipSet:
    """Clips to score a model on: DVS128 Gesture's test persons, or all of another set.

    Raises
    ------
    As `recorded_data`.
    """
    kind, path = _kind(name)
    if kind == "dvs128":
        return labelled_clips(dvs128_gesture(path, "test"), frontend, workers=workers)
    labelled = nmnist(path, "test") if kind == "nmnist" else labelled_folder(path)
    return labelled_clips(labelled, frontend, workers=workers)


def _kind(name: str) -> tuple[str, Path]:
    kind, _, place = name.rpartition(":")
    if kind not in ("", "nmnist", "dvs128"):
        raise UsageError(
            f"--data: no set {kind!r}; give scenes, nmnist:PATH, dvs128:FOLDER or a folder"
        )
    return kind, Path(place)
