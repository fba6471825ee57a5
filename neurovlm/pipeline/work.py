"""What the window steps and captions of a run cost, as workload layers.

A step's counts depend on a handful of numbers only, so a run is a multiset of such step kinds;
counts are computed once per kind and multiplied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hw_models import LayerOps
from neurovlm.counting.analytic import bucket, summed_layers
from neurovlm.zoo.counts import count_boxes, count_caption, count_step
from neurovlm.zoo.spec import ModelSpec


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
        How often a caption of each length (words, end included) was decoded; boxes are drawn
        with every one.
    """
    n_tokens = spec.encoder.grid.n_patches
    shapes: Counter[tuple[int, bool, bool]] = Counter()  # many kinds share one padded step
    frames: Counter[bool] = Counter()
    for kind, times in steps.items():
        size = n_tokens if kind.dense else bucket(kind.n_active, n_tokens)
        shapes[size, kind.dense, kind.with_frame] += times
        frames[kind.with_frame] += times
    executed = [
        (
            count_step(spec, k.n_active, dense=k.dense, with_frame=k.with_frame, n_rows=k.n_rows),
            times,
        )
        for k, times in steps.items()
    ]
    padded = [
        (count_step(spec, size, dense=dense, with_frame=frame), times)
        for (size, dense, frame), times in shapes.items()
    ]
    full = [
        (count_step(spec, n_tokens, dense=True, with_frame=frame), times)
        for frame, times in frames.items()
    ]
    told = [(count_caption(spec, n_words), times) for n_words, times in captions.items()]
    told.append((count_boxes(spec), sum(captions.values())))
    return summed_layers(executed + told, padded + told, full + told)
