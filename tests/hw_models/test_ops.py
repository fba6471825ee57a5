from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import LayerOps, OpKind, Ops, WorkloadError
from hw_models.ops import COUNTS

counts = st.builds(Ops, **{name: st.integers(0, 2**62) for name in COUNTS})


@given(counts, counts, counts)
def test_addition_is_associative_commutative_and_has_a_zero(a: Ops, b: Ops, c: Ops) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Ops() == a


@given(counts, counts)
def test_order_is_componentwise(a: Ops, b: Ops) -> None:
    assert a <= a + b
    smaller_everywhere = all(
        x <= y for x, y in zip(a.to_dict().values(), b.to_dict().values(), strict=True)
    )
    assert (a <= b) is smaller_everywhere
    assert set(a.exceeds(b)).isdisjoint(b.exceeds(a))


def test_numpy_integers_become_plain_integers() -> None:
    macs = Ops(macs=np.int64(7)).macs  # type: ignore[arg-type]
    assert macs == 7
    assert type(macs) is int


@pytest.mark.parametrize(
    ("count", "message"),
    [(-1, "macs must be at least 0, got -1"), (1.5, "macs must be an integer, got 1.5")],
)
def test_bad_counts_are_refused(count: float, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Ops(macs=count)  # type: ignore[arg-type]


def test_dense_and_padded_default_to_executed() -> None:
    layer = LayerOps("encoder", "x", OpKind.GEMM, Ops(macs=5))
    assert layer.dense == layer.padded == Ops(macs=5)


@given(executed=counts, extra=counts, more=counts)
def test_executed_padded_dense_must_not_decrease(executed: Ops, extra: Ops, more: Ops) -> None:
    def ann(ops: Ops) -> Ops:
        spiking = ("synops", "neuron_updates", "spikes")
        return Ops(**{n: 0 if n in spiking else c for n, c in ops.to_dict().items()})

    low, mid, high = ann(executed), ann(executed + extra), ann(executed + extra + more)
    LayerOps("encoder", "x", OpKind.GEMM, low, padded=mid, dense=high)
    if low != high:
        with pytest.raises(WorkloadError, match=r"layer encoder/x: (executed|padded)\.\w+ = "):
            LayerOps("encoder", "x", OpKind.GEMM, high, padded=high, dense=low)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eye", "x", OpKind.GEMM, Ops()), "layer eye/x: stage must be one of frontend, change"),
        (("encoder", "", OpKind.GEMM, Ops()), "layer needs a name"),
        (("encoder", "x", OpKind.SPIKING, Ops()), "kind spiking does not belong in stage encoder"),
        (("change", "x", OpKind.GEMM, Ops()), "kind gemm does not belong in stage change"),
        (
            ("encoder", "x", OpKind.GEMM, Ops(synops=1)),
            r"executed\.synops must be 0 in a layer of kind gemm",
        ),
        (("change", "x", OpKind.SPIKING, Ops(macs=1)), "executed.macs must be 0 in an input"),
        (
            ("encoder", "x", OpKind.GATHER, Ops(macs=1)),
            r"executed\.macs must be 0 in a layer of kind gather",
        ),
        (
            ("change", "x", OpKind.SPIKING, Ops(neuron_updates=1)),
            r"executed.neuron_updates must be 0 in an input \(0 neurons\)",
        ),
    ],
)
def test_broken_rules_name_layer_and_field(
    arguments: tuple[str, str, OpKind, Ops], message: str
) -> None:
    with pytest.raises(WorkloadError, match=message):
        LayerOps(*arguments)


def test_synops_are_refused_as_macs_of_a_spiking_layer_with_neurons() -> None:
    with pytest.raises(
        WorkloadError, match=r"change/x: executed\.macs must be 0 in a layer of kind spiking"
    ):
        LayerOps("change", "x", OpKind.SPIKING, Ops(macs=1), neurons=4)


def test_structure_belongs_to_spiking_layers() -> None:
    with pytest.raises(WorkloadError, match="neurons and synapses belong to spiking layers"):
        LayerOps("encoder", "x", OpKind.GEMM, Ops(), neurons=4)
    with pytest.raises(WorkloadError, match="no synapses onto it, got 4"):
        LayerOps("frontend", "x", OpKind.SPIKING, Ops(), synapses=4)


def test_unknown_precision_lists_the_known() -> None:
    with pytest.raises(WorkloadError, match="ran_as must be one of fp64, fp32"):
        LayerOps("encoder", "x", OpKind.GEMM, Ops(), ran_as="fp4")
    assert LayerOps("change", "x", OpKind.SPIKING, Ops(), ran_as="loihi").ran_as == "loihi"


def test_layers_that_differ_in_structure_do_not_add() -> None:
    one = LayerOps("change", "x", OpKind.SPIKING, Ops(spikes=1), neurons=4)
    two = LayerOps("change", "x", OpKind.SPIKING, Ops(spikes=1), neurons=5)
    with pytest.raises(WorkloadError, match=r"change/x: .* neurons differs: 4 and 5"):
        one + two
