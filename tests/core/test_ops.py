"""Closed-form counts against multiplications counted one by one, and PyTorch's counter."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from neurovlm.core import ops


def macs_by_pytorch(function):
    """PyTorch counts two FLOPs per MAC."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() // 2


def test_linear_macs_against_pytorch():
    layer = torch.nn.Linear(12, 7)
    rows = torch.ones(5, 12)
    assert ops.linear("encoder", "x", 5, 12, 7).macs == macs_by_pytorch(lambda: layer(rows))


def test_attention_macs_against_pytorch():
    q, k = torch.ones(4, 6, 8), torch.ones(4, 8, 9)
    count = ops.attention("encoder", "qk", batch=4, rows=6, inner=8, columns=9)
    assert count.macs == macs_by_pytorch(lambda: torch.bmm(q, k))


def test_linear_traffic_is_every_operand_once():
    layer, rows = torch.nn.Linear(12, 7), torch.ones(5, 12)
    count = ops.linear("encoder", "x", 5, 12, 7)
    assert count.weight_bytes == sum(p.nbytes for p in layer.parameters())
    assert (count.read_bytes, count.write_bytes) == (rows.nbytes, layer(rows).nbytes)
    bare = ops.linear("encoder", "x", 5, 12, 7, bias=False)
    assert bare.weight_bytes == layer.weight.nbytes


def test_attention_traffic_is_every_operand_once():
    q, k = torch.ones(4, 6, 8), torch.ones(4, 8, 9)
    count = ops.attention("encoder", "qk", 4, 6, 8, 9)
    assert count.read_bytes == q.nbytes + k.nbytes
    assert count.write_bytes == torch.bmm(q, k).nbytes
    assert count.weight_bytes == 0


def test_elementwise_and_moves_are_no_macs():
    add = ops.elementwise("memory", "add", 10, n_inputs=2, weights=3)
    assert (add.macs, add.elements) == (0, 10)
    assert (add.read_bytes, add.write_bytes, add.weight_bytes) == (80, 40, 12)
    gather = ops.move("memory", "gather", "gather", 6)
    assert (gather.kind, gather.macs, gather.read_bytes, gather.write_bytes) == (
        "gather",
        0,
        24,
        24,
    )


def test_total_macs_of_one_stage_and_of_all():
    counts = (
        ops.linear("encoder", "a", 1, 2, 3),
        ops.linear("decoder", "b", 1, 5, 7),
        ops.elementwise("encoder", "c", 100),
    )
    assert ops.total_macs(counts) == 6 + 35
    assert ops.total_macs(counts, "encoder") == 6
    assert ops.total_macs(counts, "fusion") == 0
