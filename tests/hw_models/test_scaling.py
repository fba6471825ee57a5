from __future__ import annotations

from dataclasses import replace

import pytest

from hw_models import EstimateError, LayerOps, OpKind, Ops, Workload, estimate
from hw_models.ops import COUNTS
from hw_models.scaling import activity_of, event_rate_hz, with_activity, with_event_rate


def per_inference(workload: Workload, which: str = "executed") -> dict[str, dict[str, float]]:
    return {
        layer.layer: {
            name: count / workload.inferences
            for name, count in getattr(layer, which).to_dict().items()
        }
        for layer in workload.layers
    }


def alike(one: Workload, other: Workload) -> None:
    for which in ("executed", "padded", "dense"):
        mine, theirs = per_inference(one, which), per_inference(other, which)
        for layer, counts in mine.items():
            assert counts == pytest.approx(theirs[layer], rel=1e-3, abs=1e-3)
    assert one.ticks / one.inferences == other.ticks / other.inferences


def test_the_event_rate_counts_what_inputs_inject(pipeline: Workload) -> None:
    assert event_rate_hz(pipeline) == 40_000 / 40 * 40  # spikes per window, windows per second


def test_its_own_event_rate_is_the_run(pipeline: Workload) -> None:
    alike(with_event_rate(pipeline, event_rate_hz(pipeline)), pipeline)


@pytest.mark.parametrize("factor", [0.0, 0.3, 7.0])
def test_an_event_rate_multiplies_spikes_and_synops_only(pipeline: Workload, factor: float) -> None:
    scaled = per_inference(with_event_rate(pipeline, factor * event_rate_hz(pipeline)))
    for layer, counts in per_inference(pipeline).items():
        for name, count in counts.items():
            expected = factor * count if name in ("spikes", "synops") else count
            assert scaled[layer][name] == pytest.approx(expected)


def test_a_run_without_events_has_no_event_rate(pipeline: Workload) -> None:
    silent = replace(pipeline, layers=pipeline.layers[1:])
    with pytest.raises(EstimateError, match=r"injects no spikes.*add an input layer"):
        event_rate_hz(silent)
    with pytest.raises(EstimateError, match="event rate must be at least 0 and finite, got nan"):
        with_event_rate(pipeline, float("nan"))


def test_activity_is_the_executed_share_of_what_skips(pipeline: Workload) -> None:
    assert activity_of(pipeline) == pytest.approx(60 / 385)  # qkv; attention and head skip nothing


def test_its_own_activity_is_the_run_and_one_is_dense(pipeline: Workload) -> None:
    alike(with_activity(pipeline, activity_of(pipeline)), pipeline)
    full = per_inference(with_activity(pipeline, 1.0))
    dense = per_inference(pipeline, "dense")
    for layer in ("gather", "qkv", "attention", "norm", "head"):
        assert full[layer] == pytest.approx(dense[layer])


def test_no_activity_leaves_what_the_run_could_not_skip(pipeline: Workload) -> None:
    none, run = per_inference(with_activity(pipeline, 0.0)), per_inference(pipeline)
    assert none["qkv"]["macs"] == none["qkv"]["read_bytes"] == 0
    assert none["qkv"]["weight_bytes"] == run["qkv"]["weight_bytes"]
    assert none["qkv"]["launches"] == run["qkv"]["launches"]
    for layer in ("input", "F", "D", "attention", "norm", "head"):
        assert none[layer] == pytest.approx(run[layer])


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_counts_move_in_proportion_and_in_order(pipeline: Workload, share: float) -> None:
    own, moved = activity_of(pipeline), with_activity(pipeline, share)
    executed, padded = per_inference(moved), per_inference(moved, "padded")
    for which, got in ((60e6, executed), (64e6, padded)):
        below = which * share / own
        above = which + (385e6 - which) * (share - own) / (1 - own)
        assert got["qkv"]["macs"] == pytest.approx((below if share < own else above) / 40)
    assert activity_of(moved) == pytest.approx(share)


def test_rare_counts_are_not_rounded_away() -> None:
    layer = LayerOps(
        "encoder", "x", OpKind.GEMM, Ops(macs=1, launches=1), dense=Ops(macs=2, launches=2)
    )
    run = Workload("tiny", 1, 25, (layer,))
    moved = per_inference(with_activity(run, 0.25))["x"]
    assert moved["macs"] == moved["launches"] == 0.5


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_bad_activities_are_refused(pipeline: Workload, share: float) -> None:
    with pytest.raises(EstimateError, match="activity must be between 0 and 1"):
        with_activity(pipeline, share)


def test_a_run_that_skips_nothing_has_no_activity(pipeline: Workload) -> None:
    dense = replace(
        pipeline,
        layers=tuple(replace(x, executed=x.dense, padded=x.dense) for x in pipeline.layers),
    )
    with pytest.raises(EstimateError, match="skips no MACs"):
        activity_of(dense)


def test_full_activity_costs_what_the_dense_twin_costs(pipeline: Workload) -> None:
    """Without gather and scatter, which a dense pass leaves out."""
    kept = replace(pipeline, layers=tuple(x for x in pipeline.layers if x.layer != "gather"))
    report, full = (estimate(run, "jetson-orin-nano") for run in (kept, with_activity(kept, 1.0)))
    assert report.dense_twin is not None
    for name in ("energy_active_j", "latency_s"):
        twin, run = getattr(report.dense_twin, name), getattr(full, name)
        assert (run.value, run.low, run.high) == pytest.approx((twin.value, twin.low, twin.high))


def test_every_count_is_known_to_the_rules() -> None:
    """A new count must be given a rule here and in the module's words."""
    assert set(COUNTS) == {
        "macs",
        "synops",
        "neuron_updates",
        "spikes",
        "elements",
        "weight_bytes",
        "read_bytes",
        "write_bytes",
        "launches",
    }
