"""What a stage learns: its parameters, its losses, and what it is judged by."""

from __future__ import annotations

import copy

import numpy as np
import torch

from neurovlm.core.errors import UsageError
from neurovlm.training.batch import draw_batch
from neurovlm.training.distributed import World
from neurovlm.training.heads import head_parameters, heads_loss, look_at_clips, look_at_files
from neurovlm.training.loop import batch_loss, draw_plan
from neurovlm.training.read import score_of
from neurovlm.training.recipe import RunConfig, Stage
from neurovlm.training.sources import TrainingData
from neurovlm.training.stage import Check, Draws, Losses
from neurovlm.training.thresholds import threshold_loss, with_fixed_threshold
from neurovlm.zoo.model import SttfModel


def learning(model: SttfModel, stage: Stage) -> list[torch.nn.Parameter]:
    """What learns in a stage; gradients of all else are off."""
    model.requires_grad_(stage.part != "thresholds")
    if stage.part == "whole":
        return list(model.parameters())
    if stage.part == "heads":
        return head_parameters(model, stage)
    if model.thresholds is None:
        raise UsageError(f"stage {stage.name}: the model has no thresholds to learn; see its spec")
    return list(model.thresholds.requires_grad_(True).parameters())


def losses_of(
    model: SttfModel,
    data: TrainingData,
    stage: Stage,
    config: RunConfig,
    world: World,
    teacher: SttfModel | None = None,
) -> Losses:
    """What draws a batch of the stage and gives its losses; encodes all clips first for heads."""
    if stage.part == "heads":
        return _heads_losses(model, data, stage, config, world)
    if stage.part == "thresholds":
        return _threshold_losses(model, data, stage, config)
    sets = data.of(stage)
    sizes = np.array([len(clips) for clips in sets], float)

    def losses(drawn: Draws) -> dict[str, torch.Tensor]:
        clips = sets[int(drawn.common.choice(len(sizes), p=sizes / sizes.sum()))]
        batch = draw_batch(clips, model.tokenizer, stage.augmentation, drawn.own).to(config.device)
        plan = draw_plan(batch.counts.shape[1], stage, drawn.common)
        return batch_loss(model, batch, stage, plan, teacher)

    return losses


def _heads_losses(
    model: SttfModel, data: TrainingData, stage: Stage, config: RunConfig, world: World
) -> Losses:
    still = copy.deepcopy(model).cpu()
    if data.files:
        mine = data.files[world.rank :: world.size] or data.files
        seen = look_at_files(still, mine, stage, config.seed, config.workers)
    else:
        rng = np.random.default_rng([config.seed, 1])
        seen = look_at_clips(still, data.whole[0], stage, rng)

    def losses(drawn: Draws) -> dict[str, torch.Tensor]:
        n = min(stage.augmentation.batch_size, len(seen))
        index = torch.from_numpy(drawn.own.choice(len(seen), n, replace=False))
        moment = int(drawn.common.integers(seen.tokens.shape[1]))
        return heads_loss(model, seen.take(index, config.device), stage, moment, drawn.own)

    return losses


def _threshold_losses(
    model: SttfModel, data: TrainingData, stage: Stage, config: RunConfig
) -> Losses:
    plain = with_fixed_threshold(model, None).to(config.device)

    def losses(drawn: Draws) -> dict[str, torch.Tensor]:
        clips = data.whole[0]
        batch = draw_batch(clips, model.tokenizer, stage.augmentation, drawn.own).to(config.device)
        return threshold_loss(
            model,
            plain,
            batch,
            stage.spending,
            float(drawn.common.random()),
            first_window=stage.first_window,
            soft=True,
        )

    return losses


CHECKED_BUDGETS = (0.0, 0.3, 0.6)


def _threshold_score(model: SttfModel, data: TrainingData, stage: Stage) -> float:
    """Minus the loss of hard gates on people held out, mean over `CHECKED_BUDGETS`."""
    plain = with_fixed_threshold(model, None)
    rng = np.random.default_rng(0)
    batch = draw_batch(data.held_out, model.tokenizer, stage.augmentation, rng)
    with torch.no_grad():
        losses = [
            threshold_loss(
                model,
                plain,
                batch,
                stage.spending,
                budget,
                first_window=stage.first_window,
                soft=False,
            )
            for budget in CHECKED_BUDGETS
        ]
    return -float(np.mean([float(sum(each.values())) for each in losses]))


def check_of(data: TrainingData, stage: Stage) -> Check:
    """What scores a model on people held out, and on as many clips trained on."""
    trained = data.whole[0][: len(data.held_out)]

    def check(model: SttfModel) -> dict[str, float]:
        held, train = score_of(model, data.held_out), score_of(model, trained)
        score = -held[1]  # a share of a few dozen clips is too coarse to choose by
        if stage.part == "thresholds":
            score = _threshold_score(model, data, stage)
        return {
            "held_out_score": score,
            "held_out_accuracy": held[0],
            "held_out_loss": held[1],
            "train_accuracy": train[0],
            "train_loss": train[1],
        }

    return check
