"""A whole training run: data, stages, history, the model's files.

History is a file of JSON lines, one a look at people held out.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.subject import TRAIN_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.batch import draw_batch
from neurovlm.training.clips import processor_s, rendered
from neurovlm.training.data import ClipSet
from neurovlm.training.distributed import World
from neurovlm.training.heads import head_parameters, heads_loss, look_at_clips, look_at_files
from neurovlm.training.loop import batch_loss, draw_plan
from neurovlm.training.read import score_of
from neurovlm.training.recipe import Recipe, Stage
from neurovlm.training.stage import (
    Job,
    Losses,
    Progress,
    read_checkpoint,
    run_stage,
    take_up,
    write_checkpoint,
)
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel

CHECKPOINT, HISTORY = "checkpoint.pt", "history.jsonl"
HELD_OUT_FROM = 90_000
"""Training subjects from here on are held out."""


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
    """

    whole: tuple[ClipSet, ...]
    held_out: ClipSet
    files: Callable[[], Sequence[Path]] | None = None


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

    def files(subjects: Sequence[int], frames_every: int) -> list[Path]:
        return rendered(
            subjects,
            frontend,
            scenes.mixture,
            cache,
            frames_every=frames_every,
            workers=workers,
            report=report,
        )

    first = files(TRAIN_SEEDS[: scenes.whole_subjects], scenes.frames_every)
    sets = [ClipSet.load(path) for path in first]
    kinds = [[s for s in sets if (s.frames is not None) == rgb] for rgb in (False, True)]
    held_out = ClipSet.join([ClipSet.load(path) for path in files(held, 0)])
    whole = tuple(ClipSet.join(kind) for kind in kinds if kind)
    everyone = TRAIN_SEEDS[: scenes.subjects]
    return TrainingData(whole, held_out, lambda: files(everyone, scenes.frames_every))


@dataclass(frozen=True)
class RunConfig:
    """How to run a recipe.

    Attributes
    ----------
    out
        Folder of the model, its history and its checkpoint.
    seed
        Decides first weights and batches.
    resume
        Go on from the checkpoint in ``out``.
    workers
        Processes that render and encode.
    max_cpu_s
        Stop training after this much processor time.
    device
        ``"cpu"`` or ``"cuda"``.
    """

    out: Path
    seed: int = 0
    resume: bool = False
    workers: int = 1
    max_cpu_s: float = math.inf
    device: str = "cpu"


def train(
    recipe: Recipe,
    data: TrainingData,
    detector: DetectorConfig,
    config: RunConfig,
    *,
    teacher: SttfModel | None = None,
    world: World | None = None,
    report: Callable[[str, Progress, dict[str, float] | None], None] = lambda *told: None,
) -> Path:
    """Run all stages of a recipe and write the model; return its path.

    Raises
    ------
    UsageError
        When the checkpoint to go on from is another recipe's.
    """
    world = World() if world is None else world
    begin_s, started_s = time.monotonic(), processor_s()
    torch.manual_seed(config.seed)
    model = SttfModel(recipe.spec).to(config.device)
    world.share(model.state_dict().values())
    config.out.mkdir(parents=True, exist_ok=True)
    taken_up = read_checkpoint(config.out / CHECKPOINT) if config.resume else None
    if taken_up is not None and taken_up.get("recipe") != _named(recipe):
        raise UsageError(f"{config.out / CHECKPOINT}: the checkpoint is of another recipe")
    if taken_up is None and world.is_first:
        (config.out / HISTORY).write_text("", encoding="utf-8")
    spent: list[dict[str, Any]] = [] if taken_up is None else list(taken_up["spent"])
    for number, stage in enumerate(recipe.stages):
        rng = np.random.default_rng([config.seed, world.rank, number])
        progress, here = Progress(stage=number), None
        if taken_up is not None:
            if number < taken_up["stage"]:
                continue
            here, taken_up = taken_up, None
            model.load_state_dict(here["start"])
        start = {name: value.clone() for name, value in model.state_dict().items()}
        before_s = processor_s()
        losses = _losses(model, data, stage, config, teacher)
        data_s = processor_s() - before_s
        if here is not None:
            progress = take_up(here, model, rng)

        def keep(
            values: dict[str, Any], start: dict[str, Any] = start, spent: Any = tuple(spent)
        ) -> None:
            if world.is_first:
                extra = {"start": start, "recipe": _named(recipe), "spent": list(spent)}
                write_checkpoint({**values, **extra}, config.out / CHECKPOINT)

        def told(progress: Progress, scores: dict[str, float] | None, stage: Stage = stage) -> None:
            if scores is not None and world.is_first:
                _write_line(config.out / HISTORY, stage, progress, scores)
            report(stage.name, progress, scores)

        parameters = list(model.parameters()) if stage.part == "whole" else head_parameters(model)
        job = Job(model, parameters, losses, _check(data, stage), world)
        left_s = config.max_cpu_s - (processor_s() - started_s)
        progress = run_stage(
            job,
            stage,
            rng,
            progress,
            max_cpu_s=progress.cpu_s + left_s,
            taken_up=here,
            keep=keep,
            report=told,
        )
        spent.append(
            {
                "stage": stage.name,
                "steps": progress.step,
                "processor_s": progress.cpu_s,
                "processor_s_data": data_s,
                "losses": progress.losses,
                "held_out_accuracy": progress.best_score,
            }
        )
    training = {
        "recipe": _named(recipe),
        "processor_s": sum(each["processor_s"] + each["processor_s_data"] for each in spent),
        "wall_s": time.monotonic() - begin_s,
        "torch": torch.__version__,
        "stages": spent,
    }
    card = ModelCard(recipe.spec, detector, config.seed, training)
    return save(model, card, config.out) if world.is_first else config.out


def _named(recipe: Recipe) -> dict[str, Any]:
    """Everything of a recipe that its card does not say already, as a file would hold it."""
    values = json.loads(json.dumps(asdict(recipe)))
    values.pop("spec")
    return dict(values)


def _losses(
    model: SttfModel, data: TrainingData, stage: Stage, config: RunConfig, teacher: SttfModel | None
) -> Losses:
    if stage.part == "heads":
        return _heads_losses(model, data, stage, config)
    sizes = np.array([len(clips) for clips in data.whole], float)

    def losses(rng: np.random.Generator) -> dict[str, torch.Tensor]:
        clips = data.whole[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        batch = draw_batch(clips, model.tokenizer, stage.augmentation, rng).to(config.device)
        plan = draw_plan(batch.counts.shape[1], stage, rng)
        return batch_loss(model, batch, stage, plan, teacher)

    return losses


def _heads_losses(model: SttfModel, data: TrainingData, stage: Stage, config: RunConfig) -> Losses:
    if data.files is not None:
        seen = look_at_files(model, data.files(), stage, config.seed, config.workers)
    else:
        rng = np.random.default_rng([config.seed, 1])
        seen = look_at_clips(model, data.whole[0], stage, rng)

    def losses(rng: np.random.Generator) -> dict[str, torch.Tensor]:
        n = min(stage.augmentation.batch_size, len(seen))
        index = torch.from_numpy(rng.choice(len(seen), n, replace=False))
        return heads_loss(model, seen, index, stage, int(rng.integers(seen.tokens.shape[1])))

    return losses


def _check(data: TrainingData, stage: Stage) -> Callable[[SttfModel], dict[str, float]]:
    trained = data.whole[0][: len(data.held_out)]

    def check(model: SttfModel) -> dict[str, float]:
        held, train = score_of(model, data.held_out), score_of(model, trained)
        return {
            "held_out_accuracy": held[0],
            "held_out_loss": held[1],
            "train_accuracy": train[0],
            "train_loss": train[1],
        }

    return check


def _write_line(path: Path, stage: Stage, progress: Progress, scores: dict[str, float]) -> None:
    line = {
        "stage": stage.name,
        "step": progress.step,
        "processor_s": progress.cpu_s,
        "losses": progress.losses,
        **scores,
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
