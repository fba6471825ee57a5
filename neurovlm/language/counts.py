"""Closed forms of what MicroGPT does for one caption."""

from __future__ import annotations

from neurovlm.core.ops import LayerCount, attention, elementwise, linear, move
from neurovlm.language.decoder import DecoderConfig


def caption_counts(
    config: DecoderConfig,
    n_ids: int,
    memory_dim: int,
    state_dim: int,
    n_memory: int,
    n_words: int,
) -> tuple[LayerCount, ...]:
    """Count `MicroGPT.context` and `MicroGPT.generate` of one caption.

    Parameters
    ----------
    config, n_ids, memory_dim, state_dim
        As for `neurovlm.language.decoder.MicroGPT`.
    n_memory
        Tokens in memory, N.
    n_words
        Words generated, the end included: one pass of one position each, the i-th attending to
        i positions.
    """
    d = config.dim
    counts = [linear("decoder", "opening", 1, state_dim, d)]
    counts += [
        linear("decoder", f"blocks.{layer}.cross.key_value", n_memory, memory_dim, 2 * d)
        for layer in range(config.depth)
    ]
    for word in range(n_words):
        if word:
            counts.append(move("decoder", f"word.{word}.embed", "embedding", d))
        for layer in range(config.depth):
            name = f"word.{word}.blocks.{layer}"
            counts += _block_counts(config, name, word + 1, n_memory)
        counts.append(elementwise("decoder", f"word.{word}.norm", d, weights=2 * d))
        counts.append(linear("decoder", f"word.{word}.out", 1, d, n_ids))
        counts.append(elementwise("decoder", f"word.{word}.softmax", n_ids))
    return tuple(counts)


def _block_counts(
    config: DecoderConfig, name: str, n_positions: int, n_memory: int
) -> list[LayerCount]:
    d, heads = config.dim, config.heads
    hidden, d_h = config.mlp_ratio * d, d // heads
    return [
        elementwise("decoder", f"{name}.norm1", d, weights=2 * d),
        linear("decoder", f"{name}.qkv", 1, d, 3 * d),
        attention("decoder", f"{name}.logits", heads, 1, d_h, n_positions),
        elementwise("decoder", f"{name}.softmax", heads * n_positions),
        attention("decoder", f"{name}.mix", heads, 1, n_positions, d_h),
        linear("decoder", f"{name}.proj", 1, d, d),
        elementwise("decoder", f"{name}.norm2", d, weights=2 * d),
        linear("decoder", f"{name}.cross.query", 1, d, d),
        attention("decoder", f"{name}.cross.logits", heads, 1, d_h, n_memory),
        elementwise("decoder", f"{name}.cross.softmax", heads * n_memory),
        attention("decoder", f"{name}.cross.mix", heads, 1, n_memory, d_h),
        linear("decoder", f"{name}.cross.proj", 1, d, d),
        elementwise("decoder", f"{name}.norm3", d, weights=2 * d),
        linear("decoder", f"{name}.mlp_in", 1, d, hidden),
        elementwise("decoder", f"{name}.gelu", hidden),
        linear("decoder", f"{name}.mlp_out", 1, hidden, d),
    ]
