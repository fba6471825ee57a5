"""Peers are set up so that they follow our equations: without that their speed says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.environment import NotInstalledError
from benchmarks.peers.task import Task, expected, task_from
from benchmarks.spiking_patch import Candidate, candidates
from benchmarks.spiking_streams import noise_at
from neurovlm.frontend.patch_lif import patch_lif

pytestmark = pytest.mark.slow

ELSEWHERE = NotInstalledError("the second environment is built by the benchmark")


def here(folder: Path) -> list[Candidate]:
    """Every peer of this environment."""
    found = candidates(folder, ELSEWHERE, lava=True)
    return [c for c in found if c.name not in ("SpikingJelly", "Sinabs")]


@pytest.fixture(scope="module")
def task() -> Task:
    return task_from(patch_lif(), noise_at(500_000, 0.2), 200)


NAMES = [f"{peer.name}-{peer.work}-{peer.form}" for peer in here(Path())]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_a_peer_gives_the_spikes_of_its_own_arithmetic(
    number: int, task: Task, tmp_path: Path
) -> None:
    peer = here(tmp_path)[number].make(task)
    raster = peer.raster()
    assert raster.sum() > 1000
    np.testing.assert_array_equal(raster, expected(task, peer.precision))
    assert peer.seconds() > 0
