"""docs/backends.md: its table is true, and the backend it shows passes the contract suite."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "backends.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL))


def test_the_table_says_what_the_backends_claim():
    maker = runpy.run_path(str(DOCS / "make_backend_table.py"))
    shown = maker["MARKS"].search(PAGE).group()
    assert shown == maker["table"](), "write it anew: python docs/make_backend_table.py"
    assert shown.count("\n") == 2 + 3 + 8 + 1


def _load(name):
    module = ModuleType(name)
    exec(compile(BLOCKS[name], f"docs/backends.md, {name}.py", "exec"), vars(module))
    return module


sys.modules["dense"] = _load("dense")
TestDense = _load("test_dense").TestDense  # collected here: every test of the contract suite
del sys.modules["dense"]


def test_the_example_is_short():
    assert BLOCKS["dense"].count("\n") + BLOCKS["test_dense"].count("\n") <= 60
