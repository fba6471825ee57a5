"""One stage of training: steps, a running mean of the weights, looks at people held out.

A run that was interrupted and taken up again from its `Progress` ends where it would have ended.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurovlm.core.errors import InputFileError
from neurovlm.training.distributed import World
from neurovlm.training.quantise import eight_bit
from neurovlm.training.recipe import Stage
from neurovlm.zoo.model import SttfModel


class Draws(NamedTuple):
    """Random numbers of one step.

    Attributes
    ----------
    own
        Differ from process to process: which clips, and how they vary.
    common
        The same in all processes: what decides how much work a batch is, so that none waits.
    """

    own: np.random.Generator
    common: np.random.Generator


Losses = Callable[[Draws], dict[str, Tensor]]
"""Draws a batch and gives its losses by name."""
Check = Callable[[SttfModel], dict[str, float]]
"""Scores of a model on the CPU; the first is the one that decides."""

CHECKPOINT_KEYS = ("stage", "step", "cpu_s", "weights", "average", "optimizer")


@dataclass
class Progress:
    """Where a stage stands; what `save` writes and `read_progress` gives back.

    Attributes
    ----------
    stage
        Number of the stage.
    step
        Steps done.
    cpu_s
        Processor time of this stage so far.
    average
        Running mean of the parameters, by name.
    losses
        Running means over about 20 steps.
    best, best_score, since_best
        Weights at the best look so far, its score, and the looks since.
    """

    stage: int = 0
    step: int = 0
    cpu_s: float = 0.0
    average: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = -math.inf
    since_best: int = 0


@dataclass(frozen=True)
class Job:
    """What a stage runs on.

    Attributes
    ----------
    model, parameters
        What is trained in place, and which of it learns.
    losses
        Draws a batch and gives its losses.
    check
        Scores after every ``stage.check_every`` steps.
    world
        Processes that train together.
    """

    model: SttfModel
    parameters: Sequence[nn.Parameter]
    losses: Losses
    check: Check
    world: World = field(default_factory=World)


def run_stage(
    job: Job,
    stage: Stage,
    seed: Sequence[int],
    progress: Progress,
    *,
    max_cpu_s: float = math.inf,
    taken_up: dict[str, Any] | None = None,
    keep: Callable[[dict[str, Any]], None] = lambda checkpoint: None,
    report: Callable[[Progress, dict[str, float] | None], None] = lambda progress, scores: None,
) -> Progress:
    """Train through one stage; the model ends with its averaged weights.

    With ``stage.patience`` they are those of the best look, without it those of the last step.

    Parameters
    ----------
    seed
        Decides, with the number of a step, what is drawn in it.
    progress
        A new one, or that of the checkpoint ``taken_up``.
    max_cpu_s
        Stop after this much processor time of this process.
    keep
        Called with a checkpoint after every look.
    report
        Called after every step, with scores where there was a look.
    """
    model, parameters = job.model, list(job.parameters)
    named = dict(model.named_parameters())
    optimizer = _optimizer(stage, parameters)
    if taken_up is not None:
        optimizer.load_state_dict(taken_up["optimizer"])
    if not progress.average:
        progress.average = {name: p.detach().clone() for name, p in named.items()}
    model.train()
    start_s = time.process_time() - progress.cpu_s
    while progress.step < stage.steps:
        if job.world.any(progress.cpu_s >= max_cpu_s):
            break
        rate = stage.learning_rate * schedule(progress.step / stage.steps, stage.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = _step(job, stage, optimizer, parameters, draws(seed, progress.step, job.world))
        _follow(progress.average, named, stage.averaging, progress.step)
        progress.step += 1
        progress.cpu_s = time.process_time() - start_s
        for name, value in losses.items():
            progress.losses[name] = _smooth(progress.losses.get(name), value)
        looked = progress.step % stage.check_every == 0 or progress.step == stage.steps
        scores = _look(job, progress) if looked else None
        if looked:
            keep(checkpoint(model, optimizer, progress))
        report(progress, scores)
        if stage.patience and progress.since_best >= stage.patience:
            break
    early = stage.patience > 0 and bool(progress.best)
    model.load_state_dict(progress.best if early else {**model.state_dict(), **progress.average})
    model.eval()
    return progress


def draws(seed: Sequence[int], step: int, world: World) -> Draws:
    """What a process draws from in one step; nothing has to be kept to go on from there."""
    numbers = [*seed, step]
    own = np.random.default_rng([*numbers, world.rank + 1])
    return Draws(own, np.random.default_rng([*numbers, 0]))


def _optimizer(stage: Stage, parameters: Sequence[nn.Parameter]) -> torch.optim.AdamW:
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": stage.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=stage.learning_rate,
        betas=(0.9, 0.98),
    )


def _step(
    job: Job,
    stage: Stage,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    drawn: Draws,
) -> dict[str, float]:
    device = parameters[0].device.type
    with (
        eight_bit(job.model, on=stage.quantise),
        torch.autocast(device, torch.bfloat16, enabled=stage.bfloat16),
    ):
        losses = job.losses(drawn)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
    job.world.average(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, stage.clip_norm)
    optimizer.step()
    return {name: float(loss.detach()) for name, loss in losses.items()}


@torch.no_grad()
def _follow(
    average: dict[str, Tensor], named: dict[str, nn.Parameter], most: float, step: int
) -> None:
    keep = min(most, (step + 1) / (step + 20))
    for name, mean in average.items():
        mean.lerp_(named[name], 1 - keep)


def _look(job: Job, progress: Progress) -> dict[str, float]:
    """Score the averaged weights and keep them where they are the best so far."""
    averaged = copy.deepcopy(job.model).cpu()
    averaged.load_state_dict({**averaged.state_dict(), **progress.average})
    scores = job.check(averaged.eval())
    first = next(iter(scores.values()))
    if first >= progress.best_score:
        progress.best = {k: v.clone() for k, v in averaged.state_dict().items()}
        progress.best_score, progress.since_best = first, 0
    else:
        progress.since_best += 1
    return scores


def _smooth(mean: float | None, value: float) -> float:
    return value if mean is None else mean + (value - mean) / 20


def schedule(done: float, warmup: float) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to 0."""
    if done < warmup:
        return (done + 0.1 * warmup) / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def checkpoint(
    model: SttfModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> dict[str, Any]:
    """All that decides what comes next."""
    return {
        **vars(progress),
        "weights": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def write_checkpoint(values: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(values, partial)
    partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint.

    Raises
    ------
    InputFileError
        When there is none, or it is damaged.
    """
    try:
        values = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise InputFileError(f"{path}: cannot read the checkpoint: {reason}") from error
    missing = set(CHECKPOINT_KEYS) - set(values)
    if missing:
        raise InputFileError(f"{path}: the checkpoint lacks {', '.join(sorted(missing))}")
    return dict(values)


def take_up(values: dict[str, Any], model: SttfModel) -> Progress:
    """Put the model where a checkpoint left it; give its progress."""
    model.load_state_dict(values["weights"])
    progress = Progress(**{name: values[name] for name in vars(Progress())})
    own = dict(model.named_parameters())
    progress.average = {k: v.to(own[k].device) for k, v in progress.average.items()}
    return progress
