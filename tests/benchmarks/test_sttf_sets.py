"""Samples, folds and figures of the benchmarks on labelled recordings."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sttf_objects import GAP_S, blocks_of
from benchmarks.sttf_sets import FoldResult, Outcome, Task, recipe, summary
from neurovlm.events.datasets import LabelledSet, Sample
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.zoo.load import load
from neurovlm.zoo.spec import ModelSpec

SPEC = ModelSpec(
    name="bars",
    window_ms=50,
    encoder=EncoderConfig(dim=8, depth=1, heads=1, patch=2),
    policy=PolicyConfig(max_active=20, n_refresh=2, cut_interval=None),
    head=HeadConfig(kind="conv", channels=4, observed_dim=16, taps=(1,), state_dim=16),
    decoder=DecoderConfig(dim=16, depth=1, heads=1),
    labels=("upright", "lying"),
)


def bar(lying: bool, seed: int) -> EventStream:
    """A bar of 34 x 34 pixels that is swept across the sensor in 150 ms."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 150_000, 2000))
    along, across = rng.integers(4, 30, 2000), 5 + t // 7000
    x, y = (along, across) if lying else (across, along)
    return EventStream(t, x, y, rng.random(2000) < 0.5, (34, 34))


def bars(first_seed: int, n: int) -> LabelledSet:
    samples = tuple(
        Sample(f"bar {seed}", lambda seed=seed: bar(seed % 2 == 1, seed), seed % 2, str(seed))
        for seed in range(first_seed, first_seed + n)
    )
    return LabelledSet("bars", SPEC.labels, samples)


@pytest.mark.slow
def test_a_fit_learns_is_repeatable_and_leaves_a_card(tmp_path):
    detector = DetectorConfig(detector_weight=20)
    todo = recipe(SPEC, 30, 1, 1)
    task = Task(todo, detector, lambda stream, rng: stream)
    first = task.run(bars(0, 32), bars(100, 20), 3, tmp_path)
    again = task.run(bars(0, 32), bars(100, 20), 3)
    assert first.sparse.right.mean() >= 0.9
    assert first.dense.right.mean() >= 0.9
    assert np.array_equal(first.sparse.right, again.sparse.right)
    assert (first.dense.tokens == 196).all()
    assert (first.sparse.tokens <= (196 + 2 * 20) / 3).all()
    model, card = load(tmp_path / "bars.safetensors")
    assert card.scores["accuracy"] == first.sparse.right.mean()
    assert card.detector == detector
    assert model.spec == SPEC


def test_summary_says_what_the_folds_say():
    yes, no = np.ones(10, bool), np.arange(10) >= 1
    tokens = np.full(10, 50.0)

    def fold(sparse: np.ndarray, dense: np.ndarray) -> FoldResult:
        return FoldResult(Outcome(sparse, tokens), Outcome(dense, tokens + 146), 1.0)

    result = summary([fold(no, yes), fold(yes, yes)])
    assert [row["sttf_%"] for row in result["folds"]] == [90, 100]
    assert result["sttf_%"]["mean"] == 95
    assert result["sttf_%"]["sd"] == pytest.approx(50**0.5)
    assert result["dense_%"] == {"mean": 100, "sd": 0}
    assert result["retention_%"]["value"] == pytest.approx(95)
    assert result["retention_%"]["low"] < 95 < result["retention_%"]["high"]
    assert result["tokens"] == {"mean": 50, "p95": 50}


def long_recording() -> EventStream:
    t = np.arange(0, 10_000_000, 1000)
    return EventStream(t, t % 128, t % 127, t % 2 == 0, (128, 128))


def test_blocks_test_all_of_the_time_once_and_keep_their_distance():
    recordings = LabelledSet("one", ("a",), (Sample("r", long_recording, 0, "r"),))
    pairs = blocks_of(recordings, 4, GAP_S)
    tested = [(s.t0_us, s.t1_us) for _, test in pairs for s in test.samples]
    assert len(tested) == len(set(tested)) == 4 * 4  # blocks of 2.5 s hold five halves
    for training, test in pairs:
        starts = [(s.t0_us, s.t1_us) for s in test.samples]
        begin_us, end_us = min(starts)[0], max(starts)[1]
        for sample in training.samples:
            before, after = sample.t1_us <= begin_us - 500_000, sample.t0_us >= end_us + 500_000
            assert before or after
