"""Write the measured tables of nir.md anew: ``python docs/make_nir_table.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurovlm.core.errors import BackendError, NeurovlmError
from neurovlm.spiking import nir_io
from neurovlm.spiking.contract import CASES
from neurovlm.spiking.nir_bridge.agree import compare
from neurovlm.spiking.nir_bridge.check import check
from neurovlm.spiking.nir_bridge.runners import IMPORTS, run_import
from neurovlm.spiking.nir_bridge.writing import WRITABLE

PAGE = Path(__file__).with_name("nir.md")
FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "nir"
MARKS = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
CONFIRMED = {"snntorch": {"reset": "zero"}, "sinabs": {"reset": "zero", "norm_input": True}}


def read() -> str:
    """Files of other tools: their spikes, ours, and what their own import makes of the file."""
    lines = ["| file | spikes there | spikes here | differing slots | its own import differs in |"]
    lines.append("|---" * 5 + "|")
    for path in sorted(FIXTURES.glob("*.nir")):
        tool = path.stem.partition("_")[0]
        confirmed = dict(CONFIRMED.get(tool, {}))
        if path.stem == "sinabs_plain":
            confirmed["norm_input"] = False
        with np.load(path.with_suffix(".npz")) as made:
            fed, sent = made["input"], made["output"]
        own = own_import(path, fed, sent) if tool in IMPORTS else ""
        try:
            got = compare(nir_io.load(path, dialect=tool, **confirmed), fed, sent, tool)
            cells = f"{got.theirs} | {got.ours} | {got.differing} of {sent.size}"
        except NeurovlmError:
            cells = f"{np.count_nonzero(sent)} | refused | "
        lines.append(f"| `{path.stem}` | {cells} | {own} |")
    return "\n".join(lines) + "\n"


def own_import(path: Path, fed: np.ndarray, sent: np.ndarray) -> str:
    """Slots in which a tool's import of its own file differs from the network that wrote it."""
    graph = nir_io.read(path)
    shape = tuple(int(side) for side in graph.nodes["input"].input_type["input"])
    kept = shape[1:] if path.stem.startswith("norse") else shape
    try:
        out = run_import(graph, fed.reshape(-1, *kept), path.stem.partition("_")[0])
    except BackendError:
        return "fails"
    return str(np.count_nonzero((out != 0) != (sent != 0)))


def written() -> str:
    """Cases of the contract suite, written for each tool and run through its import."""
    lines = ["| graph | " + " | ".join(WRITABLE) + " |", "|---" * (1 + len(WRITABLE)) + "|"]
    for case in CASES:
        cells = []
        for tool in WRITABLE:
            try:
                got = check(case.build()[0], tool)
                cells.append(f"{got.differing} of {got.ticks * got.neurons}")
                cells[-1] += "" if got.theirs else " (silent)"
            except NeurovlmError:
                cells.append("refused")
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {"read": read, "written": written}

if __name__ == "__main__":
    PAGE.write_text(
        MARKS.sub(
            lambda mark: f"<!-- {mark.group(1)} -->\n{TABLES[mark.group(1)]()}<!-- end -->",
            PAGE.read_text(),
        )
    )
