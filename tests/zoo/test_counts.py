"""Closed forms against what PyTorch counts while it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from neurovlm.core.ops import total_macs
from neurovlm.language.tokenizer import END
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.zoo.counts import count_boxes, count_caption, count_step
from neurovlm.zoo.spec import ModelSpec


def executed_macs(function, *args, **options):
    with FlopCounterMode(display=False) as counter:
        result = function(*args, **options)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2, result


@pytest.mark.parametrize("with_frames", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"merge": True},
        {"key_bias": True},
        {"gate_tau": 0.3},
        {"remember": "tokens"},
        {"remember": "nothing", "merge": True},
        {"uncertainty": True},
        {"activation": "swiglu", "layer_scale": True, "final_norm": False, "hidden": 24},
    ],
    ids=str,
)
def test_step_counts_equal_what_runs(build, windows, changes, share, with_frames):
    spec = build().spec
    policy = replace(spec.policy, n_uncertain=2, uncertain_above=0.0, cut_interval=2)
    spec = replace(
        spec,
        encoder=replace(spec.encoder, **changes),
        policy=policy if "uncertainty" in changes else spec.policy,
        thresholds=ThresholdConfig(hidden=5) if "gate_tau" in changes else None,
    )
    model = build(spec)
    state = model.init_state()
    for window in windows(4, share=share, with_frames=with_frames):
        macs, (output, state) = executed_macs(model.step, *window, state)
        counted = count_step(
            spec,
            len(output.active),
            dense=output.dense,
            with_frame=with_frames,
            n_rows=output.n_rows,
        )
        assert total_macs(counted) == macs


def test_counts_of_a_head_that_convolves_equal_what_runs(build, windows):
    spec = build().spec
    model = build(replace(spec, head=replace(spec.head, kind="conv")))
    macs, (output, _) = executed_macs(model.step, *windows(1)[0], model.init_state())
    assert total_macs(count_step(model.spec, 49, dense=output.dense)) == macs


def test_box_counts_equal_what_runs(build, windows):
    model = build(replace(build().spec, boxes=BoxConfig(hidden=16)))
    _, state = model.step(*windows(1)[0], model.init_state())
    macs, _ = executed_macs(model.find, state)
    assert total_macs(count_boxes(model.spec)) == macs > 0
    assert count_boxes(build().spec) == ()


def test_caption_counts_equal_what_runs(build, windows):
    model = build()
    with torch.no_grad():
        model.decoder.out.bias[END] = -50.0  # never stops before max_words
    _, state = model.step(*windows(1)[0], model.init_state())
    for n_words in range(1, model.spec.decoder.max_words + 1):
        shorter = replace(model.spec.decoder, max_words=n_words)
        model.decoder.config = shorter
        macs, _ = executed_macs(model.caption, state)
        assert total_macs(count_caption(model.spec, n_words)) == macs


@pytest.mark.parametrize("k", [1, 10, 31, 98, 196])
@pytest.mark.parametrize("encoder", [EncoderConfig(), EncoderConfig(dim=64, depth=2, heads=2)])
def test_encoder_saving_is_tokens_over_active(encoder, k):
    spec = ModelSpec(encoder=encoder)
    dense = total_macs(count_step(spec, 196, dense=True), "encoder")
    sparse = total_macs(count_step(spec, k), "encoder")
    assert dense * k == sparse * 196
    if k == 31:
        assert round(dense / sparse, 2) == 6.32


def test_encoder_macs_of_a_vit_by_hand():
    # per token and layer: 12 D^2 of weights and 2 N D of attention; embedding 3 * 81 * D
    spec = ModelSpec(encoder=EncoderConfig(dim=128, depth=3))
    per_token = 3 * (12 * 128**2 + 2 * 196 * 128) + 243 * 128
    assert total_macs(count_step(spec, 31), "encoder") == 31 * per_token


def test_nothing_active_counts_nothing_but_the_look_at_drift():
    assert count_step(ModelSpec(), 0) == ()
    looking = ModelSpec(encoder=EncoderConfig(uncertainty=True), policy=PolicyConfig(n_uncertain=1))
    assert total_macs(count_step(looking, 0)) == 196 * (128 + 2)


def test_what_a_gate_holds_back_is_not_counted_what_it_looks_at_is():
    spec = ModelSpec(encoder=EncoderConfig(gate_tau=0.1))
    passed, held = (count_step(spec, 30, n_rows=[r] * 3) for r in (30, 0))
    per_row = 12 * 128**2 + 2 * 196 * 128
    assert total_macs(passed) - total_macs(held) == 3 * 30 * per_row
    looked_at = {c.layer: c.elements for c in held if c.layer.startswith("blocks.0.")}
    assert looked_at["blocks.0.norm1"] == looked_at["blocks.0.gate"] == 30 * 128
    assert looked_at["blocks.0.outputs.read"] == 30 * 128
    assert looked_at["blocks.0.outputs"] == 0


def test_counts_are_named_once_and_never_negative():
    for counts in (count_step(ModelSpec(), 31), count_caption(ModelSpec(), 5)):
        names = [(count.stage, count.layer) for count in counts]
        assert len(names) == len(set(names))
        for count in counts:
            figures = (count.macs, count.elements, count.weight_bytes, count.write_bytes)
            assert min(figures) >= 0
            assert (count.macs > 0) == (count.kind in ("gemm", "attention"))
            assert count.macs or count.elements


def test_weight_bytes_are_those_of_the_parameters(build):
    # every weight of encoder blocks and head is read once in a step
    model = build()
    spec = model.spec
    counted = sum(c.weight_bytes for c in count_step(spec, 5) if c.kind == "gemm")
    modules = [model.encoder.embed.events, model.head]
    modules += [
        getattr(block, name)
        for block in model.encoder.blocks
        for name in ("qkv", "proj", "mlp_in", "mlp_out")
    ]
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    norm = sum(p.numel() for p in model.head.norm.parameters())
    assert counted == 4 * (parameters - norm)


def test_probabilities_do_not_depend_on_being_counted(build, windows):
    model = build()
    plain, _ = model.step(*windows(1)[0], model.init_state())
    _, (counted, _) = executed_macs(model.step, *windows(1)[0], model.init_state())
    np.testing.assert_array_equal(plain.probabilities, counted.probabilities)
