"""Closed forms of what encoder and head do in one window, for k active tokens of N.

Scatter into the memory is counted as the rows it changes; that this implementation copies a bank
to keep state a value is its own affair.
"""

from __future__ import annotations

from collections.abc import Sequence

from neurovlm.core.ops import LayerCount, attention, elementwise, linear, move
from neurovlm.sttf.embed import FRAME_CHANNELS, FRAME_PATCH
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.vit import EncoderConfig


def encoder_counts(
    config: EncoderConfig,
    n_active: int,
    *,
    n_rows: Sequence[int] | None = None,
    with_frame: bool = False,
    dense: bool = False,
) -> tuple[LayerCount, ...]:
    """Count one step of `neurovlm.sttf.vit.SparseViT`.

    Parameters
    ----------
    config
        Shape of the encoder.
    n_active
        Active tokens; all of them in a dense step.
    n_rows
        Tokens each layer computed, where a gate let fewer pass.
    with_frame
        Whether a frame was embedded beside the events.
    dense
        Dense step: every token, no gate, no merge.
    """
    n, d = config.grid.n_patches, config.dim
    k = n if dense else n_active
    if k == 0:
        return ()
    rows = [k] * config.depth if n_rows is None or dense else list(n_rows)
    counts = [
        move("encoder", "embed.gather", "gather", k * config.channels * config.patch**2),
        elementwise("encoder", "embed.log", k * config.channels * config.patch**2),
        linear("encoder", "embed.events", k, config.channels * config.patch**2, d),
    ]
    if with_frame:
        n_values = FRAME_CHANNELS * FRAME_PATCH**2
        counts.append(linear("encoder", "embed.frame", k, n_values, d, bias=False))
    counts.append(elementwise("encoder", "embed.position", k * d, weights=k * d))
    for layer in range(config.depth):
        gated = k if config.gate_tau is not None and not dense else 0
        counts += _block_counts(config, layer, rows[layer], gated)
    counts.append(elementwise("encoder", "norm", k * d, weights=2 * d))
    if config.merge and not dense:
        counts.append(linear("memory", "merge.gate", k, 2 * d + 2, 1))
        counts.append(elementwise("memory", "merge.mix", k * d, n_inputs=2))
    counts.append(move("memory", "tokens", "scatter", k * d))
    return tuple(counts)


def _block_counts(config: EncoderConfig, layer: int, k: int, n_gated: int) -> list[LayerCount]:
    n, d, heads, name = config.grid.n_patches, config.dim, config.heads, f"blocks.{layer}"
    hidden = config.mlp_ratio * d
    counts = []
    if n_gated:
        counts.append(elementwise("encoder", f"{name}.gate", n_gated * d, n_inputs=2))
    return [
        *counts,
        elementwise("encoder", f"{name}.norm1", k * d, weights=2 * d),
        linear("encoder", f"{name}.qkv", k, d, 3 * d),
        move("memory", f"{name}.keys", "scatter", k * d),
        move("memory", f"{name}.values", "scatter", k * d),
        attention("encoder", f"{name}.logits", heads, k, d // heads, n),
        elementwise("encoder", f"{name}.softmax", heads * k * n),
        attention("encoder", f"{name}.mix", heads, k, n, d // heads),
        linear("encoder", f"{name}.proj", k, d, d),
        elementwise("encoder", f"{name}.add1", k * d, n_inputs=2),
        elementwise("encoder", f"{name}.norm2", k * d, weights=2 * d),
        linear("encoder", f"{name}.mlp_in", k, d, hidden),
        elementwise("encoder", f"{name}.gelu", k * hidden),
        linear("encoder", f"{name}.mlp_out", k, hidden, d),
        elementwise("encoder", f"{name}.add2", k * d, n_inputs=2),
    ]


def head_counts(
    config: HeadConfig, dim: int, n_tokens: int, n_labels: int
) -> tuple[LayerCount, ...]:
    """Count one window of `neurovlm.sttf.head.LabelHead`; it reads all N tokens every time."""
    c, o, s = config.channels, config.observed_dim, config.state_dim
    return (
        linear("fusion", "readout.reduce", n_tokens, dim, c, bias=False),
        linear("fusion", "readout.gate", n_tokens, 4, c, bias=False),
        elementwise("fusion", "readout.mix", n_tokens * c, n_inputs=2),
        linear("fusion", "readout.place", 1, n_tokens * c, o),
        elementwise("fusion", "norm", o, weights=2 * o),
        linear("fusion", "motion", 1, (1 + len(config.taps)) * o, s),
        elementwise("fusion", "gelu", s),
        linear("fusion", "recurrent.input", 1, s, 3 * s),
        linear("fusion", "recurrent.state", 1, s, 3 * s),
        elementwise("fusion", "recurrent.gates", 3 * s),
        linear("fusion", "label", 1, s, n_labels),
        elementwise("fusion", "softmax", n_labels),
    )
