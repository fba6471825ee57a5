"""From one NIR file to another, tested on the tools that are installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from neurovlm.core.errors import BackendError, GraphError, MissingComponentError, UsageError
from neurovlm.spiking import nir_io
from neurovlm.spiking.dynamics import Dynamics, Precision
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.nir_bridge.agree import Agreement, sample_spikes
from neurovlm.spiking.nir_bridge.check import check
from neurovlm.spiking.nir_bridge.lag import network_lags
from neurovlm.spiking.nir_bridge.runners import IMPORTS
from neurovlm.spiking.nir_bridge.writing import to_tool
from neurovlm.spiking.quantise import compare, quantise
from neurovlm.spiking.train import SpikeTrain


def convert(
    source: str | Path,
    target: str | Path,
    *,
    from_tool: str | None = None,
    for_tool: str | None = None,
    dt_ms: float | None = None,
    reset: str | None = None,
    norm_input: bool | None = None,
    quantised: bool = False,
    test: bool = True,
) -> dict[str, Any]:
    """Convert a NIR file and test that the spikes stay the same.

    Parameters
    ----------
    from_tool
        The tool that wrote ``source``; None for a file of ours, or one to be read in Euler steps.
    for_tool
        Write ``target`` for this tool's import; None for a file of ours.
    dt_ms, reset, norm_input
        As `neurovlm.spiking.nir_io.load`.
    quantised
        Round the graph to Loihi's integers, and say how many spikes that changes.
    test
        Whether to run the tools' own neurons beside the reference, where they are installed.

    Returns
    -------
    What was converted and assumed and what the tests found, as plain values.

    Raises
    ------
    GraphError
        When a test finds differing spikes; then nothing is written.
    InputFileError, UsageError
        As `nir_io.load` and `nir_io.save`.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise UsageError(f"{target}: would overwrite its source; choose another file")
    confirmed: dict[str, Any] = {"dt_ms": dt_ms, "reset": reset, "norm_input": norm_input}
    if from_tool is None:
        graph, notes = _plain(source, **confirmed)
    else:
        imported = nir_io.load_foreign(source, from_tool, **confirmed)
        graph, notes = imported.graph, imported.notes
    tests = []
    if test and from_tool is not None:
        tests.append(_tested(source, from_tool, confirmed, reads=True))
    if quantised:
        graph, changes = _quantised(graph)
        notes += changes
    if for_tool is not None:
        notes += to_tool(graph, for_tool).notes
        if test:
            tests.append(_tested(graph, for_tool, {}, reads=False))
    nir_io.save(graph, target, dialect=for_tool, notes=notes)
    return {
        "schema_version": 1,
        "source": str(source),
        "target": str(target),
        "from": from_tool,
        "to": for_tool,
        "dt_ms": graph.dynamics.dt_s * 1e3,
        "precision": str(graph.dynamics.precision),
        "graph_sha256": graph.hash,
        "populations": {p.name: p.size for p in graph.network.populations},
        "synapses": sum(c.synapses for c in graph.network.connections),
        "lag_ticks": _lag(graph) if from_tool or for_tool else None,
        "notes": list(notes),
        "tests": tests,
    }


def _plain(
    source: str | Path, dt_ms: float | None, **confirmed: Any
) -> tuple[SpikingGraph, tuple[str, ...]]:
    """A file of ours, or of nobody we know: Euler steps, and float64 for weights of any kind."""
    note = nir_io.note_of(source)
    dynamics = note.dynamics if note else Dynamics(precision=Precision.FLOAT64)
    if dt_ms is not None:
        dynamics = replace(dynamics, dt_s=dt_ms / 1e3)
    assumed = (f"read in Euler steps of {dynamics.dt_s * 1e3:g} ms, no tool was named",)
    return nir_io.load(source, dynamics, **confirmed), note.notes if note else assumed


def _tested(
    source: SpikingGraph | str | Path, tool: str, confirmed: dict[str, Any], *, reads: bool
) -> dict[str, Any]:
    """Result of one self-test, or why it could not be run."""
    test: dict[str, Any] = {"tool": tool, "graph": "read" if reads else "written", "run": False}
    if tool not in IMPORTS:
        return test | {"why": f"{tool} does not install beside this package"}
    try:
        result = check(source, tool, **confirmed)
    except MissingComponentError as error:
        return test | {"why": str(error)}
    except (BackendError, GraphError) as error:
        if reads:  # the tool cannot take its own file back
            return test | {"why": str(error)}
        raise
    if result.differing:
        raise GraphError(
            f"self-test failed, nothing was written: {'; '.join(_lines(result))}; "
            "--no-test writes the file all the same"
        )
    return test | {"run": True, **result.to_dict(), "text": "; ".join(_lines(result))}


def _quantised(graph: SpikingGraph) -> tuple[SpikingGraph, tuple[str, ...]]:
    """The graph in Loihi's integers, and what that changes on the self-test's input."""
    rounded = quantise(graph).graph
    network, dt_s = graph.network, graph.dynamics.dt_s
    if network.input_bits:
        return rounded, ("quantised",)
    spikes = SpikeTrain.from_dense(
        sample_spikes(network.n_inputs), dt_s=dt_s, shape=network.input_shape
    )
    return rounded, tuple(
        f"quantised: {d.population} differs in {d.share:.2%} of its slots "
        f"({d.spikes[0]} spikes before, {d.spikes[1]} after)"
        for d in compare(graph, rounded, spikes)
    )


def _lines(result: Agreement) -> list[str]:
    return [result.describe(), *result.notes]


def _lag(graph: SpikingGraph) -> int:
    return network_lags(graph.network)[graph.network.output]
