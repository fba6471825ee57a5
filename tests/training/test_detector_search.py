"""The search for constants of the detector set by hand."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from neurovlm.events.scenes import moving_square
from neurovlm.frontend.detect import Frontend
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.training.detector_scores import score_frontend
from neurovlm.training.detector_search import SEARCHED, behind_filter, rate, search, vary


@pytest.fixture(scope="module")
def clips():
    return [moving_square(duration_s=0.25, noise_hz=2.0, seed=k) for k in range(2)]


def test_the_part_behind_the_filter_declares_what_the_whole_does(clips):
    config = replace(DetectorConfig(), detector_threshold=60)
    _, total = rate(config, [behind_filter(clip) for clip in clips])
    assert total == score_frontend(Frontend.build(config), clips)


def test_a_search_never_gets_worse_and_leaves_the_filter_alone(clips):
    filtered = [behind_filter(clip) for clip in clips]
    start = replace(DetectorConfig(), detector_threshold=400)
    best, score = search(clips, 12, seed=1, start=start)
    assert score["cost"] == rate(best, filtered)[0] < rate(start, filtered)[0]
    kept = set(asdict(start)) - set(SEARCHED)
    assert {name: getattr(best, name) for name in kept} == {
        name: getattr(start, name) for name in kept
    }
    assert search(clips, 12, seed=1, start=start) == (best, score)


def test_a_variation_cannot_hold_itself():
    """What H gives D in the long run is at most half of D's threshold."""
    rng = np.random.default_rng(0)
    config = replace(DetectorConfig(), hold_weight=200, detector_threshold=40)
    for _ in range(50):
        config = vary(config, rng)
        assert config.hold_weight * config.detector_tau_ms <= config.detector_threshold / 2
