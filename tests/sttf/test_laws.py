"""The laws of a step that remembers, for the encoder alone and in every ablation.

Two of the twelve stand elsewhere: that the spiking mask is the same in every simulator in
``tests/spiking/backends``, that mirroring twice gives the same gesture in
``tests/training/test_augment.py``. Law 11 is about routers; here it is the layers' gates.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from neurovlm.core.ops import total_macs
from neurovlm.counting.ledger import Ledger
from neurovlm.events.scenes import moving_square
from neurovlm.frontend.detect import detect
from neurovlm.sttf.block import Rows
from neurovlm.sttf.config import EncoderConfig
from neurovlm.sttf.counts import drift_counts, encoder_counts
from neurovlm.sttf.memory import TokenMemory
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.thresholds import ThresholdConfig, ThresholdPolicy
from neurovlm.sttf.vit import SparseViT
from neurovlm.sttf.window import Encoded, Steering, SttfState, encode_window

N = 25
TOLERANCE = 1e-5  # relative to the largest: float32 sums in another order

ABLATIONS = {
    "plain": {},
    "tokens only": {"remember": "tokens"},
    "nothing": {"remember": "nothing"},
    "gate": {"gate_tau": 0.6},
    "key bias": {"key_bias": True},
    "merge": {"merge": True},
    "uncertainty": {"uncertainty": True},
    "prefix": {"n_prefix": 2},
    "all": {
        "gate_tau": 0.6, "key_bias": True, "merge": True, "uncertainty": True, "n_prefix": 2
    },
}  # fmt: skip
ablations = pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)


def tensors(memory: TokenMemory) -> dict[str, Tensor]:
    """Everything a memory holds, by name."""
    flat = {}
    for field in fields(memory):
        value = getattr(memory, field.name)
        parts = value if isinstance(value, tuple) else (value,)
        flat |= {f"{field.name}.{layer}": part for layer, part in enumerate(parts)}
    return flat


def assert_close(one: TokenMemory, other: TokenMemory, but: tuple[str, ...] = ()) -> None:
    mine, theirs = tensors(one), tensors(other)
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        if not name.startswith(but):
            difference = (mine[name].double() - value.double()).abs().max()
            assert difference <= TOLERANCE * value.double().abs().max(), name


def assert_same_bits(one: TokenMemory, other: TokenMemory) -> None:
    mine, theirs = tensors(one), tensors(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def order(n_streams: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_streams, N, generator=generator).argsort(-1)


def flood(n_streams: int, n: int = N) -> tuple[Tensor, Tensor]:
    """Everything changes."""
    return torch.ones(n_streams, n, dtype=torch.bool), torch.ones(n_streams, n, dtype=torch.int64)


# 1. All tokens active: the sparse step is the dense step, whatever came before.


@ablations
@pytest.mark.parametrize("seed", range(3))
def test_law_1_all_active_equals_dense_after_any_history(make, changes, seed):
    encoder = make.encoder(replace(make.small, **changes), seed)
    memory = make.history(encoder, n_streams=2, seed=seed + 1)
    if encoder.merge is not None:  # replaces where it learned not to average
        encoder.merge.gate.weight.zero_()
        encoder.merge.gate.bias.fill_(100.0)
    now = (make.counts(seed + 50, 2), None)
    everyone = torch.zeros(2, 2)  # a threshold of 0 lets every token pass
    sparse, n_rows = encoder.step(now, Rows(order(2, seed), None), memory, everyone)
    assert_close(sparse, encoder.dense(now), but=("signals",))
    assert (n_rows == encoder.config.n_rows).all()


# 2. Nothing active: the memory keeps its bits and is one window older; nothing runs.


@ablations
def test_law_2_nothing_active_costs_nothing_and_changes_only_age(make, changes):
    encoder = make.encoder(replace(make.small, **changes))
    memory = make.history(encoder)
    nothing = Rows(torch.empty(1, 0, dtype=torch.int64), None)
    with Ledger(encoder) as ledger:
        after, n_rows = encoder.step((make.counts(9), None), nothing, memory)
    assert ledger.total == total_macs(encoder_counts(encoder.config, 0)) == 0
    assert not n_rows.any()
    assert torch.equal(after.age, memory.age + 1)
    forgets = encoder.config.remember == "nothing"
    kept = torch.zeros_like(memory.tokens) if forgets else memory.tokens
    assert_same_bits(after, replace(memory, age=memory.age + 1, tokens=kept))


# 3. Streams do not see each other: order, padding and company change nothing.


@ablations
def test_law_3_streams_do_not_affect_each_other(make, changes):
    encoder = make.encoder(replace(make.small, **changes))
    memory, now = make.history(encoder, n_streams=3), make.counts(9, 3)
    index = order(3)[:, :7]
    valid = torch.arange(7) < torch.tensor([[7], [2], [4]])
    together, n_rows = encoder.step((now, None), Rows(index, valid), memory)
    turn = torch.tensor([2, 0, 1])
    rows = Rows(index[turn], valid[turn])
    permuted, _ = encoder.step((now[turn], None), rows, memory.streams(turn))
    assert_close(permuted, together.streams(turn))
    for stream in range(3):
        one = torch.tensor([stream])
        rows = Rows(index[one, : int(valid[stream].sum())], None)
        alone, n_alone = encoder.step((now[one], None), rows, memory.streams(one))
        assert_close(alone, together.streams(one))
        assert torch.equal(n_alone, n_rows[one])


# 4. The encoder's multiply-accumulates are those of its rows: N / k less.


@pytest.mark.parametrize("k", [1, 10, 25])
@pytest.mark.parametrize("name", ["plain", "key bias", "merge", "uncertainty", "prefix"])
def test_law_4_macs_fall_exactly_as_the_rows(make, name, k):
    encoder = make.encoder(replace(make.small, **ABLATIONS[name]))
    now = (make.counts(3), None)
    blocks: list[int] = []
    with Ledger(encoder) as dense:
        memory = encoder.dense(now)
    with Ledger(encoder) as sparse:
        encoder.step(now, Rows(order(1)[:, :k], None), memory)
    for ledger in (dense, sparse):
        own = {part: macs for part, macs in ledger.macs.items() if part.startswith("blocks.")}
        blocks.append(sum(own.values()))
        ours = N if ledger is dense else k
        assert ledger.macs["embed.events"] == ours * 3 * 9 * 16
    n_prefix = encoder.config.n_prefix
    assert blocks[0] * (n_prefix + k) == blocks[1] * (n_prefix + N)


def test_law_4_in_the_shape_of_the_grid():
    config = EncoderConfig()
    dense = total_macs(encoder_counts(config, 0, dense=True), "encoder")
    for k in (1, 31, 196):
        assert dense * k == total_macs(encoder_counts(config, k), "encoder") * 196


# 5. A dense step forgets the past; a state is a value that comes back from its arrays.


@ablations
def test_law_5_a_dense_step_removes_all_influence_of_the_past(make, changes):
    encoder = make.encoder(replace(make.small, **changes))
    policy = PolicyConfig(max_active=8, n_refresh=2)
    now, everything = (make.counts(40), None), flood(1)
    after = []
    for seed in (1, 2):
        encoded = None
        for window in range(4):
            inputs = (make.counts(10 * seed + window), None)
            before = None if encoded is None else encoded.state
            encoded = encode_window(encoder, policy, inputs, *everything, before)
        after.append(encode_window(encoder, policy, now, *everything, encoded.state, dense=True))
    one, other = (each.state for each in after)
    assert_same_bits(one.memory, other.memory)
    assert all(map(torch.equal, one.policy, other.policy))


@ablations
def test_law_5_the_step_after_a_reload_is_the_same_to_the_bit(make, changes):
    encoder = make.encoder(replace(make.small, **changes))
    memory = make.history(encoder)
    again = TokenMemory.from_arrays(memory.to_arrays())
    now, rows = (make.counts(9), None), Rows(order(1)[:, :6], None)
    assert_same_bits(encoder.step(now, rows, again)[0], encoder.step(now, rows, memory)[0])


# 6. Refresh bounds every age.


@ablations
@pytest.mark.parametrize(("share", "n_refresh", "idle"), [(0.0, 6, 2), (0.1, 3, 3), (1.0, 3, 1)])
def test_law_6_no_token_is_older_than_the_refresh_allows(make, changes, share, n_refresh, idle):
    encoder = make.encoder(replace(make.small, **changes))
    policy = PolicyConfig(
        max_active=8, n_refresh=n_refresh, idle_refresh=idle, cut_interval=None,
        n_uncertain=1 if encoder.drift is not None else 0,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    slots = n_refresh if share == 1.0 else idle
    state: SttfState | None = None
    for window in range(40):
        changed = torch.rand(2, N, generator=generator) < share
        inputs = (make.counts(window, 2), None)
        state = encode_window(encoder, policy, inputs, changed, changed.long(), state).state
        assert int(state.memory.age.max()) <= math.ceil(N / slots)


# 7. Drift too slow for any one window passes the gate once it adds up.


def norm_that_says(encoder: SparseViT, value: float) -> None:
    """Make every row of the first layer's normalised input ``value``, whatever comes in."""
    norm = encoder.layers[0].norm1
    norm.weight.zero_()
    norm.bias.fill_(value)


@pytest.mark.parametrize(("tau", "drift"), [(0.3, 0.09), (0.2, 0.03), (0.5, 0.5)])
def test_law_7_slow_drift_fires_within_threshold_over_drift_windows(make, tau, drift):
    encoder = make.encoder(replace(make.small, gate_tau=tau, depth=1))
    now = (torch.zeros(1, 3, 15, 15, dtype=torch.uint8), None)
    norm_that_says(encoder, 1.0)
    memory = encoder.dense(now)
    due = math.ceil(tau / drift - 1e-3)
    for window in range(1, due + 1):
        norm_that_says(encoder, 1.0 + window * drift * 1.001)
        memory, n_rows = encoder.step(now, Rows(order(1), None), memory)
        assert int(n_rows) == (N if window == due else 0)


# 8. Where something was and where it now is are both computed.


def test_law_8_vacated_and_entered_patches_are_both_active(make):
    px_s, size, window_s = 80.0, 20.0, 0.025
    clip = moving_square(velocity_px_s=(px_s, 0.0), size_px=size, duration_s=0.9)
    seen = detect(clip.stream)
    encoder = make.encoder(EncoderConfig(dim=16, depth=1, heads=2))
    active, state = [], None
    for k in range(len(seen.mask)):
        changed = torch.tensor(seen.mask.changed[k : k + 1])
        score = torch.tensor(seen.mask.score[k : k + 1])
        inputs = (torch.tensor(seen.counts[k : k + 1]), None)
        encoded = encode_window(encoder, PolicyConfig(), inputs, changed, score, state)
        state = encoded.state
        chosen = encoded.selection.index[0, : int(encoded.selection.n_changed)]
        active.append(set(chosen.tolist()))
    row, checked = 6, 0  # sensor rows 55 to 64: inside the square's 50 to 70
    for column in range(5, 9):
        left, right = 9 * column + 1, 9 * column + 10  # the grid starts at sensor column 1
        entered = int((left - size - 20) / px_s / window_s)
        vacated = int((right - 20) / px_s / window_s)
        patch = 14 * row + column
        assert any(patch in each for each in active[entered : entered + 3])
        assert any(patch in each for each in active[vacated - 1 : vacated + 2])
        checked += 1
    assert checked == 4


# 11. A layer that is not run is not touched; cost follows the budget; evaluation is determined.


def test_law_11_a_layer_whose_gate_is_shut_is_never_called(make):
    encoder = make.encoder(replace(make.small, gate_tau=1e-3))
    memory = encoder.dense((make.counts(3), None))
    calls: Counter[str] = Counter()
    for name, module in encoder.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
    shut = torch.tensor([[1e-3, 1e9]])
    after, n_rows = encoder.step((make.counts(4), None), Rows(order(1), None), memory, shut)
    assert n_rows.tolist() == [[N, 0]]
    assert calls["blocks.0.qkv"] == calls["blocks.0.mlp_out"] == 1
    touched = {name for name in calls if name.startswith("blocks.1.")}
    assert touched == {"blocks.1.norm1"}  # what the gate looks at
    assert torch.equal(after.keys[1], memory.keys[1])
    assert all(tensor.isfinite().all() for tensor in tensors(after).values())


def walk(encoder: SparseViT, thresholds: ThresholdPolicy, budget: float) -> list[Encoded]:
    generator = torch.Generator().manual_seed(5)
    state, seen = None, []
    for _ in range(12):
        counts = torch.randint(0, 4, (1, 3, 15, 15), generator=generator, dtype=torch.uint8)
        changed = torch.rand(1, N, generator=generator) < 0.3
        steering = Steering(
            thresholds,
            events=counts.sum(dim=(1, 2, 3)),
            doubt=torch.tensor([0.5]),
            budget=torch.tensor([budget]),
        )
        policy = PolicyConfig(max_active=12, n_refresh=2)
        seen.append(
            encode_window(
                encoder, policy, (counts, None), changed, changed.long(), state, steering=steering
            )
        )
        state = seen[-1].state
    return seen


def test_law_11_rows_fall_with_the_budget_and_are_determined(make):
    encoder = make.encoder(replace(make.small, gate_tau=0.0))
    torch.manual_seed(0)
    thresholds = ThresholdPolicy(ThresholdConfig(0.0, 2.0), encoder.config.depth).eval()
    rows = []
    for budget in (0.0, 0.5, 1.0):
        one, again = (walk(encoder, thresholds, budget) for _ in range(2))
        for mine, theirs in zip(one, again, strict=True):
            assert_same_bits(mine.state.memory, theirs.state.memory)
            assert torch.equal(mine.n_rows, theirs.n_rows)
        rows.append(sum(int(each.n_rows.sum()) for each in one))
    assert rows[0] < rows[1] < rows[2]


def test_law_11_a_window_in_which_every_gate_is_shut_leaves_finite_signs(make):
    encoder = make.encoder(replace(make.small, gate_tau=1e9))
    memory = encoder.dense((make.counts(3), None))
    after, n_rows = encoder.step((make.counts(4), None), Rows(order(1)[:, :5], None), memory)
    assert not n_rows.any()
    assert after.signals.isfinite().all()


# 12. What a step says it cost is what ran.


@ablations
@pytest.mark.parametrize("k", [0, 1, 9, 25])
def test_law_12_counted_is_what_ran(make, changes, k):
    encoder = make.encoder(replace(make.small, **changes))
    memory = make.history(encoder)
    rows = Rows(order(1)[:, :k], None)
    with Ledger(encoder) as ledger:
        _, n_rows = encoder.step((make.counts(4), None), rows, memory)
    counted = encoder_counts(encoder.config, k, n_rows=n_rows[0].tolist())
    assert ledger.total == total_macs(counted)
    with Ledger(encoder) as ledger:
        dense = encoder.dense((make.counts(4), None))
    assert ledger.total == total_macs(encoder_counts(encoder.config, 0, dense=True))
    with Ledger(encoder) as ledger:
        looked = encoder.risk(dense)
    expected = 0 if looked is None else total_macs(drift_counts(16, N))
    assert ledger.total == expected


# A flood of events costs no more than the cap, and the dense steps a quota grants.


@pytest.mark.parametrize("cut_interval", [40, None])
def test_a_flood_costs_the_cap_and_its_quota_of_dense_steps(make, cut_interval):
    encoder = make.encoder(EncoderConfig(dim=8, depth=1, heads=2))
    policy = PolicyConfig(cut_interval=cut_interval)
    state, active, macs = None, [], []
    with Ledger(encoder) as ledger:
        for window in range(100):
            counts = torch.full((1, 3, 126, 126), window % 4, dtype=torch.uint8)
            before = ledger.total
            encoded = encode_window(encoder, policy, (counts, None), *flood(1, 196), state)
            state = encoded.state
            active.append(int(encoded.n_active))
            macs.append(ledger.total - before)
            assert bool(encoded.dense) == (active[-1] == 196)
    dense = [k for k, n in enumerate(active) if n == 196]
    assert dense == ([0] if cut_interval is None else [0, 40, 80])
    assert max(n for n in active if n != 196) == policy.max_active == 32
    at_the_cap = macs[1]
    for start in range(1 if cut_interval is None else 0, 61):
        stretch = slice(start, start + 40)
        limit = 1.0 if cut_interval is None else 1.2
        assert np.mean(active[stretch]) <= limit * policy.max_active
        assert np.mean(macs[stretch]) <= limit * at_the_cap
