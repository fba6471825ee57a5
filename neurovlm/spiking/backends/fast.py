"""The compiled engine: every population of a graph stepped in compiled loops, no Python per tick.

`fast_program` flattens a graph, `loops` holds what is compiled, `fast_state` carries states and
spikes in and out. In Loihi precision, and for encoders in every precision, all numbers are those of
the reference. In floats they are too wherever sums of weights are exact (whole weights, or few
enough bits): the engine adds weights in the order of the spikes, the reference in that of the
sources.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from numba.core import event

from neurovlm.core.errors import BackendError
from neurovlm.spiking.backends import fast_state, loops
from neurovlm.spiking.backends.base import (
    EVERY_FEATURE,
    Capabilities,
    check_batch,
    check_run,
    initial_state,
)
from neurovlm.spiking.backends.fast_program import compiled
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import NetworkState, Probe, Trace
from neurovlm.spiking.train import SpikeTrain

_LOG = logging.getLogger("neurovlm")


class FastBackend:
    """Compiled, resumable; identical to the reference in every precision."""

    name = "fast"
    capabilities = Capabilities(frozenset(Precision), EVERY_FEATURE, resumes=True)

    def run(
        self,
        graph: SpikingGraph,
        spikes: SpikeTrain,
        state: NetworkState | None = None,
        *,
        probes: Sequence[Probe] = (),
    ) -> Trace:
        """Run ``spikes.n_ticks`` ticks from ``state`` (silence by default).

        Raises
        ------
        BackendError
            When an activation of a sigma-delta population leaves 24 bits.
        """
        network = check_run(self, graph, spikes, state, probes)
        start = initial_state(graph) if state is None else state
        program = compiled(graph)
        past = fast_state.past_ticks(program)
        both = fast_state.states(program, start)
        given = fast_state.fed(spikes, start.recent[network.input_name], past)
        fired, begin, mark = fast_state.room(program, start, spikes.n_ticks)
        wanted = fast_state.Wanted(program, probes, spikes.n_ticks)
        fired, begin, p, activation = telling(
            partial(
                loops.run, program.plan, program.narrow, program.wide, *both,
                given, fired, begin, mark, past, wanted.probed,
            )
        )  # fmt: skip
        if p >= 0:
            name = next(n for n, place in program.places.items() if place.index == p)
            raise BackendError(
                f"node {name!r}: an activation reached {activation} and left 24 bits; "
                "lower its weights or its input"
            )
        trains = fast_state.trains(program, fired, begin, mark, spikes.dt_s)
        end = fast_state.end_state(network, program, start, both, given, fired, begin, mark)
        return Trace(spikes, trains, network, end, start.recent, wanted.by_population())

    def run_batch(self, graph: SpikingGraph, batch: Sequence[SpikeTrain]) -> list[Trace]:
        """Run trains of one length, each from silence, on all cores; the same as one by one."""
        check_batch(batch)
        compiled(graph)
        with ThreadPoolExecutor(min(len(batch), os.cpu_count() or 1) or 1) as pool:
            return list(pool.map(partial(self.run, graph), batch))


def telling(call: Callable[[], Any]) -> Any:
    """Call; should numba have to compile for it, say so once, for it takes seconds."""
    with event.install_listener("numba:compile", _Teller()):
        return call()


class _Teller(event.Listener):
    """Logs the first compilation it hears of."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: event.Event) -> None:
        if not self._told:
            self._told = True
            _LOG.warning("compiling the spiking engine, once per machine: about 12 s")

    def on_end(self, event: event.Event) -> None:
        pass
