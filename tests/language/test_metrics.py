"""Slot scores by hand."""

from __future__ import annotations

import pytest

from neurovlm.core.errors import UsageError
from neurovlm.language.metrics import slot_score


def test_scores_of_three_captions():
    true = [
        {"action": "turn", "side": "left"},
        {"action": "clap"},
        {"action": "wave", "side": "right"},
    ]
    said = [{"action": "turn", "side": "right"}, {"action": "clap", "side": "left"}, true[2]]
    score = slot_score(said, true)
    assert score.by_slot == {"action": 1.0, "side": 0.5}
    assert score.accuracy == 4 / 5
    assert score.exact == 1 / 3


def test_a_slot_left_unsaid_is_wrong():
    assert slot_score([{}], [{"action": "clap"}]).accuracy == 0.0


@pytest.mark.parametrize(("said", "true"), [([], []), ([{}], [])])
def test_needs_pairs(said, true):
    with pytest.raises(UsageError, match="slot_score"):
        slot_score(said, true)
