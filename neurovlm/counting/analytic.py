"""Closed-form counts of the model's steps, summed into workload layers.

A step's counts depend on a handful of numbers only, so a run is a multiset of such step kinds;
counts are computed once per kind and multiplied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from hw_models import LayerOps, OpKind, Ops
from hw_models.ops import TOKEN_BUCKETS
from neurovlm.core.ops import LayerCount
from neurovlm.zoo.counts import count_caption, count_step
from neurovlm.zoo.spec import ModelSpec

_COUNTS = ("macs", "elements", "weight_bytes", "read_bytes", "write_bytes", "launches")
_WORD = re.compile(r"^word\.\d+\.")  # the words of a caption share one set of layers


@dataclass(frozen=True)
class StepKind:
    """What decides the cost of one window step.

    Attributes
    ----------
    n_active
        Tokens computed, refreshed ones included.
    dense
        Whether it was a dense step.
    with_frame
        Whether a frame was embedded.
    n_rows
        Tokens computed by each layer (fewer where a gate closed).
    """

    n_active: int
    dense: bool
    with_frame: bool
    n_rows: tuple[int, ...]


def bucket(n_active: int, n_tokens: int) -> int:
    """Smallest built-for token count that holds ``n_active``; 0 stays 0."""
    if n_active == 0:
        return 0
    return min((size for size in TOKEN_BUCKETS if n_active <= size <= n_tokens), default=n_tokens)


def model_layers(
    spec: ModelSpec, steps: Mapping[StepKind, int], captions: Mapping[int, int]
) -> tuple[LayerOps, ...]:
    """Layers of all steps and captions of a run.

    Parameters
    ----------
    spec
        The model.
    steps
        How often each kind of step was taken.
    captions
        How often a caption of each length (words, end included) was decoded.
    """
    n_tokens = spec.encoder.grid.n_patches
    executed, padded, dense = _Sums(), _Sums(), _Sums()
    static: Counter[tuple[int, bool, bool]] = Counter()  # many kinds share one padded step
    frames: Counter[bool] = Counter()
    for kind, times in steps.items():
        executed.add(
            count_step(
                spec,
                kind.n_active,
                dense=kind.dense,
                with_frame=kind.with_frame,
                n_rows=kind.n_rows,
            ),
            times,
        )
        size = n_tokens if kind.dense else bucket(kind.n_active, n_tokens)
        static[size, kind.dense, kind.with_frame] += times
        frames[kind.with_frame] += times
    for (size, is_dense, frame), times in static.items():
        padded.add(count_step(spec, size, dense=is_dense, with_frame=frame), times)
    for frame, times in frames.items():
        dense.add(count_step(spec, n_tokens, dense=True, with_frame=frame), times)
    for n_words, times in captions.items():
        counts = count_caption(spec, n_words)
        for sums in (executed, padded, dense):
            sums.add(counts, times)
    executed_ops, padded_ops, dense_ops = executed.ops(), padded.ops(), dense.ops()
    layers = []
    for (stage, layer), kind_name in executed.kinds.items():
        ran = executed_ops[stage, layer]
        shaped = padded_ops[stage, layer]
        # a gate or merge exists only in sparse steps: the dense model is charged no less
        full = _at_least(dense_ops.get((stage, layer), shaped), shaped)
        layers.append(
            LayerOps(
                stage=stage,
                layer=layer,
                kind=OpKind(kind_name),
                executed=ran,
                padded=shaped,
                dense=full,
                ran_as="fp32",
            )
        )
    return tuple(layers)


class _Sums:
    """Operation sums by (stage, layer)."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[int]] = {}
        self.kinds: dict[tuple[str, str], str] = {}

    def add(self, counts: Iterable[LayerCount], times: int) -> None:
        for c in counts:
            key = (c.stage, _WORD.sub("", c.layer))
            self.kinds[key] = c.kind
            sums = self._sums.setdefault(key, [0] * len(_COUNTS))
            for i, name in enumerate(_COUNTS):
                sums[i] += times * getattr(c, name)

    def ops(self) -> dict[tuple[str, str], Ops]:
        return {
            key: Ops(**dict(zip(_COUNTS, sums, strict=True))) for key, sums in self._sums.items()
        }


def _at_least(one: Ops, other: Ops) -> Ops:
    return Ops(**{f.name: max(getattr(one, f.name), getattr(other, f.name)) for f in fields(Ops)})
