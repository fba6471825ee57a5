"""docs/hardware.md: its Python runs, prints what the page shows, and names what there is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from hw_models.contract import LAWS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "hardware.md").read_text()


def test_outputs_are_what_the_blocks_print():
    anew = runpy.run_path(str(DOCS / "make_hardware_page.py"))["page"](PAGE)
    assert anew == PAGE, "write it anew: python docs/make_hardware_page.py"
    assert PAGE.count("```python") >= 8
    assert not re.search(r"```text\n```", PAGE)


def test_files_that_it_names_exist():
    root = DOCS.parent
    for name in re.findall(r"`((?:hw_models|benchmarks|notebooks|docs)/[\w./-]+)`", PAGE):
        assert (root / name).exists(), name
    assert "rows add up" in LAWS
    assert "rows add up" in PAGE
