"""The caption grammar: slots <-> sentence, exactly invertible.

    a person [in a COLOUR shirt] VERB [the SIDE hand | the SIDE arm DIRECTION | ...] SPEED

Sides and directions are the person's: who turns the right arm clockwise turns it anticlockwise in
the image. So the recordings of DVS128 Gesture are labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from neurovlm.core.errors import UsageError

COLOURS = ("red", "green", "blue", "yellow", "white", "black")
SIDES = ("right", "left")
DIRECTIONS = ("clockwise", "counterclockwise")
SPEEDS = ("slowly", "quickly")

LABELS = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter clockwise",
    "left arm clockwise",
    "left arm counter clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
"""Names of the 11 classes of DVS128 Gesture (Amir et al., CVPR 2017), 0-based, in IBM's order."""

FLIP = (0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10)
"""Label of the mirrored scene of each label."""

_LABEL_SLOTS: tuple[dict[str, str], ...] = (
    {"action": "clap"},
    {"action": "wave", "side": "right"},
    {"action": "wave", "side": "left"},
    {"action": "turn", "side": "right", "direction": "clockwise"},
    {"action": "turn", "side": "right", "direction": "counterclockwise"},
    {"action": "turn", "side": "left", "direction": "clockwise"},
    {"action": "turn", "side": "left", "direction": "counterclockwise"},
    {"action": "roll"},
    {"action": "drums"},
    {"action": "guitar"},
    {"action": "other"},
)

_PHRASE = {
    "clap": "claps the hands",
    "wave": "waves the {side} hand",
    "turn": "turns the {side} arm {direction}",
    "roll": "rolls the arms",
    "drums": "plays air drums",
    "guitar": "plays air guitar",
    "other": "does something else",
}

_ACTION_WORD = {
    "claps": "clap",
    "waves": "wave",
    "turns": "turn",
    "rolls": "roll",
    "drums": "drums",
    "guitar": "guitar",
    "something": "other",
}

_SLOT_WORDS: dict[str, dict[str, str]] = {
    "colour": {word: word for word in COLOURS},
    "action": _ACTION_WORD,
    "side": {word: word for word in SIDES},
    "direction": {word: word for word in DIRECTIONS},
    "speed": {word: word for word in SPEEDS},
}


def label_slots(label: int, speed: str, colour: str | None = None) -> dict[str, str]:
    """Slots of a label at a speed; those that do not apply are absent."""
    check_label(label)
    slots = {} if colour is None else {"colour": colour}
    return slots | _LABEL_SLOTS[label] | {"speed": speed}


def check_label(label: int) -> None:
    """Raise UsageError unless ``label`` is one of the 11 classes."""
    if not 0 <= label < len(LABELS):
        raise UsageError(f"label must be in 0..{len(LABELS) - 1}, got {label}")


def caption_of(slots: Mapping[str, str]) -> str:
    """Sentence that says ``slots``; without ``colour`` the shirt is left out.

    Raises
    ------
    UsageError
        When a slot is missing, unknown, has an unknown value or does not apply to the action.
    """
    for name, value in slots.items():
        if value not in _SLOT_WORDS.get(name, {}).values():
            raise UsageError(f"caption_of: {name}={value!r} is not in the grammar")
    needed = {"action", "speed"}
    phrase = _PHRASE.get(slots.get("action", ""), "")
    needed |= {name for name in ("side", "direction") if f"{{{name}}}" in phrase}
    if set(slots) - {"colour"} != needed:
        raise UsageError(
            f"caption_of: action {slots.get('action')!r} needs the slots {sorted(needed)} "
            f"and may have colour, got {sorted(slots)}"
        )
    shirt = f" in a {slots['colour']} shirt" if "colour" in slots else ""
    return f"a person{shirt} {phrase.format(**slots)} {slots['speed']}"


def slots_of(caption: str) -> dict[str, str]:
    """Slots that a sentence names; the exact inverse of `caption_of` on its sentences.

    Of a sentence outside the grammar, such as a model's mistake, the first word of each slot
    counts and a slot without a word is absent.
    """
    slots: dict[str, str] = {}
    for word in caption.split():
        for name, words in _SLOT_WORDS.items():
            if word in words:
                slots.setdefault(name, words[word])
    return slots


def all_slots() -> Iterator[dict[str, str]]:
    """Every combination of the grammar, with and without colour."""
    for label, speed, colour in product(range(len(LABELS)), SPEEDS, (None, *COLOURS)):
        yield label_slots(label, speed, colour)


def vocabulary() -> tuple[str, ...]:
    """All words of the grammar, sorted."""
    return tuple(sorted({word for slots in all_slots() for word in caption_of(slots).split()}))
