"""Laws of the active set."""

from __future__ import annotations

import math

import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.policy import PolicyConfig, is_scene_cut, select

N = 196


def window(generator: torch.Generator, share: float, n_streams: int = 1):
    changed = torch.rand(n_streams, N, generator=generator) < share
    return changed, changed * torch.randint(1, 9, (n_streams, N), generator=generator)


def chosen(selection, stream: int = 0) -> list[int]:
    index = selection.index[stream]
    return (index if selection.valid is None else index[selection.valid[stream]]).tolist()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(("cap", "n_refresh"), [(32, 8), (10, 10), (24, 5), (196, 7)])
def test_refresh_bounds_every_age_and_cap_bounds_every_window(share, cap, n_refresh):
    generator = torch.Generator().manual_seed(0)
    age = torch.zeros(1, N, dtype=torch.int64)
    for _ in range(120):
        changed, score = window(generator, share)
        selection = select(changed, score, age, cap, n_refresh)
        active = chosen(selection)
        assert len(active) == len(set(active)) <= cap
        age += 1
        age[0, active] = 0
        assert int(age.max()) <= math.ceil(N / n_refresh)


def test_highest_scores_first_ties_by_patch():
    changed = torch.zeros(1, N, dtype=torch.bool)
    score = torch.zeros(1, N, dtype=torch.int64)
    for patch, spikes in {9: 3, 5: 3, 100: 8, 7: 3, 50: 1}.items():
        changed[0, patch], score[0, patch] = True, spikes
    score[0, 60] = 99  # not changed: its score does not count
    selection = select(changed, score, torch.zeros_like(score), 3, 0)
    assert sorted(chosen(selection)) == [5, 7, 100]


def test_oldest_others_are_refreshed():
    changed = torch.zeros(1, N, dtype=torch.bool)
    changed[0, 4] = True
    age = torch.zeros(1, N, dtype=torch.int64)
    age[0, [4, 30, 31, 90]] = torch.tensor([9, 5, 7, 5])
    selection = select(changed, changed.long(), age, 32, 2)
    assert chosen(selection) == [4, 30, 31]
    assert (int(selection.n_changed), int(selection.n_refreshed)) == (1, 2)


def test_a_higher_threshold_never_adds_a_changed_patch():
    generator = torch.Generator().manual_seed(1)
    changed, score = window(generator, 0.1)
    sets = []
    for threshold in (1, 3, 6):
        kept = changed & (score >= threshold)
        sets.append(set(chosen(select(kept, score, torch.zeros_like(score), N, 0))))
    assert sets[0] > sets[1] > sets[2]


def test_streams_are_chosen_alone_each_with_its_own_limits():
    generator = torch.Generator().manual_seed(2)
    changed, score = window(generator, 0.2, 4)
    age = torch.randint(0, 20, (4, N), generator=generator)
    caps, slots = torch.tensor([4, 40, 16, 196]), torch.tensor([0, 8, 16, 3])
    together = select(changed, score, age, caps, slots)
    for stream in range(4):
        one = slice(stream, stream + 1)
        alone = select(changed[one], score[one], age[one], int(caps[stream]), int(slots[stream]))
        assert chosen(together, stream) == chosen(alone)


def test_nothing_to_do_is_an_empty_set():
    nothing = torch.zeros(1, N, dtype=torch.int64)
    selection = select(nothing.bool(), nothing, nothing, 32, 0)
    assert selection.index.shape == (1, 0)


def test_scene_cut_is_a_larger_share_than_the_limit():
    changed = torch.zeros(2, 10, dtype=torch.bool)
    changed[0, :6] = True
    changed[1, :7] = True
    assert is_scene_cut(changed, 0.6).tolist() == [False, True]


@pytest.mark.parametrize("bad", [{"n_refresh": 33}, {"n_refresh": -1}, {"scene_cut_share": 0.0}])
def test_config_refuses_nonsense(bad):
    with pytest.raises(UsageError, match="policy: "):
        PolicyConfig(**bad)
