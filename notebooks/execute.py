"""Execute notebooks in place and store their outputs: ``python notebooks/execute.py [NOTEBOOK...]``.

Timestamps are not recorded, plain text beside HTML is dropped, and a notebook whose outputs name a
folder of this machine or grow past a megabyte is refused.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
MAX_BYTES = 1_000_000


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, record_timing=False, kernel_name="python3").execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output["data"].pop("text/plain", None)
    text = nbformat.writes(notebook)
    for folder in (HERE.parent, HERE.parent.parent, Path.home()):
        if f"{folder}/" in text and folder != Path("/"):
            raise SystemExit(f"{path.name}: an output names {folder}; nothing was written")
    if len(text) > MAX_BYTES:
        raise SystemExit(f"{path.name}: {len(text):,} bytes with outputs; nothing was written")
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(map(str, HERE.glob("*.ipynb")))):
        execute(path)
