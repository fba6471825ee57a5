"""Workloads that several tests cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hw_models import LayerOps, OpKind, Ops, Workload


def _make_pipeline() -> Workload:
    """Return a small whole pipeline: input, detector, encoder with gather, decoder; 40 windows."""
    return Workload(
        name="pipeline",
        inferences=40,
        window_ms=25,
        ticks=1000,
        layers=(
            LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=40_000)),
            LayerOps(
                "frontend",
                "F",
                OpKind.SPIKING,
                Ops(synops=320_000, neuron_updates=15_876_000, spikes=8_000),
                neurons=15_876,
                synapses=127_008,
            ),
            LayerOps(
                "change",
                "D",
                OpKind.SPIKING,
                Ops(synops=8_000, neuron_updates=196_000, spikes=2_000),
                neurons=196,
                synapses=15_876,
            ),
            LayerOps(
                "encoder",
                "gather",
                OpKind.GATHER,
                Ops(read_bytes=600_000, write_bytes=600_000, launches=40),
                padded=Ops(read_bytes=640_000, write_bytes=640_000, launches=40),
                dense=Ops(read_bytes=4_000_000, write_bytes=4_000_000, launches=40),
            ),
            LayerOps(
                "encoder",
                "qkv",
                OpKind.GEMM,
                Ops(macs=60_000_000, weight_bytes=8_000_000, read_bytes=700_000, launches=120),
                padded=Ops(
                    macs=64_000_000, weight_bytes=8_000_000, read_bytes=740_000, launches=120
                ),
                dense=Ops(
                    macs=385_000_000, weight_bytes=8_000_000, read_bytes=4_000_000, launches=120
                ),
            ),
            LayerOps("encoder", "attention", OpKind.ATTENTION, Ops(macs=7_000_000, launches=80)),
            LayerOps("encoder", "norm", OpKind.ELEMENTWISE, Ops(elements=160_000, launches=40)),
            LayerOps("decoder", "head", OpKind.GEMM, Ops(macs=3_000_000, launches=400)),
        ),
    )


@pytest.fixture(scope="session")
def pipeline() -> Workload:
    return _make_pipeline()


def _scale(workload: Workload, factor: int) -> Workload:
    """Return the workload with every count and the ticks multiplied, inferences unchanged."""

    def times(ops: Ops) -> Ops:
        return Ops(**{name: factor * count for name, count in ops.to_dict().items()})

    layers = tuple(
        replace(
            layer,
            executed=times(layer.executed),
            dense=times(layer.dense),
            padded=times(layer.padded),
        )
        for layer in workload.layers
    )
    return replace(workload, ticks=factor * workload.ticks, layers=layers)


@pytest.fixture(scope="session")
def scale() -> Callable[[Workload, int], Workload]:
    return _scale
