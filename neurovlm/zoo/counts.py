"""What one window and one caption of a model cost, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

from neurovlm.core.ops import LayerCount
from neurovlm.language.counts import caption_counts
from neurovlm.sttf.boxes import box_counts
from neurovlm.sttf.counts import drift_counts, encoder_counts, head_counts, threshold_counts
from neurovlm.zoo.spec import ModelSpec


def count_step(
    spec: ModelSpec,
    n_active: int,
    *,
    dense: bool = False,
    with_frame: bool = False,
    n_rows: Sequence[int] | None = None,
) -> tuple[LayerCount, ...]:
    """Count `neurovlm.zoo.model.SttfModel.step`: stages encoder, memory and fusion.

    A sparse step with no active token computes nothing but the estimate of drift, where the
    policy goes by it. Parameters as in `neurovlm.sttf.counts.encoder_counts`.
    """
    n_tokens = spec.encoder.grid.n_patches
    steering: tuple[LayerCount, ...] = ()
    if spec.policy.n_uncertain and not dense:
        steering += drift_counts(spec.encoder.dim, n_tokens)
    if n_active == 0 and not dense:
        return steering
    if spec.thresholds is not None and not dense:
        steering += threshold_counts(spec.thresholds, spec.encoder.depth)
    encoder = encoder_counts(
        spec.encoder, n_active, n_rows=n_rows, with_frame=with_frame, dense=dense
    )
    return (
        *steering,
        *encoder,
        *head_counts(spec.head, spec.encoder.dim, n_tokens, len(spec.labels)),
    )


def count_boxes(spec: ModelSpec) -> tuple[LayerCount, ...]:
    """Count `neurovlm.zoo.model.SttfModel.find`; nothing for a model without a box head."""
    if spec.boxes is None:
        return ()
    return box_counts(spec.boxes, spec.encoder.dim, spec.encoder.grid.n_patches)


def count_caption(spec: ModelSpec, n_words: int) -> tuple[LayerCount, ...]:
    """Count `neurovlm.zoo.model.SttfModel.caption` for ``n_words`` words, the end included."""
    return caption_counts(
        spec.decoder,
        n_ids=len(spec.words) + 1,
        memory_dim=spec.encoder.dim,
        state_dim=spec.head.state_dim,
        n_memory=spec.encoder.grid.n_patches,
        n_words=n_words,
    )
