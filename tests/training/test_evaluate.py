"""Scores say what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovlm.training.evaluate import read


def test_a_model_that_always_says_one_label_is_right_in_half_of_two(build, clips):
    model = build().eval()
    with torch.no_grad():
        model.head.label.bias[3] = 50.0
    assert read(model, clips()).accuracy == 0.5


def test_active_tokens_are_the_mean_over_windows_the_first_included(build, clips):
    model = build().eval()
    source = clips(n=2)
    reading = read(model, source)
    policy = model.spec.policy
    changed = np.minimum(source.changed[:, 1:].sum(-1), policy.max_active - policy.n_refresh)
    active = np.concatenate([np.full((2, 1), 196), changed + policy.n_refresh], axis=1)
    assert reading.mean_active == pytest.approx(active.mean())
    assert read(model, source, dense=True).mean_active == 196


def test_shuffling_changes_the_order_and_nothing_else(build, clips):
    model = build().eval()
    one, two = (read(model, clips(), shuffle=np.random.default_rng(0)) for _ in range(2))
    assert one == two
    assert one.mean_active == pytest.approx(read(model, clips()).mean_active, rel=0.1)


@pytest.mark.parametrize("with_frames", [False, True])
def test_colour_is_asked_for_with_frames_only(build, clips, with_frames):
    reading = read(build().eval(), clips(n=2, n_windows=8, with_frames=with_frames))
    assert ("colour" in reading.by_slot) == with_frames
