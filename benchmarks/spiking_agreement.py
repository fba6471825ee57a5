"""The same spikes first: every engine against the reference, on real and procedural streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.spiking_streams import GRAPHS, busiest, recordings
from neurovlm.core.errors import GraphError, MissingComponentError
from neurovlm.events.stream import EventStream
from neurovlm.frontend.named import graph_by_name
from neurovlm.spiking.backends.base import BACKENDS, get_backend
from neurovlm.spiking.dynamics import Precision


@dataclass(frozen=True)
class Amount:
    """Ticks compared per recording: of Lava and ours (None: all), of torch engines, of Brian2."""

    loihi: int | None
    torch: int
    brian2: int


def compare(folder: Path | None, amount: Amount, console: Console) -> list[dict[str, Any]]:
    """Differing spikes per recording, graph, engine and precision."""
    runs = (
        (("fast", "lava"), amount.loihi),
        (("snntorch", "norse"), amount.torch),
        (("brian2",), amount.brian2),
    )
    rows = []
    for name, stream in recordings(folder):
        console.log(name)
        for graph in GRAPHS:
            for engines, n_ticks in runs:
                known = [engine for engine in engines if engine in BACKENDS]
                for precision in dict.fromkeys(p for e in known for p in precisions(e)):
                    exact = [engine for engine in known if precision in precisions(engine)]
                    rows += _differing(name, graph, stream, precision, exact, n_ticks)
    return rows


def precisions(engine: str) -> list[Precision]:
    """What is compared and timed, fastest first: Loihi's integers where the engine has them."""
    can = get_backend(engine).capabilities.precisions
    if Precision.LOIHI in can:
        return [Precision.LOIHI]
    return [p for p in (Precision.FLOAT32, Precision.FLOAT64) if p in can]


def _differing(
    name: str,
    graph_name: str,
    stream: EventStream,
    precision: Precision,
    engines: Sequence[str],
    n_ticks: int | None,
) -> list[dict[str, Any]]:
    graph = graph_by_name(graph_name, precision)
    spikes = busiest(graph, stream, n_ticks)
    expected = get_backend("reference").run(graph, spikes).spikes
    rows = []
    for engine in engines:
        row: dict[str, Any] = {
            "recording": name,
            "graph": graph_name,
            "engine": engine,
            "precision": str(precision),
            "ticks": spikes.n_ticks,
            "input": len(spikes),
            "spikes": sum(map(len, expected.values())),
        }
        try:
            got = get_backend(engine).run(graph, spikes).spikes
        except (GraphError, MissingComponentError) as error:
            if engine == "fast":
                raise
            rows.append(row | {"differing": None, "where": f"not run: {error}"})
            continue
        differing = {p: got[p].differing(train) for p, train in expected.items()}
        where = ", ".join(f"{p} {n}" for p, n in differing.items() if n)
        rows.append(row | {"differing": sum(differing.values()), "where": where})
    return rows


def n_differing(rows: Sequence[dict[str, Any]]) -> int:
    """Sum over recordings, graphs and engines."""
    return sum(row["differing"] or 0 for row in rows)
