"""A whole training run: data, stages, history, the model's files.

History is a file of JSON lines, one a look at people held out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.clips import processor_s
from neurovlm.training.distributed import World
from neurovlm.training.objectives import check_of, learning, losses_of
from neurovlm.training.recipe import Recipe, RunConfig, Stage
from neurovlm.training.sources import TrainingData
from neurovlm.training.stage import (
    Job,
    Progress,
    read_checkpoint,
    run_stage,
    take_up,
    write_checkpoint,
)
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel, take_weights

CHECKPOINT = "checkpoint.pt"


def train(
    recipe: Recipe,
    data: TrainingData,
    detector: DetectorConfig,
    config: RunConfig,
    *,
    start: SttfModel | None = None,
    teacher: SttfModel | None = None,
    world: World | None = None,
    report: Callable[[str, Progress, dict[str, float] | None], None] = lambda *told: None,
) -> Path:
    """Run all stages of a recipe and write the model; return its path.

    Parameters
    ----------
    start
        Begin from its weights where names and shapes are the same.
    teacher
        Larger model to learn from, dense; None: the model itself.

    Raises
    ------
    UsageError
        When the checkpoint to go on from is another recipe's, nothing of ``start`` fits, or a
        first stage needs one.
    """
    world = World() if world is None else world
    begin_s, started_s = time.monotonic(), processor_s()
    torch.manual_seed(config.seed)
    model = SttfModel(recipe.spec).to(config.device)
    if start is not None:
        begin_from(model, start)
    elif recipe.stages[0].part != "whole" and not config.resume:
        raise UsageError(
            f"stage {recipe.stages[0].name}: it trains a part behind a model that was trained "
            "before; name one to begin from (--start)"
        )
    if teacher is not None:
        teacher = teacher.to(config.device)
    world.share(model.state_dict().values())
    config.out.mkdir(parents=True, exist_ok=True)
    taken_up = read_checkpoint(config.out / CHECKPOINT) if config.resume else None
    if taken_up is not None and taken_up.get("recipe") != _named(recipe):
        raise UsageError(f"{config.out / CHECKPOINT}: the checkpoint is of another recipe")
    history = config.out / f"{recipe.spec.name}.history.jsonl"
    if taken_up is None and world.is_first:
        history.write_text("", encoding="utf-8")
    if taken_up is not None:
        begin_s -= taken_up["wall_s"]
    spent: list[dict[str, Any]] = [] if taken_up is None else list(taken_up["spent"])
    for number, planned in enumerate(recipe.stages):
        stage = _share(planned, world)
        progress, here = Progress(stage=number), None
        if taken_up is not None:
            if number < taken_up["stage"]:
                continue
            here, taken_up = taken_up, None
            model.load_state_dict(here["start"])
        begun = {name: value.clone() for name, value in model.state_dict().items()}
        before_s = processor_s()
        losses = losses_of(model, data, stage, config, world, teacher)
        data_s = processor_s() - before_s
        if here is not None:
            progress = take_up(here, model)

        def keep(
            values: dict[str, Any], begun: dict[str, Any] = begun, spent: Any = tuple(spent)
        ) -> None:
            if world.is_first:
                extra = {
                    "start": begun,
                    "recipe": _named(recipe),
                    "spent": list(spent),
                    "wall_s": time.monotonic() - begin_s,
                }
                write_checkpoint({**values, **extra}, config.out / CHECKPOINT)

        def told(progress: Progress, scores: dict[str, float] | None, stage: Stage = stage) -> None:
            if scores is not None and world.is_first:
                _write_line(history, stage, progress, scores)
            report(stage.name, progress, scores)

        parameters = learning(model, stage)
        job = Job(model, parameters, losses, check_of(data, stage), world)
        left_s = config.max_cpu_s - (processor_s() - started_s)
        progress = run_stage(
            job,
            stage,
            (config.seed, number),
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
                "held_out_score": progress.best_score,
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


def _share(stage: Stage, world: World) -> Stage:
    """Stage of one process: of each batch, its part."""
    size = -(-stage.augmentation.batch_size // world.size)
    return replace(stage, augmentation=replace(stage.augmentation, batch_size=size))


def begin_from(model: SttfModel, start: SttfModel) -> list[str]:
    """Take the weights of ``start`` that fit; return the names of those that stay new.

    Raises
    ------
    UsageError
        When none fits.
    """
    new = take_weights(model, start)
    if len(new) == len(model.state_dict()):
        raise UsageError(f"start: no weight of {start.spec.name!r} fits {model.spec.name!r}")
    return new


def _named(recipe: Recipe) -> dict[str, Any]:
    """Everything of a recipe that its card does not say already, as a file would hold it."""
    values = json.loads(json.dumps(asdict(recipe)))
    values.pop("spec")
    return dict(values)


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
