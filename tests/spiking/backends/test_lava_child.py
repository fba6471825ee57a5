"""Failures inside Lava's processes: reported in one line, nothing left behind (Linux's /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurovlm.core.errors import BackendError
from neurovlm.spiking.backends.base import initial_state
from neurovlm.spiking.backends.lava import runner
from neurovlm.spiking.backends.lava.job import NEURON_FILE, Job, write_job
from neurovlm.spiking.backends.lava.runner import LavaBackend
from neurovlm.spiking.contract import layered
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import Extension
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

RUN_CHILD = """
import sys; from pathlib import Path
from neurovlm.spiking.backends.lava.runner import run_child
run_child(Path(sys.argv[1]), 60)
"""


@pytest.fixture
def graph() -> SpikingGraph:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "synapses": nir.Linear(np.full((3, 2), 10.0)),
        "cells": nir.IF(r=np.full(3, 1e3), v_threshold=np.full(3, 15.0), v_reset=np.zeros(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [("input", "synapses"), ("synapses", "cells"), ("cells", "output")]
    return SpikingGraph(nir.NIRGraph(nodes, edges))


def _spikes(n_ticks: int) -> SpikeTrain:
    tick = np.arange(n_ticks)
    return SpikeTrain(tick, tick % 2, n_ticks, (2,), 1e-3)


def _job(graph: SpikingGraph, n_ticks: int, **changes: Any) -> Job:
    plain = Job(graph.network, n_ticks, "Loihi2SimCfg", initial_state(graph).cells, frozenset(), {})
    return replace(plain, **changes)


class Witness:
    """Follows the session of the child: its processes and the shared memory they map."""

    def __init__(self) -> None:
        self.pid = 0
        self.shared: set[Path] = set()
        self.most = 0
        self.enough = threading.Event()
        self.holds_clock = False  # let the time limit begin when the simulation runs
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self, pid: int) -> None:
        self.pid = pid
        self._thread.start()

    def alive(self) -> list[int]:
        """Process ids of the session, without those that only wait to be reaped."""
        members = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.pid and state not in "ZX":
                members.append(int(stat.parent.name))
        return members

    def _follow(self) -> None:
        while not self._done.wait(0.05):
            members = self.alive()
            self.most = max(self.most, len(members))
            for pid in members:
                try:
                    maps = Path(f"/proc/{pid}/maps").read_text()
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                self.shared |= {
                    Path(line.split()[5]) for line in maps.splitlines() if "/dev/shm/psm_" in line
                }
            if len(members) > 4 and self.shared:
                self.enough.set()

    def stop(self) -> None:
        self._done.set()
        if self.pid:
            self._thread.join()

    def assert_nothing_left(self) -> None:
        self.stop()
        assert self.most > 4 and self.shared, "the simulation never started"
        # a process closes its pipe a moment before it counts as dead
        deadline = time.monotonic() + 2
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.alive() == []
        assert [path for path in self.shared if path.exists()] == []


@pytest.fixture
def witness(monkeypatch) -> Iterator[Witness]:
    witness = Witness()

    class Watched(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            witness.start(self.pid)

        def communicate(self, *args, **kwargs):
            if witness.holds_clock:
                witness.enough.wait(60)
            return super().communicate(*args, **kwargs)

    monkeypatch.setattr(runner.subprocess, "Popen", Watched)
    yield witness
    witness.stop()


def test_a_model_that_raises_is_reported_and_nothing_is_left(graph, witness, tmp_path):
    write_job(tmp_path, _job(graph, 3000), _spikes(3000))
    neuron = np.load(tmp_path / NEURON_FILE)
    neuron[2000] = 99  # the source has two channels
    np.save(tmp_path / NEURON_FILE, neuron)
    with pytest.raises(
        BackendError, match=r"failed: IndexError: index 99 .* in run_spk\)"
    ) as error:
        runner.run_child(tmp_path, 60)
    assert "\n" not in str(error.value)
    assert "Traceback" in error.value.__notes__[0]
    witness.assert_nothing_left()


@pytest.mark.slow
def test_a_failure_in_our_model_names_the_population(graph, tmp_path):
    cells = {"cells": {"u": np.zeros(2, np.int64), "v": np.zeros(3, np.int64)}}
    write_job(tmp_path, _job(graph, 10, cells=cells, own=frozenset({"cells"})), _spikes(10))
    message = r"failed: node 'cells': ValueError: operands could not be broadcast .* in step_loihi"
    with pytest.raises(BackendError, match=message):
        runner.run_child(tmp_path, 60)


@pytest.mark.slow
def test_the_sub_process_model_refuses_what_lavas_own_processes_do_not_have(graph, tmp_path):
    """Where somebody asks Lava for it without going through the backend."""
    p = graph.network.populations[0]
    tired = replace(graph.network, populations=(replace(p, refractory=2),))
    write_job(tmp_path, _job(graph, 10, network=tired), _spikes(10))
    message = "failed: GraphError: node 'cells': Lava's own processes do not have a refractory"
    with pytest.raises(BackendError, match=message):
        runner.run_child(tmp_path, 60)


@pytest.mark.slow
def test_an_activation_that_leaves_24_bits_is_reported_with_its_node():
    """Lava's own sigma-delta neurons would go on."""
    graph = layered(
        {"w": ("input", "sum", np.array([[255]]))},
        {"sum": nir.IF(r=np.array([1e3]), v_threshold=np.ones(1))},
        "sum",
        Dynamics(allow_wrap=True),
        extensions={
            "sum": Extension(encoding="sigma-delta"),
            "input": Extension(message_bits=23),
        },
    )
    spikes = SpikeTrain.from_dense(np.full((5, 1), 2**15), dt_s=1e-3, graded=True)
    message = r"'lava': the simulation failed: node 'sum': an activation reached 16711680 "
    with pytest.raises(BackendError, match=message):
        LavaBackend(timeout_s=60).run(graph, spikes)


def test_the_time_limit_ends_everything(graph, witness):
    witness.holds_clock = True
    with pytest.raises(BackendError, match=r"not finished within 0\.5 s and stopped"):
        LavaBackend(timeout_s=0.5).run(graph, _spikes(1_000_000))
    witness.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 2.0], ids=["while starting", "while running"])
def test_a_worker_that_dies_is_reported_and_nothing_is_left(graph, witness, after_s):
    def kill_one() -> None:
        witness.enough.wait(60)
        time.sleep(after_s)
        os.kill(max(witness.alive()), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(BackendError, match=r"worker \S+ ended with exit code -9"):
        LavaBackend(timeout_s=60).run(graph, _spikes(1_000_000))
    killer.join()
    witness.assert_nothing_left()


@pytest.mark.slow
def test_a_network_that_lava_refuses_is_reported(graph, tmp_path):
    write_job(tmp_path, _job(graph, 10, run_config="NoSuchCfg"), _spikes(10))
    with pytest.raises(BackendError, match=r"failed: AttributeError: .*NoSuchCfg"):
        runner.run_child(tmp_path, 60)


@pytest.mark.slow
def test_the_child_does_not_outlive_a_killed_parent(graph, tmp_path):
    write_job(tmp_path, _job(graph, 1_000_000), _spikes(1_000_000))
    witness = Witness()
    with subprocess.Popen([sys.executable, "-c", RUN_CHILD, str(tmp_path)]) as parent:
        try:
            witness.start(_session_started_by(parent.pid))
            assert witness.enough.wait(60)
        finally:
            parent.kill()
    witness.assert_nothing_left()


@pytest.mark.slow
def test_an_interrupted_parent_leaves_nothing(graph, tmp_path):
    write_job(tmp_path, _job(graph, 1_000_000, own=frozenset({"cells"})), _spikes(1_000_000))
    witness = Witness()
    command = [sys.executable, "-c", RUN_CHILD, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        try:
            witness.start(_session_started_by(parent.pid))
            assert witness.enough.wait(60)
            parent.send_signal(signal.SIGINT)
            _, log = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert log.rstrip().endswith("KeyboardInterrupt")
    witness.assert_nothing_left()


def _session_started_by(pid: int) -> int:
    """Wait for the child that leads a session; importing packages may start others."""
    while True:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(child)) == int(child):
                    return int(child)
        time.sleep(0.01)
