"""Laws of the sparse step."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.vit import EncoderConfig, Rows

DENSE_RTOL = 1e-5  # relative to max |dense|: float32 sums over 196 keys in another order


def tensors(memory: TokenMemory) -> list[torch.Tensor]:
    flat = []
    for field in fields(memory):
        value = getattr(memory, field.name)
        flat += list(value) if isinstance(value, tuple) else [value]
    return flat


def assert_same_bits(one: TokenMemory, other: TokenMemory) -> None:
    for mine, theirs in zip(tensors(one), tensors(other), strict=True):
        assert torch.equal(mine, theirs)


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (one - other).abs().max() <= DENSE_RTOL * other.abs().max()


def everything(n_streams: int, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_streams, n, generator=generator).argsort(-1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("key_bias", [False, True])
def test_all_active_equals_dense_after_any_history(make, seed, key_bias):
    config = replace(make.small, key_bias=key_bias)
    encoder = make.encoder(config, seed)
    memory = make.history(encoder, n_streams=2, seed=seed + 1)
    now = make.counts(seed + 50, 2)
    dense = encoder.dense((now, None))
    sparse, n_rows = encoder.step((now, None), Rows(everything(2, 25, seed), None), memory)
    for mine, theirs in zip(tensors(sparse), tensors(dense), strict=True):
        assert_close(mine.float(), theirs.float())
    assert n_rows.tolist() == [[25, 25], [25, 25]]


def test_a_sparse_step_differs_from_dense_when_something_is_left_out(make):
    encoder = make.encoder()
    memory = make.history(encoder)
    now = make.counts(50)
    sparse, _ = encoder.step((now, None), Rows(torch.arange(20)[None], None), memory)
    assert (sparse.tokens - encoder.dense((now, None)).tokens).abs().max() > 1e-2


@pytest.mark.parametrize("gate_tau", [None, 0.5])
@pytest.mark.parametrize("merge", [False, True])
def test_dense_owes_nothing_to_gate_and_merge(make, gate_tau, merge):
    plain = make.encoder()
    encoder = make.encoder(replace(make.small, gate_tau=gate_tau, merge=merge))
    encoder.load_state_dict(plain.state_dict(), strict=False)
    now = make.counts(3)
    dense = encoder.dense((now, None))
    assert torch.equal(dense.tokens, plain.dense((now, None)).tokens)
    assert torch.equal(dense.size, torch.ones(1, 25))
    assert torch.equal(dense.age, torch.zeros(1, 25, dtype=torch.int64))


def test_nothing_active_keeps_all_bits_and_ages_by_one(make):
    encoder = make.encoder()
    memory = make.history(encoder)
    nothing = torch.empty(1, 0, dtype=torch.int64)
    after, n_rows = encoder.step((make.counts(9), None), Rows(nothing, None), memory)
    assert torch.equal(after.age, memory.age + 1)
    assert_same_bits(replace(after, age=memory.age), memory)
    assert n_rows.tolist() == [[0, 0]]


def test_untouched_patches_keep_their_bits_and_touched_ones_are_fresh(make):
    encoder = make.encoder()
    memory = make.history(encoder)
    index = torch.tensor([[3, 17, 8]])
    after, _ = encoder.step((make.counts(9), None), Rows(index, None), memory)
    others = [i for i in range(25) if i not in (3, 17, 8)]
    for before, now in zip((memory.tokens, *memory.keys), (after.tokens, *after.keys), strict=True):
        assert torch.equal(now[..., others, :], before[..., others, :])
        assert not torch.equal(now[..., index[0], :], before[..., index[0], :])
    assert torch.equal(after.age[:, others], memory.age[:, others] + 1)
    assert after.age[0, index[0]].tolist() == [0, 0, 0]


def test_padding_writes_nothing(make):
    encoder = make.encoder()
    memory = make.history(encoder)
    now = make.counts(9)
    valid = torch.tensor([[True, True, False, False]])
    rows = Rows(torch.tensor([[3, 17, 8, 1]]), valid)
    padded, _ = encoder.step((now, None), rows, memory)
    plain, _ = encoder.step((now, None), Rows(torch.tensor([[3, 17]]), None), memory)
    for mine, theirs in zip(tensors(padded), tensors(plain), strict=True):
        assert_close(mine.float(), theirs.float())


def test_streams_of_a_batch_do_not_affect_each_other(make):
    encoder = make.encoder()
    memory = make.history(encoder, n_streams=3)
    now = make.counts(9, 3)
    index = everything(3, 25)[:, :7]
    valid = torch.arange(7) < torch.tensor([[7], [2], [4]])
    together, n_rows = encoder.step((now, None), Rows(index, valid), memory)
    order = torch.tensor([2, 0, 1])
    rows = Rows(index[order], valid[order])
    permuted, _ = encoder.step((now[order], None), rows, memory.streams(order))
    for mine, theirs in zip(tensors(permuted), tensors(together.streams(order)), strict=True):
        assert_close(mine.float(), theirs.float())
    for stream in range(3):
        one = torch.tensor([stream])
        k = int(valid[stream].sum())
        alone, _ = encoder.step((now[one], None), Rows(index[one, :k], None), memory.streams(one))
        for mine, theirs in zip(tensors(alone), tensors(together.streams(one)), strict=True):
            assert_close(mine.float(), theirs.float())
    assert n_rows.tolist() == [[7, 7], [2, 2], [4, 4]]


def test_gate_at_zero_is_the_plain_path(make):
    plain, gated = make.encoder(), make.encoder(replace(make.small, gate_tau=0.0))
    index, now = everything(2, 25)[:, :9], make.counts(9, 2)
    memory, gated_memory = make.history(plain, 2), make.history(gated, 2)
    expected, _ = plain.step((now, None), Rows(index, None), memory)
    result, n_rows = gated.step((now, None), Rows(index, None), gated_memory)
    bare = replace(result, references=(), outputs=(), signals=expected.signals)
    assert_same_bits(bare, expected)
    assert n_rows.tolist() == [[9, 9], [9, 9]]


def test_gate_holds_back_what_did_not_change(make):
    encoder = make.encoder(replace(make.small, gate_tau=1e-4))
    counts = make.counts(9)
    memory = encoder.dense((counts, None))
    after, n_rows = encoder.step((counts, None), Rows(everything(1, 25), None), memory)
    assert n_rows.tolist() == [[0, 0]]
    assert_close(after.tokens, memory.tokens)


def test_gate_fires_on_slow_drift_once_it_adds_up(make):
    # the reference is what was last computed on, so steps of tau/3 pass at the fourth step
    tau = 0.3
    encoder = make.encoder(replace(make.small, gate_tau=tau, depth=1))
    counts = torch.zeros(1, 3, 15, 15, dtype=torch.uint8)
    memory = encoder.dense((counts, None))
    norm = encoder.blocks[0].norm1
    norm.weight.zero_()  # the gate then sees the bias alone, which we move by hand
    norm.bias.fill_(1.0)
    memory = replace(memory, references=(torch.ones_like(memory.references[0]),))
    passed = []
    for step in range(1, 6):
        norm.bias.fill_(1.0 + step * tau * 0.3)
        memory, n_rows = encoder.step((counts, None), Rows(everything(1, 25), None), memory)
        passed.append(int(n_rows))
    assert passed == [0, 0, 0, 25, 0]


def test_merge_with_gate_one_is_plain_replacement(make):
    plain, merged = make.encoder(), make.encoder(replace(make.small, merge=True))
    merged.load_state_dict(plain.state_dict(), strict=False)
    merged.merge.gate.weight.zero_()
    merged.merge.gate.bias.fill_(100.0)  # sigmoid(100) is exactly 1 in float32
    memory, now, index = make.history(plain), make.counts(9), everything(1, 25)[:, :9]
    expected, _ = plain.step((now, None), Rows(index, None), memory)
    result, _ = merged.step((now, None), Rows(index, None), memory)
    assert_same_bits(result, expected)


def test_outputs_share_no_memory_with_the_state(make):
    encoder = make.encoder()
    memory = make.history(encoder)
    before = [tensor.clone() for tensor in tensors(memory)]
    index = torch.tensor([[3, 17, 8]])
    after, _ = encoder.step((make.counts(9), None), Rows(index, None), memory)
    for tensor in tensors(after):
        tensor.zero_()
    assert all(map(torch.equal, tensors(memory), before))


def test_a_frame_matters_and_its_absence_is_an_input(make):
    encoder = make.encoder()
    frame = torch.randint(0, 255, (1, 80, 80, 3), dtype=torch.uint8)
    counts = make.counts(1)
    tokens = [encoder.dense((counts, f)).tokens for f in (None, frame, 255 - frame)]
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3
    assert (tokens[1] - tokens[2]).abs().max() > 1e-3


@pytest.mark.parametrize("bad", [{"dim": 15, "heads": 2}, {"heads": 0}, {"gate_tau": -1.0}])
def test_config_refuses_nonsense(bad):
    with pytest.raises(UsageError, match="encoder: "):
        EncoderConfig(**bad)
