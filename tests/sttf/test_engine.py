"""Laws of the engines: the encoder's step, faster."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovlm.core.errors import MissingComponentError, UsageError
from neurovlm.sttf.block import Rows
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.engine import Engine, Segment
from neurovlm.sttf.engine import onnx as onnx_layers
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import SparseViT

N = 25
SMALL = EncoderConfig(dim=32, depth=3, heads=4, grid_side=5, patch=3)
TOWER = dataclasses.replace(
    SMALL, n_prefix=2, activation="quick_gelu", eps=1e-6, layer_scale=True, hidden=56
)
ENGINES = [("fp32", "torch"), ("fp32", "onnx")]
ALL_ENGINES = [*ENGINES, ("bf16", "torch"), ("int8", "torch"), ("int8", "onnx")]

FP32_RTOL = 1e-5  # relative to the largest value: sums in another order, norms folded
DRIFT = {
    "fp32": FP32_RTOL,
    "bf16": 0.04,  # 8 bits of mantissa, 2^-9 a rounding, over 3 layers of 4 products
    "int8": 0.06,  # 127 levels, up to 2^-8 of the largest value of a row a rounding
}


class Pixels(nn.Module):
    """Patches of one channel to tokens, with prefix tokens, like a wrapped tower's embedding."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.project = nn.Linear(6, config.dim)
        self.position = nn.Parameter(torch.randn(config.grid.n_patches, config.dim))
        self.prefix = nn.Parameter(torch.randn(config.n_prefix, config.dim))

    def forward(self, inputs: tuple[Tensor], index: Tensor | None = None) -> Tensor:
        every = self.project(inputs[0]) + self.position
        if index is None:
            return every
        return every.gather(1, index[..., None].expand(-1, -1, every.shape[-1]))


def make_vit(config: EncoderConfig = SMALL, seed: int = 0) -> SparseViT:
    torch.manual_seed(seed)
    vit = SparseViT(config, Pixels(config)).eval().requires_grad_(False)
    for parameter in vit.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return vit


def pixels(seed: int, n_streams: int = 1) -> tuple[Tensor]:
    return (torch.randn(n_streams, N, 6, generator=torch.Generator().manual_seed(seed)),)


def patches(seed: int, k: int, n_streams: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_streams, N, generator=generator).argsort(-1)[:, :k]


def history(vit: SparseViT, n_streams: int = 1, seed: int = 7) -> TokenMemory:
    """Memory of the encoder itself after a dense window and three sparse ones."""
    memory = vit.dense(pixels(seed, n_streams))
    for window, k in enumerate((9, 4, 14)):
        rows = Rows(patches(seed + window, k, n_streams), None)
        memory, _ = vit.step(pixels(seed + 10 + window, n_streams), rows, memory)
    return memory


def tensors(memory: TokenMemory) -> list[Tensor]:
    flat: list[Tensor] = []
    for field in dataclasses.fields(memory):
        value = getattr(memory, field.name)
        flat += value if isinstance(value, tuple) else [value]
    return flat


def assert_close(one: TokenMemory, other: TokenMemory, rtol: float = FP32_RTOL) -> None:
    for mine, theirs in zip(tensors(one), tensors(other), strict=True):
        assert (mine - theirs).abs().max() <= rtol * theirs.abs().max()


def assert_same(one: TokenMemory, other: TokenMemory) -> None:
    assert all(map(torch.equal, tensors(one), tensors(other)))


@pytest.mark.parametrize(("precision", "kind"), ALL_ENGINES)
@pytest.mark.parametrize("config", [SMALL, TOWER])
def test_step_and_dense_are_those_of_the_encoder(config, precision, kind):
    vit = make_vit(config)
    engine = Engine.build(vit, precision, kind)
    memory = history(vit, 2)
    rows = Rows(patches(3, 7, 2), torch.arange(7) < torch.tensor([[7], [4]]))
    expected, expected_rows = vit.step(pixels(5, 2), rows, memory)
    result, n_rows = engine.step(pixels(5, 2), rows, memory)
    assert_close(result, expected, DRIFT[precision])
    assert torch.equal(n_rows, expected_rows)
    assert_close(engine.dense(pixels(6, 2)), vit.dense(pixels(6, 2)), DRIFT[precision])


@pytest.mark.parametrize("activation", ["gelu_tanh", "silu", "relu", "swiglu"])
@pytest.mark.parametrize(("precision", "kind"), ENGINES)
def test_every_activation_is_that_of_the_block(activation, precision, kind):
    vit = make_vit(dataclasses.replace(SMALL, activation=activation))
    dense = Engine.build(vit, precision, kind).dense(pixels(6))
    assert_close(dense, vit.dense(pixels(6)))


@pytest.mark.parametrize("change", [{"key_bias": True}, {"merge": True}, {"uncertainty": True}])
def test_what_else_the_encoder_does_is_kept(change):
    config = dataclasses.replace(TOWER, **change)
    vit = make_vit(config)
    for block in vit.layers:
        if block.gamma is not None:
            block.gamma.fill_(0.3)
    if vit.merge is not None:
        vit.merge.gate.bias.fill_(0.5)
    memory, rows = history(vit, 2), Rows(patches(3, 7, 2), None)
    expected, _ = vit.step(pixels(5, 2), rows, memory)
    engine = Engine.build(vit)
    result, _ = engine.step(pixels(5, 2), rows, memory)
    assert_close(result, expected)
    if config.uncertainty:
        assert torch.equal(engine.risk(memory), vit.risk(memory))


@pytest.mark.parametrize(("precision", "kind"), ENGINES)
@pytest.mark.parametrize("seed", range(3))
def test_all_active_is_dense_after_any_history(precision, kind, seed):
    vit = make_vit(TOWER, seed)
    engine = Engine.build(vit, precision, kind)
    everything = Rows(patches(seed, N, 2), None)
    result, _ = engine.step(pixels(5, 2), everything, history(vit, 2, seed))
    assert_close(result, engine.dense(pixels(5, 2)))


@pytest.mark.parametrize(("precision", "kind"), ALL_ENGINES)
def test_grouped_windows_are_one_by_one(precision, kind):
    engine = Engine.build(make_vit(TOWER), precision, kind)
    memory = engine.dense(pixels(1, 2))
    segments = [
        Segment(stream, patches(20 + n, k)[0], pixels(30 + n))
        for n, (stream, k) in enumerate([(0, 6), (1, 3), (0, 9), (0, 0), (1, 20), (0, 5)])
    ]
    together = engine.run(segments, memory)
    after, tokens = memory, []
    for segment in segments:
        one = engine.run([segment], after)
        after = one.memory
        tokens += one.tokens
    # 8-bit codes may fall on the other side of a rounding where float32 sums differ in order
    rtol = FP32_RTOL if precision == "fp32" else DRIFT[precision] / 2
    assert_close(together.memory, after, rtol)
    for mine, theirs in zip(together.tokens, tokens, strict=True):
        assert (mine - theirs).abs().max() <= rtol * theirs.abs().max()
    assert torch.equal(together.memory.age, after.age)
    assert torch.equal(together.memory.exposure, after.exposure)


def test_a_grouped_window_needs_the_keys_of_the_one_before():
    engine = Engine.build(make_vit())
    memory = engine.dense(pixels(1))
    first, second = (Segment(0, patches(20 + n, 9)[0], pixels(30 + n)) for n in range(2))
    grouped = engine.run([first, second], memory).tokens[1][second.index]
    alone = engine.run([second], memory).tokens[0][second.index]
    assert (grouped - alone).abs().max() > 1e-2


@pytest.mark.parametrize(("precision", "kind"), ALL_ENGINES)
def test_ragged_streams_are_one_by_one_and_keep_their_order(precision, kind):
    engine = Engine.build(make_vit(TOWER), precision, kind)
    memory = engine.dense(pixels(1, 4))
    rows = Rows(patches(3, 20, 4), torch.arange(20) < torch.tensor([[20], [0], [1], [8]]))
    together, n_rows = engine.step(pixels(5, 4), rows, memory)
    assert n_rows.tolist() == [[22] * 3, [0] * 3, [3] * 3, [10] * 3]
    rtol = FP32_RTOL if precision == "fp32" else DRIFT[precision] / 2
    for stream in range(4):
        one = torch.tensor([stream])
        alone, _ = engine.step(
            (pixels(5, 4)[0][one],), Rows(rows.index[one], rows.valid[one]), memory.streams(one)
        )
        assert_close(together.streams(one), alone, rtol)
    order = torch.tensor([2, 0, 3, 1])
    permuted, _ = engine.step(
        (pixels(5, 4)[0][order],), Rows(rows.index[order], rows.valid[order]), memory.streams(order)
    )
    assert_close(permuted, together.streams(order), rtol)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_donated_buffers_hold_the_result_and_others_are_left_alone(kind):
    engine = Engine.build(make_vit(TOWER), "fp32", kind)
    memory = engine.dense(pixels(1, 2))
    before = [tensor.clone() for tensor in tensors(memory)]
    rows = Rows(patches(3, 7, 2), None)
    kept, _ = engine.step(pixels(5, 2), rows, memory)
    assert all(map(torch.equal, tensors(memory), before))
    addresses = [tensor.data_ptr() for tensor in (*memory.keys, *memory.values, memory.tokens)]
    donated, _ = engine.step(pixels(5, 2), rows, memory, donate=True)
    assert_same(donated, kept)
    after = (*donated.keys, *donated.values, donated.tokens)
    assert [tensor.data_ptr() for tensor in after] == addresses


def test_a_donated_view_is_not_written():
    # the encoder's own dense step leaves views of one product as keys and values
    vit = make_vit()
    memory = vit.dense(pixels(1))
    assert not memory.keys[0].is_contiguous()
    keys = memory.keys[0].clone()
    Engine.build(vit).step(pixels(5), Rows(patches(3, 7), None), memory, donate=True)
    assert torch.equal(memory.keys[0], keys)


def test_untouched_patches_keep_their_bits_and_grow_older():
    engine = Engine.build(make_vit(TOWER))
    memory = engine.dense(pixels(1))
    after, _ = engine.step(pixels(5), Rows(torch.tensor([[3, 17, 8]]), None), memory)
    others = [n for n in range(N) if n not in (3, 17, 8)]
    kept = [n + TOWER.n_prefix for n in others]
    for old, new in zip((memory.tokens, *memory.keys), (after.tokens, *after.keys), strict=True):
        assert torch.equal(new[..., kept, :], old[..., kept, :])
    assert after.age[0, others].tolist() == [1] * 22
    assert after.exposure[0, others].tolist() == [3] * 22
    assert after.age[0, [3, 17, 8]].tolist() == [0, 0, 0]


def test_nothing_active_only_ages():
    engine = Engine.build(make_vit(TOWER))
    memory = engine.dense(pixels(1, 2))
    after, n_rows = engine.step(
        pixels(5, 2), Rows(torch.empty(2, 0, dtype=torch.int64), None), memory
    )
    assert_same(after, memory.aged())
    assert n_rows.tolist() == [[0] * 3] * 2
    nothing = Segment(1, torch.empty(0, dtype=torch.int64), pixels(5))
    run = engine.run([nothing], memory)
    assert run.memory.age.tolist() == [[0] * N, [1] * N]
    assert torch.equal(run.memory.tokens, memory.tokens)


def test_sixteen_bits_and_eight_keep_the_direction_of_tokens_at_width_768():
    config = EncoderConfig(dim=768, depth=2, heads=12, grid_side=5, patch=3, n_prefix=1)
    vit = make_vit(config)
    for parameter in vit.blocks.parameters():
        parameter.copy_(
            0.03 * torch.randn_like(parameter) + (parameter if parameter.ndim < 2 else 0)
        )
    memory, rows = vit.dense(pixels(1)), Rows(patches(3, 7), None)
    exact, _ = vit.step(pixels(5), rows, memory)
    for precision, kind in ALL_ENGINES[2:]:
        rough, _ = Engine.build(vit, precision, kind).step(pixels(5), rows, memory)
        new = rows.index[0] + 1
        cosine = functional.cosine_similarity(rough.tokens[0, new], exact.tokens[0, new], dim=-1)
        assert cosine.min() > 0.99
        assert not torch.equal(rough.tokens, exact.tokens)


def poisoned() -> tuple[Tensor]:
    values = pixels(5, 2)[0]
    values[1, 4] = math.nan
    return (values,)


REFUSED = [
    (pixels(5, 2), [[4, 4], [1, 2]], r"stream 0 names a patch twice"),
    (pixels(5, 2), [[0, 1], [24, 25]], r"patches of stream 1 must be in 0\.\.24, got 25"),
    (pixels(5, 2), [[0, -1], [0, 1]], r"patches of stream 0 must be in 0\.\.24, got -1"),
    (pixels(5, 2), [[0, 1]], r"the index must be \(2, k\), got \(1, 2\)"),
    (poisoned(), [[4, 5], [4, 5]], r"embedded rows of stream 1 hold NaN or infinity"),
]


@pytest.mark.parametrize(("inputs", "index", "message"), REFUSED)
def test_a_failed_step_leaves_a_donated_state_as_it_was(inputs, index, message):
    engine = Engine.build(make_vit())
    memory = engine.dense(pixels(1, 2))
    before = [tensor.clone() for tensor in tensors(memory)]
    with pytest.raises(UsageError, match=message):
        engine.step(inputs, Rows(torch.tensor(index), None), memory, donate=True)
    assert all(map(torch.equal, tensors(memory), before))


def test_a_state_of_another_model_is_refused():
    engine = Engine.build(make_vit())
    other = make_vit(dataclasses.replace(SMALL, heads=2)).dense(pixels(1))
    rows = Rows(patches(3, 7), None)
    with pytest.raises(UsageError, match=r"keys\.0 is \(1, 2, 25, 16\).*\(1, 4, 25, 8\)"):
        engine.step(pixels(5), rows, other)
    deeper = make_vit(dataclasses.replace(SMALL, depth=4)).dense(pixels(1))
    with pytest.raises(UsageError, match=r"keys\.3 is .* no such layer"):
        engine.step(pixels(5), rows, deeper)
    memory = engine.dense(pixels(1))
    half = dataclasses.replace(memory, tokens=memory.tokens.half())
    with pytest.raises(UsageError, match=r"tokens must be float32, got torch\.float16"):
        engine.step(pixels(5), rows, half)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({"gate_tau": 0.1}, ("fp32", "torch"), "gate_tau.* run in SparseViT only"),
        ({"remember": "tokens"}, ("fp32", "torch"), "needs remembered keys.*got 'tokens'"),
        ({"key_bias": True}, ("fp32", "onnx"), "key_bias needs kind='torch'"),
        ({}, ("bf16", "onnx"), "bf16 needs kind='torch'"),
        ({}, ("int4", "torch"), "precision must be one of fp32, bf16, int8, got 'int4'"),
        ({}, ("fp32", "tvm"), "kind must be one of torch, onnx, got 'tvm'"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(change, arguments, message):
    with pytest.raises(UsageError, match=message):
        Engine.build(make_vit(dataclasses.replace(SMALL, **change)), *arguments)


def test_windows_that_need_the_merge_before_are_not_grouped():
    engine = Engine.build(make_vit(dataclasses.replace(SMALL, key_bias=True, merge=True)))
    memory = engine.dense(pixels(1))
    segments = [Segment(0, patches(n, 3)[0], pixels(n)) for n in range(2)]
    with pytest.raises(UsageError, match="run the windows of a stream one by one"):
        engine.run(segments, memory)
    with pytest.raises(UsageError, match="at least one segment"):
        engine.run([], memory)
    with pytest.raises(UsageError, match=r"stream must be in 0\.\.0, got 1"):
        engine.run([Segment(1, patches(0, 3)[0], pixels(0))], memory)


def test_thresholds_are_refused():
    engine = Engine.build(make_vit())
    with pytest.raises(UsageError, match="no gates, so no thresholds"):
        rows = Rows(patches(3, 7), None)
        engine.step(pixels(5), rows, engine.dense(pixels(1)), tau=torch.zeros(1, 3))


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(onnx_layers, "import_module", missing)
    with pytest.raises(MissingComponentError, match=r"pip install neurovlm\[onnx\]"):
        Engine.build(make_vit(), kind="onnx")
