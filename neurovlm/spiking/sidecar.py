"""What NIR leaves open about a graph, as JSON: in the file's metadata and in NAME.nir.json.

NIR has no time step, scheme, reset or comparator, and its metadata may be dropped by any tool that
rewrites a file. The sidecar holds the same words where a person can read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from neurovlm.core.errors import GraphError, InputFileError
from neurovlm.spiking.dynamics import Dynamics
from neurovlm.spiking.extension import PLAIN, Extension
from neurovlm.spiking.graph import SpikingGraph, nodes_sha256

KEY = "neurovlm"
SCHEMA_VERSION = 1
UNITS = {
    "time": "seconds",
    "weights": "added to u in the tick after the spike, times w_in dt / tau_syn",
    "v_threshold": "v in NIR's Euler reading with dt_s, gains r and w_in included",
    "delay": "seconds, whole ticks on top of the one tick every connection takes",
}


@dataclass(frozen=True)
class Note:
    """What a file or its sidecar says beside the nodes.

    Attributes
    ----------
    graph_sha256
        Hash of nodes and edges, which ties a sidecar to its file.
    extensions
        By node name.
    notes
        What was assumed when the graph was converted.
    """

    name: str
    dynamics: Dynamics
    graph_sha256: str
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, graph: SpikingGraph, notes: tuple[str, ...] = ()) -> Note:
        """The note of a graph."""
        extensions = {name: e for name, e in sorted(graph.extensions.items()) if e != PLAIN}
        return cls(graph.name, graph.dynamics, nodes_sha256(graph.nir), extensions, notes)

    def to_json(self) -> str:
        """Indented JSON with sorted keys."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "written_by": f"neurovlm {version('neurovlm')}",
            "name": self.name,
            "graph_sha256": self.graph_sha256,
            "dynamics": self.dynamics.to_dict(),
            "extensions": {name: e.to_dict() for name, e in self.extensions.items()},
            "units": UNITS,
            "notes": list(self.notes),
        }
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str, cure: str) -> Note:
        """Parse what `to_json` wrote.

        Parameters
        ----------
        where, cure
            What the text is and what to do about it, for the message.

        Raises
        ------
        InputFileError
            For damaged text or another schema version.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            found = content["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(where, cure, error) from error
        if found != SCHEMA_VERSION:
            raise InputFileError(
                f"{where} has schema version {found!r}, this neurovlm reads {SCHEMA_VERSION}; "
                f"update neurovlm, or {cure}"
            )
        try:
            return cls(
                str(content["name"]),
                Dynamics(**content["dynamics"]),
                str(content["graph_sha256"]),
                {name: Extension(**e) for name, e in content["extensions"].items()},
                tuple(map(str, content["notes"])),
            )
        except (GraphError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(where, cure, error) from error


def sidecar_of(path: Path) -> Path:
    """``NAME.nir.json`` beside ``NAME.nir``."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path, sha256: str) -> Note | None:
    """The note beside a NIR file whose nodes have this hash; None where there is none.

    Raises
    ------
    InputFileError
        When it cannot be read, or belongs to another graph.
    """
    sidecar = sidecar_of(path)
    if not sidecar.exists():
        return None
    try:
        text = sidecar.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _damaged(str(sidecar), "delete it to use the file's metadata", error) from error
    note = Note.from_json(text, str(sidecar), "delete it to use the file's metadata")
    if note.graph_sha256 != sha256:
        raise InputFileError(
            f"{sidecar}: belongs to another graph ({note.name!r}, sha256 "
            f"{note.graph_sha256[:12]}; {path.name} has {sha256[:12]}); delete it or save the "
            "graph again"
        )
    return note


def _damaged(where: str, cure: str, error: Exception) -> InputFileError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputFileError(f"{where} is damaged ({reason}); {cure}")
