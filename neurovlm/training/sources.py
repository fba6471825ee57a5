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
        Gives the files of all clips, for stages of the heads; None: the clips of ``whole``.
    held_out
        Clips by which early stopping goes.
    extra
        Gives further clips, for stages that ask for them; None: there are none.
    """

    whole: tuple[ClipSet, ...]
    held_out: ClipSet
    files: Callable[[], Sequence[Path]] | None = None
    extra: Callable[[], ClipSet] | None = None

    def of(self, stage: Stage) -> tuple[ClipSet, ...]:
        """Sets of clips that a stage of the whole model draws from."""
        return (*self.whole, self.extra()) if stage.extra and self.extra else self.whole


def scene_data(
    recipe: Recipe,
    frontend: Frontend,
    cache: Path,
    workers: int,
    report: Callable[[int], None] = lambda done: None,
) -> TrainingData:
    """Render the recipe's subjects, or find them in ``cache``.

    Those of the stages of the heads are rendered when such a stage starts.
    """
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

    def extra() -> ClipSet:
        subjects = TRAIN_SEEDS[EXTRA_FROM : EXTRA_FROM + scenes.extra_subjects]
        labels = tuple(LABELS.index(name) for name in scenes.extra_labels)
        return ClipSet.join([ClipSet.load(path) for path in files(subjects, 0, labels)])

    first = files(TRAIN_SEEDS[: scenes.whole_subjects], scenes.frames_every)
    sets = [ClipSet.load(path) for path in first]
    kinds = [[s for s in sets if (s.frames is not None) == rgb] for rgb in (False, True)]
    held_out = ClipSet.join([ClipSet.load(path) for path in files(held, 0)])
    whole = tuple(ClipSet.join(kind) for kind in kinds if kind)
    everyone = TRAIN_SEEDS[: scenes.subjects]
    return TrainingData(
        whole,
        held_out,
        lambda: files(everyone, scenes.frames_every),
        extra if scenes.extra_subjects else None,
    )
