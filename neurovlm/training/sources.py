"""What a training run trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurovlm.events.scenes.caption import LABELS
from neurovlm.events.scenes.subject import TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.training.clips import rendered
from neurovlm.training.data import ClipSet
from neurovlm.training.recipe import Recipe, Stage

EXTRA_FROM, HELD_OUT_FROM = 50_000, 90_000
"""Training subjects from here on are the extra ones, and the ones held out."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run trains on.

    Attributes
    ----------
    whole
        Clips of the stages of the whole model: sets with and without frames.
    files
        Files of all clips, for stages of the heads; none: the clips of ``whole``.
    held_out
        Clips by which early stopping goes.
    extra
        Further clips, for stages that ask for them.
    """

    whole: tuple[ClipSet, ...]
    held_out: ClipSet
    files: Sequence[Path] = ()
    extra: ClipSet | None = None

    def of(self, stage: Stage) -> tuple[ClipSet, ...]:
        """Sets of clips that a stage of the whole model draws from."""
        return (*self.whole, self.extra) if stage.extra and self.extra else self.whole


def scene_data(
    recipe: Recipe,
    frontend: Frontend,
    cache: Path,
    workers: int,
    report: Callable[[int], None] = lambda done: None,
) -> TrainingData:
    """Render the recipe's subjects, or find them in ``cache``."""
    scenes = recipe.scenes
    held = TRAIN_SEEDS[HELD_OUT_FROM : HELD_OUT_FROM + scenes.held_out]

    def files(
        subjects: Sequence[int], frames_every: int, labels: tuple[int, ...] = ()
    ) -> list[Path]:
        return rendered(
            subjects,
            frontend,
            scenes.mixture,
            cache,
            frames_every=frames_every,
            labels=labels,
            workers=workers,
            report=report,
        )

    everyone = files(TRAIN_SEEDS[: scenes.subjects], scenes.frames_every)
    sets = [ClipSet.load(path) for path in everyone[: scenes.whole_subjects]]
    kinds = [[s for s in sets if (s.frames is not None) == rgb] for rgb in (False, True)]
    held_out = ClipSet.join([ClipSet.load(path) for path in files(held, 0)])
    whole = tuple(ClipSet.join(kind) for kind in kinds if kind)
    subjects = TRAIN_SEEDS[EXTRA_FROM : EXTRA_FROM + scenes.extra_subjects]
    labels = tuple(LABELS.index(name) for name in scenes.extra_labels)
    extra = [ClipSet.load(path) for path in files(subjects, 0, labels)]
    return TrainingData(whole, held_out, everyone, ClipSet.join(extra) if extra else None)
