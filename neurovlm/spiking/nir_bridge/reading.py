"""A NIR graph of another tool as a graph with the same spikes, a fixed number of ticks later."""

from __future__ import annotations

from dataclasses import dataclass

import nir

from neurovlm.core.errors import GraphError, UsageError
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.neurons import NEURON_NODES
from neurovlm.spiking.nir_bridge.dialects import Dialect, Settings, dialect, to_node
from neurovlm.spiking.nir_bridge.lag import balance
from neurovlm.spiking.nir_bridge.shapes import Edges, Nodes, flatten, settle


@dataclass(frozen=True, eq=False)
class Imported:
    """A converted graph.

    Attributes
    ----------
    lag
        Ticks by which its output is behind the tool's: one per population on the longest way.
    notes
        What was assumed because the file does not say.
    """

    graph: SpikingGraph
    lag: int
    notes: tuple[str, ...]


def from_tool(
    graph: nir.NIRGraph,
    tool: str,
    *,
    name: str = "graph",
    dt_ms: float | None = None,
    reset: str | None = None,
    norm_input: bool | None = None,
) -> Imported:
    """Convert a graph that ``tool`` wrote.

    Decays and gains per step are the tool's; the result runs in float32, as the tools do.

    Parameters
    ----------
    dt_ms
        Step of the network. For snnTorch, whose files have 1e-4 s built in, and Sinabs, which
        counts steps, it only says how long a tick is; for Norse and SpikingJelly it is the dt the
        file was written with.
    reset
        ``"zero"`` confirms that the network resets to 0, where the file cannot tell.
    norm_input
        Sinabs only, which does not write it: whether its layers scale their input.

    Raises
    ------
    UsageError
        For an unknown tool, or where the file needs one of the above.
    GraphError
        For what no graph here can do, naming the node.
    """
    chosen = dialect(tool)
    nodes, edges = flatten(graph)
    _check_confirmed(chosen, nodes, edges, reset, norm_input)
    dt_s = chosen.dt_s if dt_ms is None else dt_ms / 1e3
    dynamics = Dynamics(dt_s=dt_s, precision=Precision.FLOAT32)
    settings = Settings(dt_s, norm_input is not False)
    nodes, shapes = settle(nodes, edges)
    converted = {
        key: to_node(chosen.read(key, node, settings), dt_s)
        if isinstance(node, NEURON_NODES)
        else node
        for key, node in nodes.items()
    }
    converted, edges, lag = balance(converted, edges, shapes, dt_s)
    whole = nir.NIRGraph(converted, edges, type_check=False)
    notes = chosen.notes + _confirmed(chosen, reset, norm_input)
    return Imported(SpikingGraph(whole, dynamics, name), lag, notes)


def _check_confirmed(
    chosen: Dialect, nodes: Nodes, edges: Edges, reset: str | None, norm_input: bool | None
) -> None:
    if reset not in (None, "zero"):
        raise UsageError(f"reset must be 'zero', which every backend here does, got {reset!r}")
    if chosen.soft_reset and reset is None:
        raise UsageError(
            f"dialect {chosen.name!r}: the file does not tell a soft reset ({chosen.soft_reset}) "
            f"from a hard one; confirm with reset='zero' (--reset zero) that the network was built "
            f"with {chosen.zero_reset}"
        )
    if chosen.name == "sinabs" and norm_input is None:
        raise UsageError(
            "dialect 'sinabs': the file does not say norm_input; give norm_input=True "
            "(--norm-input), its default, or False (--no-norm-input)"
        )
    if chosen.name != "sinabs" and norm_input is not None:
        raise UsageError(f"norm_input is for dialect 'sinabs', got dialect {chosen.name!r}")
    if chosen.name == "snntorch":
        for a, b in edges:
            looped = isinstance(nodes[a], nir.CubaLIF) and (b, a) in edges
            if looped:
                raise GraphError(
                    f"node {a!r}: snnTorch 1.0.0 runs a recurrent Synaptic (RSynaptic) with the "
                    "delayed reset only, which loses input; use RLeaky"
                )


def _confirmed(chosen: Dialect, reset: str | None, norm_input: bool | None) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if chosen.soft_reset and reset:
        notes += (f"confirmed: built with {chosen.zero_reset}",)
    if norm_input is not None:
        notes += (f"confirmed: norm_input={norm_input}",)
    return notes
