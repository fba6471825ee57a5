"""Whole runs: files, history, going on, two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.training.batch import Augmentation
from neurovlm.training.data import ClipSet, SparseCounts
from neurovlm.training.distributed import joined
from neurovlm.training.recipe import Recipe, RunConfig, Stage
from neurovlm.training.run import CHECKPOINT, begin_from, train
from neurovlm.training.sources import TrainingData
from neurovlm.zoo.load import load
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

HISTORY = "sttf-tiny.history.jsonl"
VARIED = Augmentation(batch_size=4, n_windows=4, max_active=(8, 12), n_refresh=(1, 2))
CLIPS = Stage(name="clips", steps=4, first_window=1, check_every=2, augmentation=VARIED)
HEADS = replace(CLIPS, name="heads", part="heads", augmentation=replace(VARIED, n_windows=None))


def data(clips) -> TrainingData:
    return TrainingData((clips(), clips(seed=1)), clips(n=4, seed=2))


def recipe(build, *stages: Stage) -> Recipe:
    return Recipe(spec=build().spec, stages=stages or (CLIPS, HEADS))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(path)[0].state_dict()


def equal(one: Path, other: Path) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


class SwitchedOffError(Exception):
    """The machine was switched off."""


def test_a_run_leaves_a_model_a_card_and_a_history(build, clips, tmp_path):
    config = RunConfig(tmp_path / "out", seed=3)
    path = train(recipe(build), data(clips), DetectorConfig(), config)
    model, card = load(path)
    assert not model.training
    assert card.seed == 3
    assert [stage["steps"] for stage in card.training["stages"]] == [4, 4]
    lines = [json.loads(line) for line in (tmp_path / "out" / HISTORY).read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("clips", 2),
        ("clips", 4),
        ("heads", 2),
        ("heads", 4),
    ]
    for line in lines:
        assert 0 <= line["held_out_accuracy"] <= 1
        assert line["held_out_loss"] > 0


@pytest.mark.parametrize("ends_in", ["clips", "heads"])
def test_a_run_that_was_interrupted_makes_the_same_model(build, clips, tmp_path, ends_in):
    def switch_off(name, progress, scores):
        if name == ends_in and progress.step == 3:
            raise SwitchedOffError

    todo, detector = recipe(build), DetectorConfig()
    whole = train(todo, data(clips), detector, RunConfig(tmp_path / "whole"))
    config = RunConfig(tmp_path / "parts")
    with pytest.raises(SwitchedOffError):
        train(todo, data(clips), detector, config, report=switch_off)
    parts = train(todo, data(clips), detector, replace(config, resume=True))
    assert equal(whole, parts)
    assert len((tmp_path / "parts" / HISTORY).read_text().splitlines()) == 4


def gated(build) -> Recipe:
    spec = build().spec
    spec = replace(
        spec,
        encoder=replace(spec.encoder, gate_tau=0.0),
        thresholds=ThresholdConfig(0.0, 1.5),
    )
    stage = replace(
        CLIPS, part="thresholds", learning_rate=0.03, augmentation=replace(VARIED, n_windows=None)
    )
    return Recipe(spec=spec, stages=(stage,))


def test_a_threshold_policy_learns_behind_a_model_that_stays_as_it_was(build, clips, tmp_path):
    start = build(seed=5)
    config = RunConfig(tmp_path)
    path = train(gated(build), data(clips), DetectorConfig(), config, start=start)
    fitted, kept = weights(path), start.state_dict()
    assert all(torch.equal(fitted[name], kept[name]) for name in kept)
    new = [name for name in fitted if name.startswith("thresholds.")]
    torch.manual_seed(0)
    untrained = SttfModel(gated(build).spec).state_dict()
    assert new and any(not torch.equal(fitted[name], untrained[name]) for name in new)
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert all(line["held_out_score"] < 0 for line in lines)


@pytest.mark.parametrize("part", ["heads", "thresholds"])
def test_a_part_is_not_trained_behind_nothing(build, clips, tmp_path, part):
    todo = gated(build)
    todo = replace(todo, stages=(replace(todo.stages[0], part=part),))
    with pytest.raises(UsageError, match=r"name one to begin from \(--start\)"):
        train(todo, data(clips), DetectorConfig(), RunConfig(tmp_path))


def test_beginning_from_a_model_takes_what_fits_and_says_what_is_new(build):
    start, model = build(seed=1), build(seed=2, spec=replace(build().spec, labels=("a", "b")))
    assert begin_from(model, start) == ["head.label.bias", "head.label.weight"]
    own, theirs = model.state_dict(), start.state_dict()
    assert all(torch.equal(own[k], theirs[k]) for k in own if not k.startswith("head.label"))


def test_a_checkpoint_of_another_recipe_is_refused(build, clips, tmp_path):
    config = RunConfig(tmp_path)
    train(recipe(build, CLIPS), data(clips), DetectorConfig(), config)
    assert (tmp_path / CHECKPOINT).exists()
    other = recipe(build, replace(CLIPS, learning_rate=1e-4))
    with pytest.raises(UsageError, match="checkpoint is of another recipe"):
        train(other, data(clips), DetectorConfig(), replace(config, resume=True))


def test_time_that_is_up_still_leaves_a_model(build, clips, tmp_path):
    config = RunConfig(tmp_path, max_cpu_s=0.0)
    path = train(recipe(build, CLIPS), data(clips), DetectorConfig(), config)
    assert load(path)[1].training["stages"][0]["steps"] == 0


WORKER = """
import importlib.util, sys
from pathlib import Path

import torch

spec = importlib.util.spec_from_file_location("run_test", sys.argv[1])
run_test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_test)
torch.set_num_threads(1)
run_test.one_of_two(Path(sys.argv[2]))
"""


def few_clips(seed: int) -> ClipSet:
    rng = np.random.default_rng(seed)
    changed = rng.random((4, 4, 196)) < 0.1
    counts = rng.poisson(0.02, (4, 4, 3, 126, 126)).astype(np.uint8)
    return ClipSet(
        tuple(SparseCounts.from_dense(c) for c in counts),
        changed,
        changed.astype(np.uint8),
        None,
        ({},) * 4,
        np.arange(4),
    )


def one_of_two(folder: Path) -> None:
    """What each process of the test below does: a run as `neurovlm train` makes it."""
    with joined("cpu") as world:
        encoder = EncoderConfig(dim=8, depth=1, heads=1)
        todo = Recipe(ModelSpec(name="pair", encoder=encoder), stages=(CLIPS,))
        given = TrainingData((few_clips(world.rank),), few_clips(2))
        seen = []

        def report(name, progress, scores):
            seen.append({key: value.clone() for key, value in progress.average.items()})

        config = RunConfig(folder / "out", seed=0)
        train(todo, given, DetectorConfig(), config, world=world, report=report)
        torch.save(seen[-1], folder / f"{world.rank}.pt")


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script), __file__, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    start = weights(tmp_path / "out" / "pair.safetensors")
    assert set(one) <= set(start)
