"""Workloads that several tests cost, and the command line that costs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hw_models import LayerOps, OpKind, Ops, Workload
from hw_models.__main__ import main


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


class Called:
    """One call: exit code and both streams."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def record(self) -> Any:
        def refuse(word: str) -> None:
            raise AssertionError(f"not JSON: {word}")

        assert (self.code, self.err) == (0, "")
        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> Called:
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        streams = capsys.readouterr()
        return Called(code, streams.out, streams.err)

    return run


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, pipeline: Workload) -> str:
    path = tmp_path_factory.mktemp("cli") / "run.json"
    pipeline.save(path)
    return str(path)


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory, pipeline: Workload) -> str:
    path = tmp_path_factory.mktemp("cli") / "front.json"
    Workload("front", 40, 25, pipeline.layers[:3], ticks=1000).save(path)
    return str(path)
