"""Sums of closed-form counts, and the token counts a static shape is built for."""

from __future__ import annotations

import pytest

from hw_models import OpKind, Ops
from neurovlm.core.ops import elementwise, linear, move
from neurovlm.counting.analytic import bucket, summed_layers


@pytest.mark.parametrize(
    ("n_active", "expected"),
    [(0, 0), (1, 8), (8, 8), (9, 16), (31, 32), (33, 64), (65, 98), (99, 196), (196, 196)],
)
def test_bucket_is_the_smallest_built_size_that_holds_the_tokens(n_active, expected):
    assert bucket(n_active, 196) == expected


@pytest.mark.parametrize(("n_active", "expected"), [(3, 8), (9, 16), (17, 32), (33, 49), (49, 49)])
def test_buckets_of_a_smaller_grid_end_at_its_size(n_active, expected):
    assert bucket(n_active, 49) == expected


def test_bucket_never_shrinks_nor_exceeds_the_tokens():
    sizes = [bucket(n, 196) for n in range(197)]
    assert sizes == sorted(sizes)
    assert all(n <= size <= 196 for n, size in enumerate(sizes))


def step(rows):
    return (
        linear("encoder", "proj", rows, 4, 6),
        elementwise("encoder", "gelu", rows * 6),
        move("memory", "tokens", "scatter", rows * 6),
    )


def test_layers_are_sums_over_all_calls():
    calls = [(step(3), 2), (step(5), 1)]
    layers = {layer.key: layer for layer in summed_layers(calls, [(step(8), 3)], [(step(9), 3)])}
    assert list(layers) == [("encoder", "proj"), ("encoder", "gelu"), ("memory", "tokens")]
    proj = layers["encoder", "proj"]
    weights = (4 + 1) * 6 * 4
    assert proj.kind is OpKind.GEMM
    assert proj.ran_as == "fp32"
    assert proj.executed == Ops(
        macs=11 * 24,
        weight_bytes=3 * weights,
        read_bytes=11 * 4 * 4,
        write_bytes=11 * 6 * 4,
        launches=3,
    )
    assert proj.padded.macs == 24 * 24
    assert proj.dense.macs == 27 * 24
    assert layers["encoder", "gelu"].executed.elements == 11 * 6
    assert layers["memory", "tokens"].kind is OpKind.SCATTER


def test_a_layer_that_the_dense_step_lacks_is_charged_as_padded():
    gate = elementwise("encoder", "gate", 12)
    wide = elementwise("encoder", "gate", 30)
    (layer,) = summed_layers([((gate,), 1)], [((wide,), 1)], [])
    assert (layer.executed.elements, layer.padded.elements, layer.dense.elements) == (12, 30, 30)


def test_words_of_a_caption_share_their_layers():
    words = tuple(linear("decoder", f"word.{i}.blocks.0.qkv", 1, 4, 12) for i in range(3))
    opening = linear("decoder", "opening", 1, 4, 4)
    calls = [((opening, *words), 2)]
    layers = summed_layers(calls, calls, calls)
    assert [layer.layer for layer in layers] == ["opening", "blocks.0.qkv"]
    assert layers[1].executed.macs == 2 * 3 * 48
    assert layers[1].executed.launches == 2 * 3


def test_no_call_gives_no_layer():
    assert summed_layers([], [], []) == ()
