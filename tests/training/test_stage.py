"""A stage learns, the same way each time, and goes on where it was interrupted."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from neurovlm.core.errors import InputFileError
from neurovlm.training.batch import Augmentation, draw_batch
from neurovlm.training.distributed import World
from neurovlm.training.loop import batch_loss, draw_plan
from neurovlm.training.recipe import Stage
from neurovlm.training.stage import (
    Job,
    Progress,
    draws,
    read_checkpoint,
    run_stage,
    schedule,
    take_up,
    write_checkpoint,
)

STAGE = Stage(
    steps=4,
    first_window=1,
    check_every=2,
    teach_share=0.5,
    augmentation=Augmentation(batch_size=4, n_windows=4, max_active=(8, 12), n_refresh=(1, 2)),
)


def job(model, source, stage: Stage = STAGE, check=lambda model: {"accuracy": 0.0}) -> Job:
    def losses(drawn):
        batch = draw_batch(source, model.tokenizer, stage.augmentation, drawn.own)
        return batch_loss(model, batch, stage, draw_plan(4, stage, drawn.common))

    return Job(model, list(model.parameters()), losses, check)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def run(build, clips, seed: int = 0, stage: Stage = STAGE):
    model = build(seed)
    last = run_stage(job(model, clips(), stage), stage, (seed,), Progress())
    return weights(model), last


@pytest.mark.parametrize("quantise", [False, True])
def test_the_same_seed_trains_the_same(build, clips, quantise):
    stage = replace(STAGE, quantise=quantise)
    first, last = run(build, clips, stage=stage)
    again, _ = run(build, clips, stage=stage)
    other, _ = run(build, clips, 1, stage)
    assert last.step == 4
    assert equal(first, again)
    assert not equal(first, other)


@pytest.mark.parametrize("quantise", [False, True])
def test_an_interrupted_run_ends_where_it_would_have_ended(build, clips, tmp_path, quantise):
    stage, kept = replace(STAGE, quantise=quantise), []

    def keep(values):
        write_checkpoint(values, tmp_path / f"{len(kept)}.pt")
        kept.append(tmp_path / f"{len(kept)}.pt")

    whole = build()
    run_stage(job(whole, clips(), stage), stage, (0,), Progress(), keep=keep)
    assert len(kept) == 2
    torch.manual_seed(99)  # what comes before does not matter
    model = build(5)
    values = read_checkpoint(kept[0])
    progress = take_up(values, model)
    assert progress.step == 2
    run_stage(job(model, clips(), stage), stage, (0,), progress, taken_up=values)
    assert equal(weights(model), weights(whole))


def test_the_best_look_is_kept_and_patience_ends_the_stage(build, clips):
    scores, looked = iter([0.5, 0.9, 0.7, 0.6, 0.8, 0.95]), []

    def check(model):
        looked.append(weights(model))
        return {"accuracy": next(scores)}

    stage = replace(STAGE, steps=6, check_every=1, patience=2)
    model = build()
    last = run_stage(job(model, clips(), stage, check), stage, (0,), Progress())
    assert last.step == 4  # two looks after the second brought nothing
    assert equal(weights(model), looked[1])


def test_steps_lower_the_loss(build, clips):
    stage = replace(STAGE, steps=12, learning_rate=5e-3, averaging=0.0)
    model, told = build(), []
    run_stage(
        job(model, clips(), stage),
        stage,
        (0,),
        Progress(),
        report=lambda progress, scores: told.append(dict(progress.losses)),
    )
    assert told[-1]["caption"] < told[0]["caption"]
    assert told[-1]["label"] < told[0]["label"]


def test_time_ends_a_stage(build, clips):
    model = build()
    last = run_stage(job(model, clips()), STAGE, (0,), Progress(), max_cpu_s=0.0)
    assert last.step == 0


def test_weights_outside_the_list_stay(build, clips):
    model = build()
    before = copy.deepcopy(model)
    only = replace(job(model, clips()), parameters=list(model.head.parameters()))
    run_stage(only, STAGE, (0,), Progress())
    assert equal(before.encoder.state_dict(), model.encoder.state_dict())
    assert not equal(before.head.state_dict(), model.head.state_dict())


def test_the_rate_rises_and_falls_to_nothing():
    assert schedule(0.05, 0.1) == pytest.approx(0.6)
    assert schedule(0.1, 0.1) == pytest.approx(1.0)
    assert schedule(0.55, 0.1) == pytest.approx(0.5)
    assert schedule(1.0, 0.1) == pytest.approx(0.0)


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"checkpoint\.pt: cannot read the checkpoint"):
        read_checkpoint(path)


def test_a_checkpoint_that_lacks_something_says_what(tmp_path):
    write_checkpoint({"step": 3, "weights": nn.Linear(1, 1).state_dict()}, tmp_path / "a.pt")
    with pytest.raises(InputFileError, match=r"lacks average, cpu_s, optimizer, stage"):
        read_checkpoint(tmp_path / "a.pt")


def test_processes_draw_apart_and_agree_on_the_work():
    first, second = (draws((3, 1), 7, World(rank, 2)) for rank in range(2))
    assert first.own.random() != second.own.random()
    assert first.common.random() == second.common.random()
    later = draws((3, 1), 8, World(0, 2))
    assert later.own.random() != draws((3, 1), 7, World(0, 2)).own.random()
