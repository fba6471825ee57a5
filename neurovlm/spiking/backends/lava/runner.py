"""The Lava backend: Intel's simulator in a child process, with a time limit."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from neurovlm.core.errors import BackendError, MissingComponentError, UsageError
from neurovlm.core.optional import require
from neurovlm.spiking.backends.base import Capabilities, OneByOne, check_run
from neurovlm.spiking.backends.lava.job import (
    ERROR_FILE,
    SPIKE_FILE,
    Job,
    read_trains,
    write_job,
)
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import SpikeTrain

_CHILD = "neurovlm.spiking.backends.lava.child"
# classes of lava.magma.core.run_configs
_SIMULATED = {"loihi1": "Loihi1SimCfg", "loihi2": "Loihi2SimCfg"}
_HARDWARE = "Loihi2HwCfg"
_GRACE_S = 10.0  # between SIGTERM, which removes shared memory, and SIGKILL, which leaks it
_TAIL_LINES = 40


class LavaBackend(OneByOne):
    """lava-nc 0.10.0 on this machine's CPU.

    Loihi precision uses Lava's bit-accurate models (tag ``fixed_pt``), float64 its floating-point
    models, which compute in float64 only. Both give the reference's spikes in every population; in
    float64 on the condition that sums of weights are exact, as they are for integer weights.

    Parameters
    ----------
    simulate
        Generation whose run configuration is used; Lava 0.10.0 simulates both alike.
    hardware
        Run on a Loihi 2 board instead. It needs Intel's extension of Lava, which is not public, and
        has not been tried.
    timeout_s
        Time limit of a run in seconds; by default a minute plus, per tick, ten times and more what
        a busy two-core machine needs.
    """

    name = "lava"
    capabilities = Capabilities(
        frozenset({Precision.LOIHI, Precision.FLOAT64}), frozenset(), resumes=False
    )

    def __init__(
        self,
        *,
        simulate: Literal["loihi1", "loihi2"] = "loihi2",
        hardware: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        if simulate not in _SIMULATED:
            raise UsageError(
                f"LavaBackend: simulate must be {' or '.join(_SIMULATED)}, got {simulate!r}"
            )
        self._run_config = _HARDWARE if hardware else _SIMULATED[simulate]
        self._timeout_s = timeout_s

    def run(
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from silence; the trace carries no state.

        Raises
        ------
        GraphError
            For a graph or state that Lava cannot honour.
        MissingComponentError
            When Lava, or for hardware Intel's extension, is not installed.
        BackendError
            When Lava fails or exceeds the time limit; nothing of it is left running.
        """
        network = check_run(self, graph, spikes, state, probes)
        _check_installed(self._run_config)
        if spikes.n_ticks == 0:
            silent = np.empty(0, np.int32)
            trains = {
                p.name: SpikeTrain(silent, silent, 0, p.shape, spikes.dt_s)
                for p in network.populations
            }
            return Trace(spikes, trains, network, None, {})
        limit_s = _default_limit_s(network, spikes.n_ticks)
        if self._timeout_s is not None:
            limit_s = self._timeout_s
        with tempfile.TemporaryDirectory(prefix="neurovlm-lava-") as name:
            folder = Path(name)
            write_job(folder, Job(network, spikes.n_ticks, self._run_config), spikes)
            run_child(folder, limit_s)
            trains = read_trains(folder, network, spikes.n_ticks)
        return Trace(spikes, trains, network, None, {})


def run_child(folder: Path, limit_s: float) -> None:
    """Run the job in ``folder`` to its end and leave no process behind.

    Every process of the child's session holds the write end of the pipe this reads, so its end of
    file means that they are all gone, the one that removes shared memory last.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", _CHILD, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        log, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise BackendError(
            f"backend 'lava': not finished within {limit_s:g} s and stopped; "
            "give it a longer timeout_s or fewer ticks"
        ) from None
    finally:
        if process.returncode is None:
            _end_session(process)
    if process.returncode != 0 or not (folder / SPIKE_FILE).exists():
        raise _failure(folder, process.returncode, log)


def _end_session(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # ended by itself: only reap it
            os.killpg(process.pid, number)
        try:
            process.communicate(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _failure(folder: Path, returncode: int, log: str) -> BackendError:
    lines = log.strip().splitlines()
    message = folder / ERROR_FILE
    if message.exists():
        what = message.read_text(encoding="utf-8")
    else:
        what = (
            f"the child ended with code {returncode}; {lines[-1] if lines else 'it said nothing'}"
        )
    error = BackendError(f"backend 'lava': the simulation failed: {what}")
    error.add_note("\n".join(lines[-_TAIL_LINES:]))
    return error


def _check_installed(run_config: str) -> None:
    require("lava.magma.core.run_conditions", "backend 'lava'")
    # the module by which Lava itself tells whether its Loihi extension is there
    if run_config == _HARDWARE and not importlib.util.find_spec("lava.utils.loihi2_profiler"):
        raise MissingComponentError(
            "backend 'lava': hardware=True needs Intel's Lava extension for Loihi, which is not "
            "installed and not public (Intel gives it to members of its research community); "
            "leave hardware out to simulate the chip"
        )


def _default_limit_s(network: Network, n_ticks: int) -> float:
    synapses = sum(c.synapses for c in network.connections)
    return 60.0 + n_ticks * (0.05 + 5e-7 * synapses)
