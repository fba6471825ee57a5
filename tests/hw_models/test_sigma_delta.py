"""ANN layers on neurocores: counts by hand, and refusals that say what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from hw_models import (
    EnergyReport,
    LayerOps,
    NeuromorphicChip,
    OpKind,
    Ops,
    Workload,
    estimate,
    load_device,
)
from hw_models.mapping import map_layers
from hw_models.neuromorphic import activity_of, take
from hw_models.table import table_of


def chip(name: str) -> NeuromorphicChip:
    device = load_device(name)
    assert isinstance(device, NeuromorphicChip)
    return device


def ann(
    name: str, kind: OpKind, density: float | None, executed: Ops, dense: Ops | None = None
) -> LayerOps:
    dense = executed if dense is None else dense
    return LayerOps("encoder", name, kind, executed, dense, dense, delta_density=density)


CONV = Ops(macs=2_000_000, elements=20_000, weight_bytes=2 * 4 * 900)


def test_activity_by_hand() -> None:
    """Two inferences of 1,000,000 MACs and 10,000 outputs each, a tenth of which changes."""
    layer = ann("conv", OpKind.CONV, 0.1, CONV)
    limits = chip("loihi2").limits
    mapping = map_layers([layer], limits, inferences=2)
    activity = activity_of(table_of([[layer]], [2], "executed", None), [mapping], np.zeros((1, 1)))
    assert activity.synops[0, 0] == pytest.approx(100_000)
    assert activity.delta_elements[0, 0] == pytest.approx(10_000)
    assert activity.spikes[0, 0] == activity.messages[0, 0] == pytest.approx(1000)
    assert (activity.updates[0, 0], activity.idle_updates[0, 0]) == (0, 0)
    assert activity.ticks[0, 0] == 1
    assert mapping.n_cores == 2  # 10,000 elements at 8192 per core
    assert mapping.placements[0].memory_share == pytest.approx(
        (5000 * 128 + 900 * 16) / 1_572_864
    )  # the kernel is stored in both


def test_energy_and_latency_by_hand() -> None:
    """Layers one after the other, a tick each: 100,000 synops, 10,000 elements, 1000 messages."""
    one = Ops(macs=1_000_000, elements=8_000, weight_bytes=4 * 900)
    layers = tuple(ann(name, OpKind.CONV, 0.1, one) for name in "ab")
    report = estimate(Workload("sdnn", 1, 25, layers), "loihi2")
    assert report.energy_active_j is not None and report.latency_s is not None
    layer_j = 100_000 * 15e-12 + 8000 * 2 * 60e-12 + 800 * 100e-12
    ticking_j = 2 * (2 * 1.6e-9 + 23.2e-9)  # two ticks of two cores and a chip
    layer_s = 100_000 * 0.66e-9 + 8000 * 2 * 4e-9
    assert report.energy_active_j.value == pytest.approx(2 * layer_j + ticking_j, rel=1e-12)
    assert report.latency_s.value == pytest.approx(2 * layer_s + 2 * 1.15e-6, rel=1e-12)
    assert report.covers == ("encoder",) and not report.not_covered


def test_a_longer_recording_of_the_same_windows_costs_the_same() -> None:
    """Forty windows with forty times the counts: per inference as one, on as many cores."""
    one, forty = (
        Ops(macs=n * 1_000_000, elements=n * 8_000, weight_bytes=n * 3600) for n in (1, 40)
    )
    reports = [
        estimate(Workload("sdnn", n, 25, (ann("a", OpKind.CONV, 0.1, ops),)), "loihi2")
        for n, ops in ((1, one), (40, forty))
    ]
    first, second = reports
    assert first.energy_active_j is not None and second.energy_active_j is not None
    assert second.energy_active_j.value == pytest.approx(first.energy_active_j.value, rel=1e-12)
    assert second.fits is first.fits is True


def test_layers_that_skip_work_send_less() -> None:
    """Half the tokens executed: half the operations and elements, the same cores."""
    dense = Ops(macs=1_000_000, elements=8_000)
    layer = ann("fc", OpKind.GEMM, 0.2, Ops(macs=500_000, elements=4_000), dense)
    mapping = map_layers([layer], chip("loihi2").limits)
    activity = activity_of(table_of([[layer]], [1], "executed", None), [mapping], np.zeros((1, 1)))
    assert activity.synops[0, 0] == pytest.approx(100_000)
    assert activity.delta_elements[0, 0] == pytest.approx(4_000)


def test_an_elementwise_layer_costs_an_operation_per_change() -> None:
    layer = ann("relu", OpKind.ELEMENTWISE, 0.25, Ops(elements=1000))
    mapping = map_layers([layer], chip("loihi2").limits)
    activity = activity_of(table_of([[layer]], [1], "executed", None), [mapping], np.zeros((1, 1)))
    assert activity.synops[0, 0] == activity.messages[0, 0] == pytest.approx(250)


def test_spiking_and_sigma_delta_layers_share_a_chip() -> None:
    """Ticks of both count; the spiking part is as alone, apart from the ticks of all cores."""
    spiking = LayerOps(
        "change", "net", OpKind.SPIKING, Ops(neuron_updates=1000, synops=5000), neurons=100
    )
    counts = Ops(macs=1_000_000, elements=8_000, weight_bytes=4 * 900)
    conv = ann("conv", OpKind.CONV, 0.1, counts)
    alone = estimate(Workload("a", 1, 25, (spiking,), ticks=10), "loihi2")
    both = estimate(Workload("b", 1, 25, (spiking, conv), ticks=10), "loihi2")
    assert both.covers == ("change", "encoder")

    def term(report: EnergyReport, stage: str, name: str) -> float:
        found = (row for row in report.rows if (row.stage, row.term) == (stage, name))
        return sum(row.amount.value for row in found)

    for name in ("neuron update", "synapse"):
        assert term(both, "change", name) == term(alone, "change", name)
    assert term(both, "encoder", "core overhead") == pytest.approx(11 * 1.6e-9)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (ann("fc", OpKind.GEMM, None, CONV), ("layer fc", "give delta_density", "measured")),
        (ann("mix", OpKind.ATTENTION, 0.1, Ops(macs=9)), ("layer mix: attention", "softmax")),
        (ann("pick", OpKind.GATHER, 0.1, Ops(read_bytes=9)), ("layer pick: gather has no",)),
        (ann("all", OpKind.VIT, 0.1, Ops(macs=9)), ("layer all", "vit", "give its layers")),
        (ann("fc", OpKind.GEMM, 0.1, Ops(macs=9)), ("layer fc: macs, and elements or write",)),
        (ann("norm", OpKind.ELEMENTWISE, None, Ops(elements=9)), ("layer norm", "normalisation")),
        (ann("act", OpKind.ELEMENTWISE, 0.1, Ops(write_bytes=9)), ("layer act: elements must",)),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(
    layer: LayerOps, words: tuple[str, ...]
) -> None:
    taken, left = take([layer], chip("loihi2"))
    assert taken == ()
    (refused,) = left
    assert refused.stage == "encoder"
    assert all(word in refused.reason for word in words), refused.reason


def test_loihi_1_has_binary_spikes_only() -> None:
    taken, left = take([ann("conv", OpKind.CONV, 0.1, CONV)], chip("loihi1"))
    assert taken == ()
    assert left[0].reason.startswith("Intel Loihi 1 sends binary spikes: a sigma-delta network")


def test_a_stage_runs_as_a_whole_or_not_at_all() -> None:
    """One attention layer keeps the convolution of its stage away as well."""
    good = ann("conv", OpKind.CONV, 0.1, CONV)
    bad = ann("mix", OpKind.ATTENTION, None, Ops(macs=9))
    taken, left = take([good, bad], chip("loihi2"))
    assert taken == ()
    assert [each.stage for each in left] == ["encoder"]
