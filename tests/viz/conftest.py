"""A small made-up run: pictures need no pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from hw_models import EnergyReport, LayerOps, OpKind, Ops, Workload, estimate
from neurovlm.core.grid import PatchGrid
from neurovlm.core.mask import ChangeMask
from neurovlm.frontend.detector import change_detector
from neurovlm.spiking.backends.reference import ReferenceBackend
from neurovlm.spiking.trace import Trace
from neurovlm.spiking.train import SpikeTrain
from neurovlm.sttf.boxes import Detections

GRID = PatchGrid()
N_WINDOWS = 6
CAP = 20
FOUND = Detections(
    np.array([[52, 12, 70, 41], [90, 60, 99, 70]], np.float32),
    np.array([0.93, 0.4], np.float32),
    np.array([0, 1]),
)


@dataclass(frozen=True, eq=False)
class FakeSnapshot:
    window: int
    counts: NDArray[np.uint8]
    frame: NDArray[np.uint8] | None = None
    found: Detections | None = None


@dataclass(frozen=True)
class FakePolicy:
    max_active: int = CAP


@dataclass(frozen=True)
class FakeSpec:
    labels: tuple[str, ...] = ("left", "right")
    box_classes: tuple[str, ...] = ("head", "hand")
    policy: FakePolicy = field(default_factory=FakePolicy)


@dataclass(frozen=True, eq=False)
class FakeRun:
    """Nothing but what `neurovlm.viz.protocols.Run` asks for."""

    mask: ChangeMask
    active: NDArray[np.bool_]
    refreshed: NDArray[np.bool_]
    dense: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    snapshots: tuple[FakeSnapshot, ...]
    sightings: tuple[FakeSnapshot, ...]
    spec: FakeSpec
    trace: Trace
    workload: Workload


@pytest.fixture(scope="session")
def trace() -> Trace:
    rng = np.random.default_rng(7)
    graph = change_detector()
    n_ticks, shape = 30, (2, GRID.pixels, GRID.pixels)
    tick = np.sort(rng.integers(n_ticks, size=4000))
    slot = np.unique(tick * (2 * GRID.pixels**2) + rng.integers(1500, size=4000))
    tick, neuron = np.divmod(slot, 2 * GRID.pixels**2)
    spikes = SpikeTrain(tick, neuron, n_ticks, shape, graph.dynamics.dt_s)
    return ReferenceBackend().run(graph, spikes)


@pytest.fixture(scope="session")
def run(trace: Trace) -> FakeRun:
    rng = np.random.default_rng(8)
    changed = rng.random((N_WINDOWS, GRID.n_patches)) < 0.05
    refreshed = (rng.random(changed.shape) < 0.03) & ~changed
    dense = np.arange(N_WINDOWS) == 0
    counts = rng.integers(0, 3, (3, GRID.pixels, GRID.pixels)).astype(np.uint8)
    frame = rng.integers(0, 255, (224, 224, 3)).astype(np.uint8)
    return FakeRun(
        mask=ChangeMask(changed, changed.astype(np.int64), GRID),
        active=changed | refreshed | dense[:, None],
        refreshed=refreshed,
        dense=dense,
        probabilities=np.full((N_WINDOWS, 2), 0.5, np.float32),
        snapshots=tuple(FakeSnapshot(k, counts, frame if k % 2 else None) for k in range(5)),
        sightings=tuple(FakeSnapshot(k, counts, None, FOUND) for k in (1, 3, 5)),
        spec=FakeSpec(),
        trace=trace,
        workload=workload(),
    )


def workload() -> Workload:
    return Workload(
        name="made up",
        inferences=N_WINDOWS,
        window_ms=5.0,
        ticks=30,
        layers=(
            LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=4000)),
            LayerOps(
                "change",
                "D",
                OpKind.SPIKING,
                Ops(spikes=40, synops=4000, neuron_updates=196 * 30),
                neurons=196,
                synapses=15876,
            ),
            LayerOps(
                "encoder",
                "blocks",
                OpKind.GEMM,
                Ops(macs=6_000_000, weight_bytes=1000, launches=60),
                dense=Ops(macs=36_000_000, weight_bytes=1000, launches=60),
            ),
        ),
    )


@pytest.fixture(scope="session")
def reports() -> dict[str, EnergyReport]:
    names = ("jetson-orin-nano", "loihi2+jetson-orin-nano", "loihi2")
    return {name: estimate(workload(), name, samples=50) for name in names}
