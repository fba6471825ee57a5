"""The self-test: a graph here and a tool there, on the same input."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.nir_bridge.agree import Agreement, compare, sample_spikes
from neurovlm.spiking.nir_bridge.dialects import dialect
from neurovlm.spiking.nir_bridge.runners import run_import, run_module
from neurovlm.spiking.nir_bridge.writing import to_tool


def check(
    source: SpikingGraph | str | Path,
    tool: str,
    *,
    module: Any = None,
    ticks: int = 240,
    seed: int = 0,
    **confirmed: Any,
) -> Agreement:
    """Run a seeded input on ``tool`` and on the reference, and count the slots that differ.

    Parameters
    ----------
    source
        A graph of ours or the path of one, which is written for the tool's import first; or the
        path of a file that the tool wrote, which is converted for the reference.
    module
        The tool's own network, to run instead of the tool's import.
    confirmed
        ``dt_ms``, ``reset`` and ``norm_input`` of `nir_io.load`, for a file.

    Returns
    -------
    The comparison; `Agreement.require` raises unless both fire alike. Floating point sums differ
    in their last bit between tools, so a potential that meets its threshold that closely may
    still fire in one of them only.

    Raises
    ------
    BackendError
        When the tool cannot import the graph.
    GraphError
        When the tool cannot represent it.
    MissingComponentError, UsageError
        When the tool is not installed, or not one that can be.
    """
    notes: tuple[str, ...] = ()
    if not isinstance(source, SpikingGraph) and nir_io.note_of(source) is not None:
        source = nir_io.load(source, **confirmed)
    if isinstance(source, SpikingGraph):
        graph = source
        if graph.dynamics.precision is not Precision.FLOAT32:
            graph = graph.with_precision(Precision.FLOAT32)
            notes += (f"compared in float32, {tool}'s precision",)
    else:
        graph = nir_io.load(source, dialect=tool, **confirmed)
    shape = graph.network.input_shape
    spikes_in = sample_spikes(graph.network.n_inputs, ticks=ticks, seed=seed)
    steps = spikes_in.reshape(ticks, *shape)
    if module is not None:
        return compare(graph, spikes_in, run_module(module, steps), tool, notes)
    if isinstance(source, SpikingGraph) or not dialect(tool).reads_itself:
        theirs = to_tool(graph, tool).graph
        if not isinstance(source, SpikingGraph):
            notes += (f"{tool}'s import misreads its own files; it got the file rewritten for it",)
    else:
        theirs = nir_io.read(source)
    out = run_import(theirs, steps, tool)
    return compare(graph, spikes_in, out, f"{tool} {version(tool)}", notes)
