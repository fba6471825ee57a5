"""NIR files: graphs of our own, which any NIR reader accepts, and graphs of other tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir

from neurovlm.core.errors import GraphError, InputFileError, UsageError
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.graph import SpikingGraph, nodes_sha256
from neurovlm.spiking.nir_bridge.reading import Imported, from_tool
from neurovlm.spiking.nir_bridge.writing import to_tool
from neurovlm.spiking.sidecar import KEY, Note, read_sidecar, sidecar_of


def save(
    graph: SpikingGraph,
    path: str | Path,
    *,
    dialect: str | None = None,
    notes: tuple[str, ...] = (),
) -> None:
    """Write ``graph`` as a NIR file with its dynamics in metadata and a sidecar.

    Parameters
    ----------
    dialect
        Write for the import of ``snntorch`` or ``norse`` instead. Such a file holds that tool's
        numbers and no note of ours. Norse's import and export differ, so `load` does not read what
        was written for Norse.
    notes
        What was assumed on the way here, for the sidecar.

    Raises
    ------
    GraphError
        When NIR or the tool cannot hold the graph.
    """
    file = Path(path)
    if dialect is not None:
        _write(to_tool(graph, dialect).graph, {}, file)
        sidecar_of(file).unlink(missing_ok=True)
        return
    text = Note.of(graph, notes).to_json()
    _write(graph.nir, {KEY: text}, file)
    sidecar_of(file).write_text(text, encoding="utf-8")


def load(
    path: str | Path,
    dynamics: Dynamics | None = None,
    *,
    dialect: str | None = None,
    dt_ms: float | None = None,
    reset: str | None = None,
    norm_input: bool | None = None,
) -> SpikingGraph:
    """Read a NIR file.

    Parameters
    ----------
    path
        A file written by `save` or by any other NIR writer.
    dynamics
        Overrides what the file says. A file that says nothing, and has no dialect, is read in
        Euler steps of 1 ms, since NIR itself has no time step.
    dialect
        The tool that wrote the file: snntorch, norse, spikingjelly or sinabs.
    dt_ms, reset, norm_input
        As `neurovlm.spiking.nir_bridge.reading.from_tool`; with a dialect only, but ``dt_ms``.

    Raises
    ------
    InputFileError
        When the file is missing, cut off, no NIR file, or has a sidecar that does not fit.
    GraphError
        When a node or value in it is one that no backend honours.
    UsageError
        When the dialect needs something confirmed, or the file is one of ours.
    """
    if dialect is not None:
        graph = load_foreign(path, dialect, dt_ms=dt_ms, reset=reset, norm_input=norm_input).graph
        return graph if dynamics is None else replace(graph, dynamics=dynamics)
    if reset is not None or norm_input is not None:
        raise UsageError("reset and norm_input are for files of other tools; give their dialect")
    file = Path(path)
    whole = read(file)
    note = _note(file, whole)
    if dynamics is None:
        dynamics = note.dynamics if note else Dynamics()
        if dt_ms is not None:
            dynamics = replace(dynamics, dt_s=dt_ms / 1e3)
    name, extensions = (note.name, note.extensions) if note else (file.stem, {})
    try:
        return SpikingGraph(whole, dynamics, name, extensions)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error


def load_foreign(path: str | Path, dialect: str, **confirmed: Any) -> Imported:
    """Read a file that another tool wrote, with what had to be assumed; see `load`."""
    file = Path(path)
    whole = read(file)
    if _note(file, whole) is not None:
        raise UsageError(f"{file}: was written by neurovlm; leave the dialect {dialect!r} out")
    try:
        return from_tool(whole, dialect, name=file.stem, **confirmed)
    except (GraphError, UsageError) as error:
        raise type(error)(f"{file}: {error}") from error


def dynamics_of(path: str | Path) -> Dynamics:
    """What the file says of its dynamics; the default (1 ms ticks) where it says nothing."""
    note = note_of(path)
    return note.dynamics if note else Dynamics()


def note_of(path: str | Path) -> Note | None:
    """What the file or its sidecar says beside the nodes; None for a file of another tool."""
    file = Path(path)
    return _note(file, read(file))


def read(path: str | Path) -> nir.NIRGraph:
    """The graph in a file as NIR holds it, unconverted.

    Raises
    ------
    InputFileError
        When the file is missing, cut off, no NIR file, or of a NIR version not known here.
    """
    file = Path(path)
    if not file.is_file():
        raise InputFileError(f"{file}: no such NIR file; give the path of a .nir file")
    written_with = _check_content(file)
    try:
        graph = nir.read(str(file), type_check=False)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise InputFileError(
            f"{file}: cannot be read as a NIR graph ({_one_line(error)}); written with nir "
            f"{written_with}, read with nir {nir.version}; write it again with nir.write"
        ) from error
    assert isinstance(graph, nir.NIRGraph)
    return graph


def _check_content(file: Path) -> str:
    """Refuse what is no NIR file, or holds nodes of a later NIR; returns the file's version."""
    try:
        with h5py.File(file, "r") as content:
            if "node" not in content:
                held = ", ".join(sorted(content)) or "nothing"
                raise InputFileError(
                    f"{file}: is an HDF5 file but no NIR graph (it holds {held}); give a file "
                    "written by nir.write"
                )
            raw = content["version"][()] if "version" in content else b"unknown"
            kinds = _kind(content["node"])
            if kinds != {"NIRGraph"}:
                held = ", ".join(kinds) or "node without a type"
                raise InputFileError(f"{file}: holds one {held} and no graph; write a nir.NIRGraph")
            content["node"].visititems(lambda _, item: kinds.update(_kind(item)))
    except (OSError, RuntimeError, KeyError) as error:
        what = "is cut off or damaged" if _is_hdf5(file) else "is no HDF5 file"
        raise InputFileError(
            f"{file}: {what}, so it cannot be read as a NIR graph ({_one_line(error)}); "
            "write it again with nir.write"
        ) from error
    written_with = raw.decode() if isinstance(raw, bytes) else str(raw)
    unknown = sorted(kind for kind in kinds if not hasattr(nir, kind))
    if unknown:
        raise InputFileError(
            f"{file}: holds {', '.join(unknown)}, which nir {nir.version} does not know; it was "
            f"written with nir {written_with}: update with pip install -U nir"
        )
    return written_with


def _kind(item: Any) -> set[str]:
    if not isinstance(item, h5py.Group) or not isinstance(item.get("type"), h5py.Dataset):
        return set()
    raw = item["type"][()]
    return {raw.decode() if isinstance(raw, bytes) else str(raw)}


def _is_hdf5(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"


def _note(file: Path, graph: nir.NIRGraph) -> Note | None:
    """The sidecar's note, else the one in the file's metadata, else None."""
    note = read_sidecar(file, nodes_sha256(graph))
    raw = (graph.metadata or {}).get(KEY)
    if note is not None or raw is None:
        return note
    text = raw.decode() if isinstance(raw, bytes) else str(raw)
    return Note.from_json(text, f"{file}: metadata {KEY!r}", "remove or rewrite it")


def _write(graph: nir.NIRGraph, metadata: dict[str, str], file: Path) -> None:
    try:
        whole = nir.NIRGraph(graph.nodes, graph.edges, metadata=metadata)
        nir.write(str(file), whole)
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"{file}: NIR cannot hold this graph ({_one_line(error)}); give every node parameters "
            "of the shape that reaches it"
        ) from error
    if KEY in metadata:
        _leave_out_resets(file)


def _leave_out_resets(file: Path) -> None:
    """Remove every ``v_reset``, so that nir before 1.0.6, which has no such field, reads the file.

    Later versions take it as 0 where it is missing, and no graph of ours has another.
    """
    with h5py.File(file, "r+") as content:
        resets: list[str] = []

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and name.rpartition("/")[2] == "v_reset":
                resets.append(name)

        content["node"].visititems(note)
        for name in resets:
            del content["node"][name]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
