"""How well captions say what is true, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurovlm.core.errors import UsageError


@dataclass(frozen=True)
class SlotScore:
    """Share of slots named correctly.

    Attributes
    ----------
    by_slot
        Accuracy of each slot over the captions whose truth has it.
    accuracy
        Correct slots over all slots of all truths.
    exact
        Share of captions that name exactly the slots of their truth, no more and no fewer.
    """

    by_slot: dict[str, float]
    accuracy: float
    exact: float


def slot_score(said: Sequence[Mapping[str, str]], true: Sequence[Mapping[str, str]]) -> SlotScore:
    """Compare the slots that captions name with the true ones.

    Raises
    ------
    UsageError
        For no captions, or unequal numbers.
    """
    if not true or len(said) != len(true):
        raise UsageError(
            f"slot_score: needs as many captions as truths and at least one, "
            f"got {len(said)} and {len(true)}"
        )
    hits: dict[str, list[bool]] = {}
    for spoken, truth in zip(said, true, strict=True):
        for name, value in truth.items():
            hits.setdefault(name, []).append(spoken.get(name) == value)
    every = [hit for slot in hits.values() for hit in slot]
    return SlotScore(
        by_slot={name: sum(slot) / len(slot) for name, slot in sorted(hits.items())},
        accuracy=sum(every) / len(every),
        exact=sum(dict(s) == dict(t) for s, t in zip(said, true, strict=True)) / len(true),
    )
