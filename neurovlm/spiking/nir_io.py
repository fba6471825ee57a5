"""NIR files: a graph that any NIR reader accepts, with dt and conventions in its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir

from neurovlm.core.errors import GraphError, InputFileError
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph

_KEY = "neurovlm"


def save(graph: SpikingGraph, path: str | Path) -> None:
    """Write ``graph`` as a NIR file."""
    note = json.dumps({"name": graph.name, "dynamics": graph.dynamics.to_dict()}, sort_keys=True)
    whole = nir.NIRGraph(graph.nir.nodes, graph.nir.edges, metadata={_KEY: note})
    nir.write(str(path), whole)


def dynamics_of(path: str | Path) -> Dynamics:
    """What the file says of its dynamics; the default (1 ms ticks) where it says nothing."""
    note = _note(Path(path), _read(Path(path)))
    return Dynamics(**note["dynamics"]) if note else Dynamics()


def load(path: str | Path, dynamics: Dynamics | None = None) -> SpikingGraph:
    """Read a NIR file.

    Parameters
    ----------
    path
        A file written by `save` or by any other NIR writer.
    dynamics
        Overrides what the file says. A file without our metadata needs its dt from here; by
        default 1 ms is assumed, since NIR itself has no time step.

    Raises
    ------
    InputFileError
        When the file is missing, cut off, or no NIR file.
    GraphError
        When a node or value in it is one that no backend honours.
    """
    file = Path(path)
    graph = _read(file)
    note = _note(file, graph)
    if dynamics is None:
        dynamics = Dynamics(**note["dynamics"]) if note else Dynamics()
    name = str(note["name"]) if note else file.stem
    try:
        return SpikingGraph(graph, dynamics, name)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error


def _read(file: Path) -> nir.NIRGraph:
    if not file.is_file():
        raise InputFileError(f"{file}: no such NIR file; give the path of a .nir file")
    try:
        return nir.read(str(file))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputFileError(
            f"{file}: cannot be read as a NIR graph ({_one_line(error)}); "
            "write it again with nir.write"
        ) from error


def _note(file: Path, graph: nir.NIRGraph) -> dict[str, Any]:
    raw = (graph.metadata or {}).get(_KEY)
    if raw is None:
        return {}
    text = raw.decode() if isinstance(raw, bytes) else str(raw)
    try:
        note: dict[str, Any] = json.loads(text)
        Dynamics(**note["dynamics"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{file}: metadata {_KEY!r} is damaged ({_one_line(error)}); remove or rewrite it"
        ) from error
    return note


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
