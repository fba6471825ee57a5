"""docs/nir.md: its measured tables are what the command it names measures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "nir.md").read_text()


@pytest.mark.parametrize("name", ["read", pytest.param("written", marks=pytest.mark.slow)])
def test_the_tables_are_measured(name):
    shown = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL).group(1)
    measured = runpy.run_path(str(DOCS / "make_nir_table.py"))["TABLES"][name]()
    assert shown == measured, "write it anew: python docs/make_nir_table.py"
    assert shown.count(" 0 of ") > 10
