"""Operation counts of whole runs: equal to what torch dispatched, additive, ordered."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import Ops, Workload
from hw_models.ops import COUNTS
from neurovlm.counting.ledger import Ledger
from neurovlm.events.io import Frame
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.pipeline import Pipeline, RunConfig
from neurovlm.pipeline.work import StepKind, model_layers
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.zoo.spec import ModelSpec

ENCODERS = ({}, {"merge": True}, {"key_bias": True}, {"gate_tau": 0.2}, {"gate_tau": 0.0})
SPEC = ModelSpec()


def by_part(ledger: Ledger) -> Counter[str]:
    """MACs under the top modules of the model."""
    macs: Counter[str] = Counter()
    for name, count in ledger.macs.items():
        macs[name.partition(".")[0]] += count
    return macs


@pytest.mark.parametrize("encoder", ENCODERS, ids=str)
@pytest.mark.parametrize("dense", [False, True])
def test_a_run_counts_what_torch_ran(build, stream, encoder, dense):
    spec = build().spec
    spec = replace(spec, encoder=replace(spec.encoder, **encoder))
    pipeline = Pipeline(build(spec), RunConfig(caption_every=3), DetectorConfig())
    frames = [Frame(int(stream.t[0]) + 80_000, np.arange(64, dtype=np.uint8).reshape(8, 8))]
    with Ledger(pipeline.model) as ledger:
        result = pipeline.run(stream, frames=frames, dense=dense)
    workload = result.workload
    assert ledger.total == workload.total("executed").macs > 0
    ran = by_part(ledger)
    ours = {stage: workload.total("executed", stage).macs for stage in workload.stages}
    assert ours["decoder"] == ran["decoder"]
    assert ours["encoder"] + ours["memory"] == ran["encoder"]
    assert ours["fusion"] == ran["head"]


def test_boxes_are_counted_and_kept_with_every_caption_that_is_decoded(build, stream):
    spec = replace(build().spec, boxes=BoxConfig(n_classes=3))
    pipeline = Pipeline(build(spec), RunConfig(caption_every=2), DetectorConfig())
    with Ledger(pipeline.model) as ledger:
        result = pipeline.run(stream)
    ran = by_part(ledger)
    assert result.workload.total("executed", "fusion").macs == ran["head"] + ran["boxes"]
    assert ran["boxes"] > 0
    assert all(each.found is not None for each in result.predictions)
    decoded = [2 * k + 1 for k, each in enumerate(result.predictions) if not each.repeated]
    assert [sighting.window for sighting in result.sightings] == decoded
    for sighting in result.sightings:
        assert sighting.found is result.predictions[sighting.window // 2].found
        assert set(sighting.found.classes) <= {0, 1, 2}


def test_the_dense_counts_are_those_of_a_dense_run(pipeline, stream):
    sparse = pipeline.run(stream).workload
    with Ledger(pipeline.model) as ledger:
        pipeline.run(stream, dense=True)
    captions = sparse.total("dense", "decoder").macs
    assert sparse.total("dense").macs - captions == ledger.total - by_part(ledger)["decoder"]


def test_runs_add_up(pipeline, stream):
    one = pipeline.run(stream).workload
    two = pipeline.run(stream, detector_threshold=200).workload
    both = one + two
    assert both.inferences == one.inferences + two.inferences == 20
    assert both.ticks == one.ticks + two.ticks
    for which in ("executed", "padded", "dense"):
        assert both.total(which) == one.total(which) + two.total(which)


def test_a_run_counts_inferences_ticks_and_keeps_spikes_apart(pipeline, stream):
    result = pipeline.run(stream)
    workload = result.workload
    assert workload.inferences == result.n_windows == 10
    assert workload.ticks == 10 * 25 + pipeline.frontend.graph.network.depth
    assert workload.stages == ("frontend", "change", "encoder", "memory", "fusion", "decoder")
    spiking = workload.total("executed", "frontend") + workload.total("executed", "change")
    assert spiking.macs == 0
    assert spiking.synops == result.spiking.synops
    assert spiking.spikes == result.spiking.spikes + result.trace.input_spikes
    rest = [x for x in workload.layers if x.stage not in ("frontend", "change")]
    assert all(x.executed.synops == x.executed.neuron_updates == 0 for x in rest)


def test_a_workload_survives_its_file(pipeline, stream, tmp_path):
    workload = pipeline.run(stream).workload
    workload.save(tmp_path / "workload.json")
    again = Workload.load(tmp_path / "workload.json")
    assert again == workload
    assert again.hash() == workload.hash()


kinds = st.builds(
    lambda n, dense, frame: StepKind(196 if dense else n, dense, frame, (196 if dense else n,) * 3),
    st.integers(0, 196),
    st.booleans(),
    st.booleans(),
)
steps = st.dictionaries(kinds, st.integers(1, 50), max_size=4)
captions = st.dictionaries(st.integers(1, 24), st.integers(1, 5), max_size=2)


def totals(layers) -> dict[tuple[str, str], tuple[Ops, Ops, Ops]]:
    return {layer.key: (layer.executed, layer.padded, layer.dense) for layer in layers}


@given(steps, captions)
def test_executed_is_at_most_padded_is_at_most_dense(steps, captions):
    for executed, padded, dense in totals(model_layers(SPEC, steps, captions)).values():
        assert executed <= padded <= dense


@given(steps, captions, st.integers(2, 7))
def test_counts_are_proportional_to_how_often_a_step_was_taken(steps, captions, times):
    once = totals(model_layers(SPEC, steps, captions))
    many = totals(
        model_layers(
            SPEC,
            {kind: times * n for kind, n in steps.items()},
            {words: times * n for words, n in captions.items()},
        )
    )
    assert once.keys() == many.keys()
    for key, parts in once.items():
        for part, multiple in zip(parts, many[key], strict=True):
            for name in COUNTS:
                assert getattr(multiple, name) == times * getattr(part, name)


@given(steps, steps)
def test_counts_of_two_runs_add(one, other):
    both = totals(model_layers(SPEC, Counter(one) + Counter(other), {}))
    parts = [totals(model_layers(SPEC, each, {})) for each in (one, other)]
    nothing = (Ops(), Ops(), Ops())
    assert both.keys() == parts[0].keys() | parts[1].keys()
    for key, whole in both.items():
        summed = [a + b for a, b in zip(*(p.get(key, nothing) for p in parts), strict=True)]
        assert list(whole) == summed


def test_an_idle_window_executes_nothing_but_its_twin_does():
    idle = StepKind(0, False, False, (0, 0, 0))
    dense = StepKind(196, True, False, (196,) * 3)
    silent, full = (totals(model_layers(SPEC, {kind: 3}, {})) for kind in (idle, dense))
    assert silent.keys() == full.keys()
    for key, (executed, padded, twin) in silent.items():
        assert executed == padded == Ops()
        assert twin == full[key][2]
