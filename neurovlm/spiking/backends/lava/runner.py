"""The Lava backend: Intel's simulator in a child process, with a time limit."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from neurovlm.core.errors import BackendError, MissingComponentError, UsageError
from neurovlm.core.optional import require
from neurovlm.spiking.backends.base import (
    EVERY_FEATURE,
    Capabilities,
    OneByOne,
    check_run,
    initial_state,
)
from neurovlm.spiking.backends.lava.job import (
    ERROR_FILE,
    SPIKE_FILE,
    Job,
    read_probes,
    read_trains,
    write_job,
)
from neurovlm.spiking.backends.lava.plan import MODELS, Models, own_populations
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Feature
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import SpikeTrain

_CHILD = "neurovlm.spiking.backends.lava.child"
# classes of lava.magma.core.run_configs
_SIMULATED = {"loihi1": "Loihi1SimCfg", "loihi2": "Loihi2SimCfg"}
_HARDWARE = "Loihi2HwCfg"
_STOCK_FEATURES = frozenset({Feature.DELAY, Feature.GRADED})
_GRACE_S = 10.0  # between SIGTERM, which removes shared memory, and SIGKILL, which leaks it
_TAIL_LINES = 40


class LavaBackend(OneByOne):
    """lava-nc 0.10.0 on this machine's CPU.

    Loihi precision uses Lava's bit-accurate models (tag ``fixed_pt``), float64 its floating-point
    models, which compute in float64 only. Both give the reference's spikes in every population; in
    float64 on the condition that sums of weights are exact, as they are for integer weights.

    Parameters
    ----------
    models
        ``stock`` runs every population on Lava's own ``LIF``, ``Sparse`` and ``DelaySparse``,
        ``own`` on a process model of this project, which has every kind of neuron and can be
        probed; ``auto`` takes Lava's own wherever they are exact.
    simulate
        Generation whose run configuration is used; Lava 0.10.0 simulates both alike.
    hardware
        Run on a Loihi 2 board instead. It needs Intel's extension of Lava, which is not public, and
        has not been tried.
    timeout_s
        Time limit of a run in seconds; by default a minute plus, per tick, ten times and more what
        a busy two-core machine needs.
    """

    def __init__(
        self,
        *,
        models: Models = "auto",
        simulate: Literal["loihi1", "loihi2"] = "loihi2",
        hardware: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        if models not in MODELS:
            raise UsageError(f"LavaBackend: models must be {_either(MODELS)}, got {models!r}")
        if simulate not in _SIMULATED:
            raise UsageError(
                f"LavaBackend: simulate must be {_either(_SIMULATED)}, got {simulate!r}"
            )
        self._models = models
        self._run_config = _HARDWARE if hardware else _SIMULATED[simulate]
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """Name in the registry; with stock models, which can less, it says so."""
        return "lava (stock models)" if self._models == "stock" else "lava"

    @property
    def capabilities(self) -> Capabilities:
        """Everything but float32 and resuming; with stock models plain neurons only."""
        features = _STOCK_FEATURES if self._models == "stock" else EVERY_FEATURE
        return Capabilities(
            frozenset({Precision.LOIHI, Precision.FLOAT64}), features, resumes=False
        )

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
        UsageError
            For a probe of something that is not there.
        MissingComponentError
            When Lava, or for hardware Intel's extension, is not installed.
        BackendError
            When Lava fails or exceeds the time limit; nothing of it is left running.
        """
        network = check_run(self, graph, spikes, state, probes)
        probed = {request.population: request.variables for request in probes}
        job = Job(
            network,
            spikes.n_ticks,
            self._run_config,
            initial_state(graph).cells,
            own_populations(network, self._models, probed),
            probed,
        )
        _check_installed(self._run_config)
        limit_s = _default_limit_s(job) if self._timeout_s is None else self._timeout_s
        with tempfile.TemporaryDirectory(prefix="neurovlm-lava-") as name:
            folder = Path(name)
            if spikes.n_ticks == 0:
                for file in job.files:
                    (folder / file).touch()
            else:
                write_job(folder, job, spikes)
                run_child(folder, limit_s)
            trains = read_trains(folder, job)
            return Trace(spikes, trains, network, None, {}, read_probes(folder, job, trains))


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
    for module in ("lava.magma.core.run_conditions", "networkx"):  # the latter for its compiler
        require(module, "backend 'lava'")
    # the module by which Lava itself tells whether its Loihi extension is there
    if run_config == _HARDWARE and not importlib.util.find_spec("lava.utils.loihi2_profiler"):
        raise MissingComponentError(
            "backend 'lava': hardware=True needs Intel's Lava extension for Loihi, which is not "
            "installed and not public (Intel gives it to members of its research community); "
            "leave hardware out to simulate the chip"
        )


def _default_limit_s(job: Job) -> float:
    connections = job.network.connections
    products = sum(c.synapses * (1 + int(c.delay.max(initial=0))) for c in connections)
    return 60.0 + job.n_ticks * (0.05 + 5e-7 * products)


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
