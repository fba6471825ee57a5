"""The Brian2 backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import BackendError, UsageError
from neurovlm.core.optional import require
from neurovlm.spiking.backends.base import (
    EVERY_FEATURE,
    Capabilities,
    OneByOne,
    Recorder,
    check_run,
    initial_state,
    variable_dtype,
)
from neurovlm.spiking.backends.brian.model import Job, Outcome, simulate
from neurovlm.spiking.backends.brian.standalone import simulate_standalone
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import LIMIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.network import Population
from neurovlm.spiking.trace import SPIKES, NetworkState, Probe, Trace
from neurovlm.spiking.train import Fired, SpikeTrain


class Brian2Backend(OneByOne):
    """Brian2 objects, in either mode with the reference's spikes in every precision.

    In the float precisions the condition is that sums of weights are exact, as they are for
    integer weights.

    Parameters
    ----------
    mode
        ``runtime`` steps with NumPy in this process and compiles nothing. ``standalone`` writes,
        builds and runs a C++ program for each run: half a minute of build, then the faster ticks.
    timeout_s
        Time limit of a standalone run in seconds, its build included.
    """

    name = "brian2"
    capabilities = Capabilities(frozenset(Precision), EVERY_FEATURE, resumes=True)

    def __init__(
        self,
        mode: Literal["runtime", "standalone"] = "runtime",
        *,
        timeout_s: float = 1800.0,
    ) -> None:
        if mode not in ("runtime", "standalone"):
            raise UsageError(f"Brian2Backend: mode must be runtime or standalone, got {mode!r}")
        self._mode = mode
        self._timeout_s = timeout_s

    def run(
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default)."""
        network = check_run(self, graph, spikes, state, probes)
        b2 = require("brian2", "the brian2 backend")
        start = initial_state(graph) if state is None else state
        if spikes.n_ticks == 0:
            return Recorder(network, start, probes).trace(spikes, start.cells)
        job = Job(network, spikes, start, tuple(probes))
        if self._mode == "standalone":
            return _trace(job, simulate_standalone(job, self._timeout_s))
        return _trace(job, simulate(b2, job))


def _trace(job: Job, outcome: Outcome) -> Trace:
    network, precision = job.network, job.network.dynamics.precision
    for p in network.populations:
        _check_peak(p, outcome)
    trains = {p.name: _train(p, job.spikes, outcome) for p in network.populations}
    cells = {
        p.name: {
            name: _cast(outcome.cells[p.name][name], variable_dtype(p, name, precision))
            for name in p.variables
        }
        for p in network.populations
    }
    probed = {
        request.population: {
            name: _payloads(trains[request.population])
            if name == SPIKES
            else _cast(
                outcome.probed[request.population][name],
                variable_dtype(network.population(request.population), name, precision),
            )
            for name in request.variables
        }
        for request in job.probes
    }
    recent = {
        name: _recent(trains.get(name, job.spikes), carried)
        for name, carried in job.start.recent.items()
    }
    state = NetworkState(cells, recent)
    return Trace(job.spikes, trains, network, state, job.start.recent, probed)


def _check_peak(p: Population, outcome: Outcome) -> None:
    if p.graded and outcome.cells[p.name]["peak"].max() >= LIMIT:
        raise BackendError(
            f"node {p.name!r}: an activation reached {outcome.cells[p.name]['peak'].max():.0f} "
            "and left 24 bits; lower its weights or its input"
        )


def _train(p: Population, spikes: SpikeTrain, outcome: Outcome) -> SpikeTrain:
    none = np.empty(0)
    tick, neuron, payload = outcome.fired.get(p.name, (none, none, none))
    value = payload.astype(np.int32) if p.graded else None
    return SpikeTrain(
        tick.astype(np.int32), neuron.astype(np.int32), spikes.n_ticks, p.shape, spikes.dt_s, value
    )


def _payloads(train: SpikeTrain) -> NDArray[Any]:
    return train.dense_values().astype(np.int64) if train.graded else train.dense()


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return (np.rint(values) if dtype.kind == "i" else values).astype(dtype)


def _recent(train: SpikeTrain, carried: tuple[Fired, ...]) -> tuple[Fired, ...]:
    """What a source sent in the last ticks, newest first."""
    sent = [train.at(tick) for tick in range(train.n_ticks - 1, -1, -1)[: len(carried)]]
    return (*sent, *carried)[: len(carried)]
