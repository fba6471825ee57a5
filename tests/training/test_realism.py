"""The critic against a neuron worked by hand, the real recordings, and statistics by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.stream import EventStream
from neurovlm.training.realism import (
    WEIGHTS,
    Critic,
    integrate_and_fire,
    raster,
    real_recordings,
    statistics,
)


def stream(t, x, p, sensor=(128, 128)):
    x = np.array(x, np.uint16)
    return EventStream(np.array(t), x, x, np.array(p, bool), sensor)


def test_a_neuron_by_hand():
    drive = torch.tensor([0.6, 0.6, 2.5, -9.0, 1.5])  # v: 0.6, 1.2, 2.7, -8.3 -> -1, 0.5
    assert integrate_and_fire(drive).tolist() == [0, 1, 2, 0, 0]


def test_raster_counts_off_before_on():
    counts = raster(stream([5, 9_000, 10_005], [3, 3, 4], [0, 0, 1]))
    assert counts.shape == (2, 2, 128, 128)
    assert counts[0, 0, 3, 3] == 2 and counts[1, 1, 4, 4] == 1 and counts.sum() == 3


def test_statistics_by_hand():
    t = [0, 1, 2, 700, 60_000]
    seen = statistics(stream(t, [5, 5, 5, 5, 90], [1, 1, 1, 0, 1]))
    assert seen.rate_khz == pytest.approx(5 / 60.001)
    assert seen.on_share == pytest.approx(4 / 5)
    assert seen.patches == pytest.approx(1 / 2)  # two whole windows, one patch in the first
    assert seen.again_share == pytest.approx(2 / 5)
    assert seen.return_share == pytest.approx(1 / 5)


def test_messages(tmp_path):
    with pytest.raises(UsageError, match="128 x 128 sensor, got 1 of"):
        raster(stream([0], [1], [1], (64, 64)))
    with pytest.raises(UsageError, match="needs 25000 us of events, got 1"):
        statistics(stream([0], [1], [1]))
    with pytest.raises(InputFileError, match="the critic needs the real data set"):
        Critic.load(tmp_path / "none.pt")
    torch.save({"0.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(InputFileError, match="expected 7 convolutions"):
        Critic.load(tmp_path / "other.pt")
    with pytest.raises(InputFileError, match=r"labels\.csv: no such file"):
        real_recordings(tmp_path)


@pytest.mark.skipif("NEUROVLM_DATA" not in os.environ, reason="needs NEUROVLM_DATA")
def test_the_critic_names_the_real_recordings_as_their_publisher_says():
    root = Path(os.environ["NEUROVLM_DATA"])
    labels, streams = zip(*real_recordings(root), strict=True)
    named = Critic.load(root / WEIGHTS).names(streams)
    expected = [10 if label == 8 else label for label in labels]  # it calls air drums "other"
    assert named.tolist() == expected
