"""The benchmark of the whole pipeline counts what it claims."""

from __future__ import annotations

import pytest

from benchmarks.bench_pipeline import ACTIVE, tokens
from neurovlm.zoo.load import load


def test_macs_of_the_shipped_encoder_fall_by_the_share_of_tokens():
    rows = tokens(load("sttf-tiny")[0], rounds=1)
    assert [row["active"] for row in rows] == list(ACTIVE)
    for row in rows:
        assert row["mac_ratio"] == pytest.approx(196 / row["active"])
