"""Counts behind recall and ratio."""

from __future__ import annotations

import numpy as np
import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes import moving_square, static_scene
from neurovlm.frontend.detect import Frontend
from neurovlm.training.detector_scores import MaskScore, score_frontend, score_mask


def test_by_hand():
    truth = np.array([[1, 1, 0, 0], [0, 1, 1, 0]], bool)
    declared = np.array([[1, 0, 1, 0], [0, 1, 1, 1]], bool)
    score = score_mask(declared, truth)
    assert score == MaskScore(found=3, declared=5, changed=4, windows=2)
    assert (score.recall, score.ratio) == (3 / 4, 5 / 4)


def test_windows_without_a_mask_count_as_missed_and_later_ones_not_at_all():
    truth = np.ones((3, 2), bool)
    assert score_mask(truth[:1], truth) == MaskScore(2, 2, 6, 3)
    assert score_mask(np.ones((5, 2), bool), truth) == MaskScore(6, 6, 6, 3)


def test_scores_add_up():
    assert MaskScore(1, 2, 3, 4) + MaskScore(10, 20, 30, 40) == MaskScore(11, 22, 33, 44)


def test_nothing_changed_is_no_score():
    with pytest.raises(UsageError, match="no patch changed"):
        _ = MaskScore(declared=3, windows=2).recall


def test_a_front_end_is_scored_clip_by_clip():
    frontend = Frontend.build()
    clips = [moving_square(duration_s=0.2, seed=1), static_scene(duration_s=0.1)]
    both = score_frontend(frontend, clips)
    assert both == score_frontend(frontend, clips[:1]) + score_frontend(frontend, clips[1:])
    assert both.windows == 12
