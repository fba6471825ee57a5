"""What ``neurovlm simulate`` says of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.trace import RunCounts


def describe(
    counts: RunCounts, graph: SpikingGraph, backend: str, recording: Path, out: Path
) -> dict[str, Any]:
    """Counts per population and connection, with what ran where."""
    return {
        "schema_version": 1,
        "recording": str(recording),
        "graph": {"name": graph.name, "hash": graph.hash, "output": graph.network.output},
        "backend": backend,
        "dynamics": graph.dynamics.to_dict(),
        "n_ticks": counts.n_ticks,
        "input_spikes": counts.input_spikes,
        "populations": {
            p.name: {"neurons": p.neurons, "spikes": p.spikes, "neuron_updates": p.neuron_updates}
            for p in counts.populations
        },
        "connections": {
            c.name: {"synapses": c.synapses, "synops": c.synops} for c in counts.connections
        },
        "out": str(out),
    }


def print_counts(summary: dict[str, Any], console: Console) -> None:
    """A table of populations, with the synops that arrived at each."""
    title = (
        f"{summary['graph']['name']} on {summary['backend']} "
        f"({summary['dynamics']['precision']}), {summary['n_ticks']:,} ticks of "
        f"{summary['dynamics']['dt_s'] * 1e3:g} ms"
    )
    table = Table(title=title, title_justify="left")
    for column in ("population", "neurons", "spikes", "neuron updates"):
        table.add_column(column, justify="left" if column == "population" else "right")
    for name, counts in summary["populations"].items():
        mark = " (output)" if name == summary["graph"]["output"] else ""
        table.add_row(name + mark, *(f"{counts[key]:,}" for key in list(counts)))
    console.print(table)
    synops = sum(c["synops"] for c in summary["connections"].values())
    console.print(
        f"{summary['input_spikes']:,} input spikes, {synops:,} synops; spikes: {summary['out']}",
        highlight=False,
        soft_wrap=True,
    )
