"""Whether a graph and a tool fire alike: the comparison and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.backends.base import initial_state
from neurovlm.spiking.backends.reference import ReferenceBackend
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.nir_bridge.lag import network_lags
from neurovlm.spiking.trace import NetworkState
from neurovlm.spiking.train import NOTHING, SpikeTrain

Raster = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Spikes of a tool against spikes of a graph, the graph's lag removed.

    Attributes
    ----------
    lag
        Ticks by which the graph is behind the tool.
    differing
        (tick, neuron) slots, of ``ticks * neurons``, in which only one of them fires.
    first
        First such slot, in the tool's ticks.
    notes
        What to know about the comparison.
    """

    tool: str
    ticks: int
    neurons: int
    lag: int
    ours: int
    theirs: int
    differing: int
    first: tuple[int, int] | None
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both fire alike, and at all."""
        return self.differing == 0 and self.theirs > 0

    def describe(self) -> str:
        """One line."""
        slots = f"{self.differing} of {self.ticks * self.neurons} slots differ from {self.tool}"
        spikes = f"{self.ours} spikes here, {self.theirs} there, {self.lag} ticks earlier"
        if self.first is not None:
            return f"{slots} ({spikes}; first at tick {self.first[0]}, neuron {self.first[1]})"
        silent = "" if self.theirs else "; both are silent, which proves nothing"
        return f"{slots} ({spikes}){silent}"

    def require(self) -> None:
        """Do nothing where both fire alike.

        Raises
        ------
        GraphError
            Otherwise, with `describe` and the notes.
        """
        if not self.equal:
            raise GraphError("; ".join((self.describe(), *self.notes)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for reports."""
        return {**asdict(self), "equal": self.equal}


def sample_spikes(n: int, *, ticks: int = 240, seed: int = 0) -> Raster:
    """Random input of ``(ticks, n)`` in six stretches, from sparse to nearly full, one silent."""
    rate = np.repeat([0.05, 0.2, 0.5, 0.0, 0.9, 0.3], -(-ticks // 6))[:ticks, None]
    return np.random.default_rng(seed).random((ticks, n)) < rate


def compare(
    graph: SpikingGraph,
    spikes_in: NDArray[Any],
    spikes_out: NDArray[Any],
    tool: str,
    notes: tuple[str, ...] = (),
) -> Agreement:
    """Compare ``graph`` with what a tool made of the same input.

    Parameters
    ----------
    spikes_in, spikes_out
        ``(ticks, inputs)`` and ``(ticks, outputs)``, non-zero where there is a spike.
    """
    theirs = np.asarray(spikes_out).reshape(len(spikes_out), -1)
    ours = run_as_tool(graph, np.asarray(spikes_in).reshape(len(spikes_in), -1) != 0)
    if theirs.shape != ours.shape:
        raise UsageError(
            f"compare: the tool gave {theirs.shape} (ticks, outputs), not {ours.shape}"
        )
    if theirs.max(initial=0) > 1:
        notes += (f"{tool} sent {theirs.max():g} spikes in one step; a neuron here sends one",)
    wrong = ours != (theirs != 0)
    slots = np.argwhere(wrong)
    return Agreement(
        tool=tool,
        ticks=ours.shape[0],
        neurons=ours.shape[1],
        lag=network_lags(graph.network)[graph.network.output],
        ours=int(ours.sum()),
        theirs=int((theirs != 0).sum()),
        differing=len(slots),
        first=(int(slots[0, 0]), int(slots[0, 1])) if len(slots) else None,
        notes=notes,
    )


def run_as_tool(graph: SpikingGraph, spikes_in: Raster) -> Raster:
    """Output spikes of the reference, its lag removed, ``(ticks, outputs)``.

    A population that is k ticks behind the input starts k ticks later: without that, its biases
    would act before its first input, as they do in no tool.
    """
    network = graph.network
    lags = network_lags(network)
    last, out = max(lags.values()), lags[network.output]
    ticks = len(spikes_in)
    padded = np.concatenate([spikes_in, np.zeros((last, spikes_in.shape[1]), np.bool_)])
    train = SpikeTrain.from_dense(padded, dt_s=graph.dynamics.dt_s, shape=network.input_shape)
    engine, silence = ReferenceBackend(), initial_state(graph)
    state, fired = silence, []
    for tick in range(last):
        trace = engine.run(graph, train.between(tick, tick + 1), state)
        assert trace.state is not None
        fired.append(trace.out)
        asleep = [name for name, lag in lags.items() if lag > tick]
        state = _silenced(trace.state, silence, asleep)
    trace = engine.run(graph, train.between(last, ticks + last), state)
    return SpikeTrain.join([*fired, trace.out]).between(out, out + ticks).dense()


def _silenced(state: NetworkState, silence: NetworkState, names: list[str]) -> NetworkState:
    cells = {name: silence.cells[name] if name in names else c for name, c in state.cells.items()}
    recent = {
        name: (NOTHING, *sent[1:]) if name in names else sent for name, sent in state.recent.items()
    }
    return replace(state, cells=cells, recent=recent)
