"""Closed forms of what encoder and head do in one window, for k active tokens of N.

Scatter into the memory is counted as the rows it changes; that this implementation copies a bank
to keep state a value is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence

from neurovlm.core.ops import LayerCount, attention, elementwise, linear, move
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.embed import FRAME_CHANNELS, FRAME_PATCH
from neurovlm.sttf.head import HeadConfig, conv_side
from neurovlm.sttf.thresholds import N_SIGNS, ThresholdConfig


def encoder_counts(
    config: EncoderConfig,
    n_active: int,
    *,
    n_rows: Sequence[int] | None = None,
    with_frame: bool = False,
    dense: bool = False,
) -> tuple[LayerCount, ...]:
    """Count one step of `neurovlm.sttf.vit.SparseViT` with its own embedding.

    Parameters
    ----------
    config
        Shape of the encoder.
    n_active
        Active patches; all of them in a dense step.
    n_rows
        Rows each layer computed, prefix tokens included, where a gate let fewer pass.
    with_frame
        Whether a frame was embedded beside the events.
    dense
        Dense step: every token, no gate, no merge.
    """
    d, k = config.dim, config.grid.n_patches if dense else n_active
    if k == 0:
        return ()
    rows = config.n_prefix + k
    counts = _embed_counts(config, k, with_frame)
    for layer in range(config.depth):
        computed = rows if n_rows is None or dense else n_rows[layer]
        counts += _block_counts(config, layer, computed, None if dense else rows)
    if config.final_norm:
        counts.append(elementwise("encoder", "norm", rows * d, weights=2 * d))
    if config.merge and not dense:
        counts += [
            elementwise("memory", "merge.cosine", k * d, n_inputs=2),
            linear("memory", "merge.gate", k, 2 * d + 2, 1),
            elementwise("memory", "merge.mix", k * d, n_inputs=2),
        ]
    counts.append(move("memory", "tokens", "scatter", rows * d))
    return tuple(counts)


def _embed_counts(config: EncoderConfig, k: int, with_frame: bool) -> list[LayerCount]:
    d, n_events = config.dim, config.channels * config.patch**2
    counts = [
        move("encoder", "embed.gather", "gather", k * n_events),
        elementwise("encoder", "embed.log", k * n_events),
        linear("encoder", "embed.events", k, n_events, d),
    ]
    if with_frame:
        n_values = FRAME_CHANNELS * FRAME_PATCH**2
        counts.append(linear("encoder", "embed.frame", k, n_values, d, bias=False))
    counts.append(elementwise("encoder", "embed.position", k * d, weights=k * d))
    return counts


def _block_counts(
    config: EncoderConfig, layer: int, r: int, n_before: int | None
) -> list[LayerCount]:
    """Count one layer on ``r`` rows, of ``n_before`` that its gate saw; None in a dense step."""
    d, heads, name = config.dim, config.heads, f"blocks.{layer}"
    gated = config.gate_tau is not None
    columns = config.n_rows if config.remember == "all" else r
    n_normed = n_before if gated and n_before is not None else r
    counts = [elementwise("encoder", f"{name}.norm1", n_normed * d, weights=2 * d)]
    if gated and n_before is not None:
        counts += [
            move("memory", f"{name}.references.read", "gather", n_before * d),
            elementwise("encoder", f"{name}.gate", n_before * d, n_inputs=2),
            move("memory", f"{name}.outputs.read", "gather", n_before * d),
        ]
    counts.append(linear("encoder", f"{name}.qkv", r, d, 3 * d))
    if config.remember == "all":
        counts += [
            move("memory", f"{name}.keys", "scatter", r * d),
            move("memory", f"{name}.values", "scatter", r * d),
        ]
    counts.append(attention("encoder", f"{name}.logits", heads, r, d // heads, columns))
    if config.key_bias and n_before is not None:
        counts.append(elementwise("encoder", f"{name}.bias", heads * r * columns, n_inputs=2))
    counts += [
        elementwise("encoder", f"{name}.softmax", heads * r * columns),
        attention("encoder", f"{name}.mix", heads, r, columns, d // heads),
        linear("encoder", f"{name}.proj", r, d, d),
        *_branch_end(config, f"{name}.add1", r),
        elementwise("encoder", f"{name}.norm2", r * d, weights=2 * d),
        *_mlp_counts(config, name, r),
        *_branch_end(config, f"{name}.add2", r),
    ]
    if gated:
        counts += [
            elementwise("encoder", f"{name}.entropy", heads * r * columns),
            move("memory", f"{name}.references", "scatter", r * d),
            move("memory", f"{name}.outputs", "scatter", r * d),
        ]
    return counts


def _mlp_counts(config: EncoderConfig, name: str, r: int) -> list[LayerCount]:
    """Count the MLP; swiglu has two hidden values for each one that goes on."""
    d, hidden = config.dim, config.hidden_dim
    n_branches = 2 if config.activation == "swiglu" else 1
    return [
        linear("encoder", f"{name}.mlp_in", r, d, n_branches * hidden),
        elementwise("encoder", f"{name}.{config.activation}", r * hidden, n_inputs=n_branches),
        linear("encoder", f"{name}.mlp_out", r, hidden, d),
    ]


def _branch_end(config: EncoderConfig, add: str, r: int) -> list[LayerCount]:
    """Count the sum with the residual, and the scale before it."""
    d = config.dim
    weights = d if config.layer_scale else 0
    return [elementwise("encoder", add, r * d, n_inputs=2, weights=weights)]


def drift_counts(dim: int, n_tokens: int) -> tuple[LayerCount, ...]:
    """Count `neurovlm.sttf.uncertainty.DriftHead`, which looks at all N tokens."""
    return (
        linear("memory", "drift.token", n_tokens, dim, 1),
        linear("memory", "drift.past", n_tokens, 2, 1, bias=False),
        elementwise("memory", "drift.softplus", n_tokens),
    )


def threshold_counts(config: ThresholdConfig, depth: int) -> tuple[LayerCount, ...]:
    """Count one window of `neurovlm.sttf.thresholds.ThresholdPolicy`."""
    return (
        linear("memory", "thresholds.hidden", 1, N_SIGNS, config.hidden),
        elementwise("memory", "thresholds.tanh", config.hidden),
        linear("memory", "thresholds.out", 1, config.hidden, depth),
        elementwise("memory", "thresholds.sigmoid", depth, weights=2 * depth),
    )


def head_counts(
    config: HeadConfig, dim: int, n_tokens: int, n_labels: int
) -> tuple[LayerCount, ...]:
    """Count one window of `neurovlm.sttf.head.LabelHead`; it reads all N tokens every time."""
    c, o, s = config.channels, config.observed_dim, config.state_dim
    return (
        linear("fusion", "readout.reduce", n_tokens, dim, c, bias=False),
        linear("fusion", "readout.gate", n_tokens, 4, c, bias=False),
        elementwise("fusion", "readout.mix", n_tokens * c, n_inputs=2),
        *_place_counts(config, n_tokens),
        elementwise("fusion", "norm", o, weights=2 * o),
        linear("fusion", "motion", 1, (1 + len(config.taps)) * o, s),
        elementwise("fusion", "gelu", s),
        linear("fusion", "recurrent.input", 1, s, 3 * s),
        linear("fusion", "recurrent.state", 1, s, 3 * s),
        elementwise("fusion", "recurrent.gates", 3 * s),
        linear("fusion", "label", 1, s, n_labels),
        elementwise("fusion", "softmax", n_labels),
    )


def _place_counts(config: HeadConfig, n_tokens: int) -> list[LayerCount]:
    """Count what lays the channels of all tokens side by side.

    Products of a convolution are counted at every output, those at the border with the padding.
    """
    c, o = config.channels, config.observed_dim
    if config.kind == "place":
        return [linear("fusion", "readout.place", 1, n_tokens * c, o)]
    wide = 2 * c
    near = conv_side(round(n_tokens**0.5))
    far = conv_side(near)
    return [
        linear("fusion", "readout.place.first", near**2, 9 * c, wide),
        elementwise("fusion", "readout.place.gelu1", near**2 * wide),
        linear("fusion", "readout.place.second", far**2, 9 * wide, wide),
        elementwise("fusion", "readout.place.gelu2", far**2 * wide),
        linear("fusion", "readout.place.out", 1, far**2 * wide, o),
    ]
