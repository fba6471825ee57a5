"""Closed-form counts of many calls, summed into workload layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import TypeAlias

from hw_models import LayerOps, OpKind, Ops
from hw_models.ops import TOKEN_BUCKETS
from neurovlm.core.ops import LayerCount

Calls: TypeAlias = Iterable[tuple[Iterable[LayerCount], int]]
"""The counts of one kind of call, and how often it was made."""

_COUNTS = ("macs", "elements", "weight_bytes", "read_bytes", "write_bytes", "launches")
_WORD = re.compile(r"^word\.\d+\.")  # the words of a caption share one set of layers


def bucket(n_active: int, n_tokens: int) -> int:
    """Smallest built-for token count that holds ``n_active``; 0 stays 0."""
    if n_active == 0:
        return 0
    return min((size for size in TOKEN_BUCKETS if n_active <= size <= n_tokens), default=n_tokens)


def summed_layers(executed: Calls, padded: Calls, dense: Calls) -> tuple[LayerOps, ...]:
    """One workload layer per (stage, layer) of any of the calls.

    Parameters
    ----------
    executed
        What ran.
    padded
        The same calls with their tokens rounded up to `bucket`.
    dense
        The same calls with all tokens. A layer that it lacks, or has less of (a gate or merge
        exists only in sparse steps), is charged as padded.
    """
    (ran, kinds), (shaped, _), (full, full_kinds) = map(_sums, (executed, padded, dense))
    nothing = Ops()
    return tuple(
        LayerOps(
            stage=key[0],
            layer=key[1],
            kind=OpKind(kind),
            executed=ran.get(key, nothing),
            padded=shaped.get(key, nothing),
            dense=_at_least(full.get(key, nothing), shaped.get(key, nothing)),
            ran_as="fp32",
        )
        for key, kind in (kinds | full_kinds).items()
    )


def _sums(calls: Calls) -> tuple[dict[tuple[str, str], Ops], dict[tuple[str, str], str]]:
    """Operations and kind by (stage, layer)."""
    sums: dict[tuple[str, str], list[int]] = {}
    kinds: dict[tuple[str, str], str] = {}
    for counts, times in calls:
        for c in counts:
            key = (c.stage, _WORD.sub("", c.layer))
            kinds[key] = c.kind
            mine = sums.setdefault(key, [0] * len(_COUNTS))
            for i, name in enumerate(_COUNTS):
                mine[i] += times * getattr(c, name)
    ops = {key: Ops(**dict(zip(_COUNTS, mine, strict=True))) for key, mine in sums.items()}
    return ops, kinds


def _at_least(one: Ops, other: Ops) -> Ops:
    return Ops(**{f.name: max(getattr(one, f.name), getattr(other, f.name)) for f in fields(Ops)})
