"""Laws of the active set."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from neurovlm.core.errors import UsageError
from neurovlm.sttf.policy import (
    NEVER,
    Limits,
    PolicyConfig,
    PolicyState,
    Selection,
    asks_dense,
    notice,
    select,
    served,
    served_whole,
)

N = 196
START = PolicyState.initial(1, N)


def window(generator: torch.Generator, share: float, n_streams: int = 1) -> tuple[Tensor, Tensor]:
    changed = torch.rand(n_streams, N, generator=generator) < share
    return changed, changed * torch.randint(1, 9, (n_streams, N), generator=generator)


def spikes(scores: dict[int, int]) -> Tensor:
    score = torch.zeros(1, N, dtype=torch.int64)
    for patch, value in scores.items():
        score[0, patch] = value
    return score


def chosen(selection: Selection, stream: int = 0) -> list[int]:
    index = selection.index[stream]
    return (index if selection.valid is None else index[selection.valid[stream]]).tolist()


def owing(evidence: Tensor) -> PolicyState:
    return START._replace(evidence=evidence)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(("cap", "n_refresh"), [(32, 8), (10, 10), (24, 5), (196, 7)])
def test_refresh_bounds_every_age_and_cap_bounds_every_window(share, cap, n_refresh):
    generator = torch.Generator().manual_seed(0)
    config = PolicyConfig(max_active=cap, n_refresh=n_refresh, idle_refresh=n_refresh)
    age, state = torch.zeros(1, N, dtype=torch.int64), START
    for _ in range(120):
        _, state = notice(*window(generator, share), state, config)
        selection = select(state, age, None, config)
        state = served(state, selection)
        active = chosen(selection)
        assert len(active) == len(set(active)) == int(selection.n_active) <= cap
        age += 1
        age[0, active] = 0
        assert int(age.max()) <= math.ceil(N / n_refresh)


@pytest.mark.parametrize(("n_changed", "n_refreshed"), [(0, 2), (1, 2), (7, 3), (16, 8), (60, 8)])
def test_one_is_refreshed_for_two_that_changed_between_two_limits(n_changed, n_refreshed):
    score = spikes(dict.fromkeys(range(n_changed), 1))
    config = PolicyConfig(max_active=32, n_refresh=8, idle_refresh=2)
    selection = select(owing(score), torch.zeros_like(score), None, config)
    assert int(selection.n_refreshed) == n_refreshed
    assert int(selection.n_changed) == min(n_changed, 32 - 8)


def test_most_evidence_first_ties_by_patch():
    score = spikes({9: 3, 5: 3, 100: 8, 7: 3, 50: 1})
    config = PolicyConfig(max_active=3, n_refresh=0, idle_refresh=0)
    selection = select(owing(score), torch.zeros_like(score), None, config)
    assert sorted(chosen(selection)) == [5, 7, 100]


def test_a_score_without_a_change_does_not_count():
    score = spikes({9: 3, 60: 99})
    _, state = notice(score == 3, score, START, PolicyConfig())
    assert torch.equal(state.evidence, spikes({9: 3}))


def test_oldest_others_are_refreshed():
    age = spikes({4: 9, 30: 5, 31: 7, 90: 5})
    config = PolicyConfig(n_refresh=2, idle_refresh=2)
    selection = select(owing(spikes({4: 1})), age, None, config)
    assert chosen(selection) == [4, 30, 31]
    assert (int(selection.n_changed), int(selection.n_refreshed)) == (1, 2)


def test_the_most_doubtful_take_their_slots_between_changed_and_oldest():
    risk = torch.zeros(1, N)
    risk[0, [3, 50, 60, 70]] = torch.tensor([9.0, 0.4, 0.3, 0.2])  # 3 has changed anyway
    age = spikes({80: 9})
    config = PolicyConfig(
        max_active=6, n_refresh=1, idle_refresh=1, n_uncertain=3, uncertain_above=0.25
    )
    selection = select(owing(spikes({3: 1})), age, risk, config)
    assert chosen(selection) == [3, 50, 60, 80]
    assert (int(selection.n_changed), int(selection.n_uncertain)) == (1, 2)
    flood = select(owing(torch.ones_like(age)), age, risk, config)
    assert (int(flood.n_changed), int(flood.n_uncertain), int(flood.n_refreshed)) == (2, 3, 1)


def test_a_fixed_step_always_fills_the_cap():
    config = PolicyConfig(max_active=20, n_refresh=4, fixed=True)
    for n_changed in (0, 3, 16, 100):
        score = spikes(dict.fromkeys(range(n_changed), 1))
        selection = select(owing(score), torch.zeros_like(score), None, config)
        assert selection.index.shape == (1, 20) and selection.valid is None


def test_a_higher_threshold_never_adds_a_changed_patch():
    changed, score = window(torch.Generator().manual_seed(1), 0.1)
    config = PolicyConfig(max_active=N, n_refresh=0, idle_refresh=0)
    sets = []
    for threshold in (1, 3, 6):
        kept = torch.where(changed & (score >= threshold), score, 0)
        sets.append(set(chosen(select(owing(kept), torch.zeros_like(score), None, config))))
    assert sets[0] > sets[1] > sets[2]


def test_streams_are_chosen_alone_each_with_its_own_limits():
    generator = torch.Generator().manual_seed(2)
    _, score = window(generator, 0.2, 4)
    age = torch.randint(0, 20, (4, N), generator=generator)
    limits = Limits(torch.tensor([4, 40, 16, 196]), torch.tensor([0, 8, 16, 3]))
    whole = PolicyState.initial(4, N)._replace(evidence=score)
    together = select(whole, age, None, PolicyConfig(), limits)
    for stream in range(4):
        one = slice(stream, stream + 1)
        cap, slots = int(limits.max_active[stream]), int(limits.n_refresh[stream])
        config = PolicyConfig(max_active=cap, n_refresh=slots, idle_refresh=min(1, slots))
        alone = select(owing(score[one]), age[one], None, config)
        assert chosen(together, stream) == chosen(alone)


def test_nothing_to_do_is_an_empty_set():
    nothing = torch.zeros(1, N, dtype=torch.int64)
    selection = select(START, nothing, None, PolicyConfig(n_refresh=0, idle_refresh=0))
    assert selection.index.shape == (1, 0)


def test_what_the_cap_turned_away_comes_back_by_its_evidence_and_none_is_forgotten():
    generator = torch.Generator().manual_seed(3)
    config = PolicyConfig(max_active=24, n_refresh=4)
    state, age = START, torch.zeros(1, N, dtype=torch.int64)
    debt = [0] * N  # kept by hand: what each patch gathered since it was last computed
    for step in range(60):
        changed, score = window(generator, 0.4 if step < 40 else 0.0)
        for patch in range(N):
            debt[patch] += int(score[0, patch]) if changed[0, patch] else 0
        _, state = notice(changed, score, state, config)
        assert state.evidence[0].tolist() == debt
        selection = select(state, age, None, config)
        state = served(state, selection)
        by_evidence = chosen(selection)[: int(selection.n_changed)]
        turned_away = set(range(N)) - set(chosen(selection))
        if turned_away:
            least = min((debt[patch] for patch in by_evidence), default=0)
            assert all(debt[patch] <= least for patch in turned_away)
        age += 1
        for patch in chosen(selection):
            debt[patch], age[0, patch] = 0, 0
    assert sum(debt) == 0  # within twenty silent windows everything owed was paid


def test_a_change_without_a_score_still_counts():
    changed = spikes({5: 1}).bool()
    _, state = notice(changed, torch.zeros(1, N), START, PolicyConfig())
    assert torch.equal(state.evidence, spikes({5: 1}))


@pytest.mark.parametrize(("dilate", "hold"), [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_a_change_is_widened_in_space_and_time(dilate, hold):
    config = PolicyConfig(dilate=dilate, hold=hold)
    state, seen = START, []
    for step in range(4):
        changed = spikes({5 * 14 + 6: 1} if step == 0 else {}).bool()
        wide, state = notice(changed, changed.long(), state, config)
        seen.append(wide.view(14, 14))
    expected = torch.zeros(14, 14, dtype=torch.bool)
    expected[5 - dilate : 6 + dilate, 6 - dilate : 7 + dilate] = True
    for step, wide in enumerate(seen):
        assert torch.equal(wide, expected if step <= hold else torch.zeros_like(expected))


def test_quiet_counts_windows_since_a_change_and_stops_counting():
    state = START
    assert int(state.quiet.min()) == NEVER
    seen = []
    for step in range(NEVER + 5):
        changed = spikes({7: 1} if step == 2 else {}).bool()
        _, state = notice(changed, changed.long(), state, PolicyConfig())
        seen.append(int(state.quiet[0, 7]))
    assert seen[:5] == [NEVER, NEVER, 0, 1, 2]
    assert seen[-1] == NEVER


def test_scene_cut_is_a_larger_share_than_the_limit_and_waits_its_turn():
    changed = torch.zeros(2, 10, dtype=torch.bool)
    changed[0, :6] = True
    changed[1, :7] = True
    config = PolicyConfig(scene_cut_share=0.6, cut_interval=5)
    for since, expected in ((4, [False, False]), (5, [False, True])):
        state = PolicyState.initial(2, 10)._replace(since_dense=torch.tensor([since, since]))
        assert asks_dense(changed, state, config).tolist() == expected
    never = PolicyConfig(cut_interval=None)
    assert asks_dense(changed, state, never).tolist() == [False, False]


def test_a_dense_step_pays_everything_in_its_streams():
    state = PolicyState.initial(2, N)._replace(
        evidence=torch.ones(2, N, dtype=torch.int64), since_dense=torch.tensor([7, 7])
    )
    after = served_whole(state, torch.tensor([True, False]))
    assert after.evidence.sum(-1).tolist() == [0, N]
    assert after.since_dense.tolist() == [0, 7]


@pytest.mark.parametrize(
    "bad",
    [
        {"max_active": 0},
        {"n_refresh": 33},
        {"n_refresh": -1},
        {"n_refresh": 30, "n_uncertain": 3},
        {"idle_refresh": 9},
        {"scene_cut_share": 0.0},
        {"scene_cut_share": float("nan")},
        {"cut_interval": 0},
        {"budget": 1.5},
        {"dilate": -1},
        {"hold": -1},
    ],
)
def test_config_refuses_nonsense_in_one_line(bad):
    with pytest.raises(UsageError, match=r"^policy: ") as error:
        PolicyConfig(**bad)
    assert "\n" not in str(error.value)
