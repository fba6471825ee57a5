"""Films cut for training, and a training step or two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import moving_square
from neurovlm.frontend.learned import LearnedConfig, load_constants
from neurovlm.training.detector_fit import FitConfig, cut, example, fit, make_film, sums, whole
from neurovlm.training.detector_twin import Sizes, Twin
from neurovlm.training.train_detector import MAX_RATIO, choose, train

TINY = FitConfig(steps=40, films=2, windows=4, warm_up=1, rate=2e-2, sizes=Sizes(y_channels=4))


@pytest.fixture(scope="module")
def examples():
    return [
        example(moving_square(duration_s=0.25, noise_hz=1.0, velocity_px_s=v, seed=k))
        for k, v in enumerate([(90.0, 20.0), (-60.0, 40.0)])
    ]


def test_a_cut_turns_spikes_meters_and_truth_together(examples):
    """Where the scene moved events and truth lie in the same patches, however it was turned."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(12):
        (tick, _, row, column), images, window_ticks = cut(examples[0], 4, rng)
        count = np.zeros((4, 14, 14), int)
        np.add.at(count, (tick // window_ticks, row // 9, column // 9), 1)
        hits.append((count >= 8)[images["truth"]].mean())
        support = images["S"][:, 1, 1]  # a patch with F spikes just now has had events
        assert (count[support] > 0).mean() > 0.9
    assert min(hits) > 0.5


def test_cuts_of_one_seed_are_the_same(examples):
    one, two = (cut(examples[0], 4, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1]["truth"], two[1]["truth"])


def test_films_lie_side_by_side(examples):
    film, truth = make_film([whole(e) for e in examples])
    assert truth.shape == (10, 2, 196)
    assert np.array_equal(truth[:, 1] > 0, examples[1].truth.reshape(10, 196))
    assert (film.stream == 1).sum() == len(examples[1].spikes)


@pytest.mark.slow
def test_training_lowers_the_loss(examples):
    told = []
    twin = fit(examples, replace(TINY, steps=400), told.append)
    assert len(told) == 2
    first, last = (float(line.partition("loss ")[2].partition(",")[0]) for line in told)
    assert last < first
    for values, truth in sums(twin, examples):
        assert values[torch.from_numpy(truth)].float().mean() > values.float().mean()


def test_the_same_seed_trains_the_same(examples):
    one, two, other = (
        fit(examples, replace(TINY, steps=3, seed=seed)).integers() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["X_Y"], other["X_Y"])


def test_the_operating_point_stays_within_the_ratio(examples):
    twin = Twin(LearnedConfig(), Sizes(), seed=1)  # untrained: declares far too much
    threshold, points = choose(twin, examples)
    by_threshold = {row["readout_threshold"]: row for row in points}
    assert by_threshold[threshold]["ratio"] <= MAX_RATIO
    assert by_threshold[threshold - 1]["ratio"] > MAX_RATIO
    recalls = [row["recall"] for row in points]
    assert recalls == sorted(recalls, reverse=True)


def test_clips_that_are_too_short_are_refused(examples):
    with pytest.raises(UsageError, match="films have 11 windows, the shortest clip 10"):
        fit(examples, replace(TINY, windows=11))


@pytest.mark.slow
def test_the_command_writes_what_the_front_end_reads(tmp_path):
    constants = train(tmp_path, replace(TINY, steps=150, windows=6), 6)
    again = load_constants(tmp_path / "learned-detector.npz")
    assert again.config == constants.config
