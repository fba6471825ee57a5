"""Caption grammar: exactly invertible, small, and clear about mistakes."""

from __future__ import annotations

import re

import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.caption import (
    COLOURS,
    DIRECTIONS,
    FLIP,
    LABELS,
    SIDES,
    SPEEDS,
    all_slots,
    caption_of,
    label_slots,
    slots_of,
    vocabulary,
)


def test_every_combination_is_inverted_exactly():
    combinations = list(all_slots())
    assert len(combinations) == len(LABELS) * len(SPEEDS) * (len(COLOURS) + 1)
    captions = [caption_of(slots) for slots in combinations]
    assert len(set(captions)) == len(captions)
    for slots, caption in zip(combinations, captions, strict=True):
        assert slots_of(caption) == slots


def test_examples_read_as_english():
    assert (
        caption_of(label_slots(3, "quickly", "red"))
        == "a person in a red shirt turns the right arm clockwise quickly"
    )
    assert caption_of(label_slots(2, "slowly")) == "a person waves the left hand slowly"


def test_slots_agree_with_the_names_of_the_labels():
    for label, name in enumerate(LABELS):
        slots = label_slots(label, "slowly")
        for side in SIDES:
            assert (side in name.split()) == (slots.get("side") == side)
        turn = re.sub("counter clockwise", "counterclockwise", name).split()
        for direction in DIRECTIONS:
            assert (direction in turn) == (slots.get("direction") == direction)


def test_flip_exchanges_sides_and_directions_and_undoes_itself():
    other_side = dict(zip(SIDES, SIDES[::-1], strict=True))
    other_turn = dict(zip(DIRECTIONS, DIRECTIONS[::-1], strict=True))
    assert FLIP == (0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10)
    for label in range(len(LABELS)):
        assert FLIP[FLIP[label]] == label
        expected = {
            name: {"side": other_side, "direction": other_turn}.get(name, {}).get(value, value)
            for name, value in label_slots(label, "slowly").items()
        }
        assert label_slots(FLIP[label], "slowly") == expected


def test_vocabulary_is_small_and_complete():
    words = vocabulary()
    assert len(words) < 64
    assert len(set(words)) == len(words)
    for slots in all_slots():
        assert set(caption_of(slots).split()) <= set(words)


def test_a_broken_sentence_keeps_what_it_says():
    assert slots_of("a person in red waves waves left right <pad>") == {
        "colour": "red",
        "action": "wave",
        "side": "left",
    }
    assert slots_of("") == {}


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"action": "clap"}, "needs the slots"),
        ({"action": "clap", "speed": "slowly", "side": "left"}, "needs the slots"),
        ({"action": "wave", "speed": "slowly"}, "needs the slots"),
        ({"speed": "slowly"}, "needs the slots"),
        ({"action": "fly", "speed": "slowly"}, "action='fly' is not in the grammar"),
        ({"action": "clap", "speed": "slowly", "mood": "happy"}, "mood='happy'"),
    ],
)
def test_impossible_slots_are_refused(slots, said):
    with pytest.raises(UsageError, match=said):
        caption_of(slots)


def test_unknown_label_is_refused():
    with pytest.raises(UsageError, match=r"0\.\.10, got 11"):
        label_slots(11, "slowly")
