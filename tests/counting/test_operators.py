"""Bytes, elements and kinds of single operators, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hw_models import OpKind
from neurovlm.counting.operators import Work, is_weight_in, storage_of, work_of

X = torch.rand(2, 4, 6, 6)  # 288 scalars
ROWS = torch.rand(3, 5)
TABLE = torch.rand(10, 4)
INDEX = torch.tensor([1, 7, 3])
F32, I64 = 4, 8


def counted(call: Callable[[], object], weights: tuple[Tensor, ...] = ()) -> list[Work]:
    """Work of every operator of a call that is not free."""
    from neurovlm.counting.ledger import Operators

    found: list[Work] = []
    is_weight = is_weight_in(frozenset(map(storage_of, weights)))

    def see(where: str, func: object, args: tuple[object, ...], out: object) -> None:
        work = work_of(func, args, out, is_weight)
        if work != Work(work.kind):
            found.append(work)

    with torch.no_grad(), Operators(torch.nn.Identity(), see):
        call()
    return found


def visits(elements: int, read: int, write: int | None = None) -> Work:
    written = elements if write is None else write
    return Work(OpKind.ELEMENTWISE, 0, elements, 0, read * F32, written * F32)


BY_HAND: dict[str, tuple[Callable[[], object], Work]] = {
    "activation": (lambda: functional.gelu(X), visits(288, 288)),
    "residual sum": (lambda: X + X.clone(), visits(288, 576)),
    "softmax": (lambda: X.softmax(-1), visits(288, 288)),
    "layer norm": (lambda: functional.layer_norm(X, (6,)), visits(288, 288)),
    "group norm": (lambda: functional.group_norm(X, 2), visits(288, 288)),
    "pooling visits what it reduces": (
        lambda: functional.max_pool2d(X, 2), visits(288, 288, 2 * 4 * 9)
    ),
    "mean": (lambda: X.mean((2, 3)), visits(288, 288, 8)),
    "concatenation": (lambda: torch.cat([ROWS, ROWS]), visits(30, 30)),
    "padding": (lambda: functional.pad(ROWS, (1, 1)), visits(21, 15)),
    "copy to another layout": (lambda: X.permute(0, 2, 3, 1).contiguous(), visits(288, 288)),
    "an expanded operand is read once": (
        lambda: ROWS + torch.ones(1, 5, dtype=torch.float32).expand(3, 5),
        visits(15, 15 + 5),
    ),
    "resize": (
        lambda: functional.interpolate(X, scale_factor=2, mode="bilinear"),
        Work(OpKind.RESIZE, 0, 4 * 288, 0, 288 * F32, 4 * 288 * F32),
    ),
    "resize of a volume": (
        lambda: functional.interpolate(X[None], scale_factor=2, mode="trilinear"),
        Work(OpKind.RESIZE, 0, 8 * 288, 0, 288 * F32, 8 * 288 * F32),
    ),
    "embedding reads its rows": (
        lambda: functional.embedding(INDEX, TABLE),
        Work(OpKind.EMBEDDING, 0, 12, 0, 12 * F32 + 3 * I64, 12 * F32),
    ),
    "gather": (
        lambda: TABLE[INDEX], Work(OpKind.GATHER, 0, 12, 0, 12 * F32 + 3 * I64, 12 * F32)
    ),
    "scatter in place": (
        lambda: TABLE.clone().index_copy_(0, INDEX, torch.zeros(3, 4)),
        Work(OpKind.SCATTER, 0, 12, 0, 12 * F32 + 3 * I64, 12 * F32),
    ),
    "product of activations": (
        lambda: ROWS @ ROWS.T,
        Work(OpKind.ATTENTION, 3 * 5 * 3, 0, 0, 30 * F32, 9 * F32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_counts_by_hand(name: str) -> None:
    call, expected = BY_HAND[name]
    assert counted(call)[-1] == expected


def test_fused_attention_counts_scores_and_softmax() -> None:
    q, kv = torch.rand(1, 2, 5, 8), torch.rand(1, 2, 6, 8)
    (work,) = counted(lambda: functional.scaled_dot_product_attention(q, kv, kv + 0))[1:]
    sites = 2 * 5 * 6
    read = (80 + 96 + 96) * F32
    assert work == Work(OpKind.ATTENTION, sites * 16, sites, 0, read, 80 * F32)


def test_a_mask_is_read_too() -> None:
    q, mask = torch.rand(1, 2, 5, 8), torch.zeros(5, 5)
    call = functional.scaled_dot_product_attention
    plain, masked = (
        counted(lambda m=m: call(q, q, q, attn_mask=m))[-1].read_bytes for m in (None, mask)
    )
    assert masked == plain + 25 * F32


def test_weights_are_told_from_activations_through_views() -> None:
    weight, bias = torch.rand(7, 5), torch.rand(7)
    (work,) = counted(lambda: functional.linear(ROWS, weight, bias), (weight, bias))
    assert work == Work(OpKind.GEMM, 3 * 5 * 7, 0, 42 * F32, 15 * F32, 21 * F32)


@pytest.mark.parametrize(
    ("groups", "kind"), [(1, OpKind.CONV), (2, OpKind.CONV), (4, OpKind.DEPTHWISE)]
)
def test_convolutions_by_groups(groups: int, kind: OpKind) -> None:
    weight = torch.rand(8, 4 // groups, 3, 3)
    (work,) = counted(lambda: functional.conv2d(X, weight, groups=groups), (weight,))
    per_site = 9 * 4 // groups
    sites = 2 * 8 * 16
    n_weight = 8 * per_site
    assert work == Work(kind, sites * per_site, 0, n_weight * F32, 288 * F32, sites * F32)


def test_views_are_free() -> None:
    calls = [
        lambda: X.view(2, -1),
        lambda: X.transpose(1, 2)[:, 0],
        lambda: X.split(2, dim=1),
        lambda: X.chunk(2, dim=1),
        lambda: X.unsqueeze(0).expand(3, -1, -1, -1, -1),
    ]
    assert [counted(call) for call in calls] == [[]] * len(calls)


def test_half_precision_halves_the_bytes() -> None:
    full, half = (counted(lambda x=x: x.relu())[0] for x in (ROWS, ROWS.half()))
    assert (half.read_bytes, half.write_bytes) == (full.read_bytes / 2, full.write_bytes / 2)
    assert half.elements == full.elements
