"""Run hardware.md and write its outputs anew: ``python docs/make_hardware_page.py``.

Blocks run in order in one namespace, in an empty folder; a text block behind one is its output.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("hardware.md")
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(\n```text\n(?P<shown>.*?)```\n)?", re.DOTALL)


def page(text: str) -> str:
    """Return the page with every output replaced by what its block prints."""
    namespace: dict[str, Any] = {}

    def run(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], PAGE.name, "exec"), namespace)
        if block["shown"] is None and not printed.getvalue():
            return block[0]
        return f"```python\n{block['code']}```\n\n```text\n{printed.getvalue()}```\n"

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return BLOCK.sub(run, text)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
