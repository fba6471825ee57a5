"""Temporal merge by hand."""

from __future__ import annotations

import math

import torch

from neurovlm.sttf.fusion import TemporalMerge


def merge_with_gate(gate: float) -> TemporalMerge:
    merge = TemporalMerge(2, bias=math.log(gate / (1 - gate)))
    return merge.requires_grad_(False)


def test_tokens_that_agree_are_averaged():
    new, old = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[1.0, 0.0]]])
    token, size = merge_with_gate(0.75)(new, old, torch.tensor([[1.0]]), torch.tensor([[3]]))
    torch.testing.assert_close(token, torch.tensor([[[1.75, 0.0]]]))
    torch.testing.assert_close(size, torch.tensor([[1.25]]))


def test_new_content_replaces_the_old():
    new, old = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[1.0, 1.0]]])  # cosine 0.71 < 0.8
    token, size = merge_with_gate(0.75)(new, old, torch.tensor([[4.0]]), torch.tensor([[3]]))
    assert torch.equal(token, new)
    assert torch.equal(size, torch.ones(1, 1))


def test_age_moves_the_gate_as_its_weight_says():
    merge = merge_with_gate(0.5)
    merge.gate.weight[0, -1] = 1.0  # logit grows by log(1 + age)
    both = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    token, _ = merge(2 * both, both, torch.ones(1, 2), torch.tensor([[0, 3]]))
    torch.testing.assert_close(token[0, :, 0], torch.tensor([1.5, 1.8]))  # g = 1/2 and 4/5
