"""README.md: its tables are what the commands print and what the shipped card says."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_what_the_command_prints():
    maker = runpy.run_path(str(ROOT / "docs" / "make_validation_table.py"))
    shown = maker["MARKS"].search((ROOT / "README.md").read_text()).group()
    assert shown == maker["table"](), "write it anew: python docs/make_validation_table.py"
    assert "8 Gen 3" in shown and "Jetson int8 energy" in shown


def test_the_scores_are_those_of_the_shipped_card():
    maker = runpy.run_path(str(ROOT / "docs" / "make_scores_table.py"))
    shown = maker["MARKS"].search((ROOT / "README.md").read_text()).group()
    assert shown == maker["table"](), "write it anew: python docs/make_scores_table.py"
    assert "label right, dense twin" in shown and "named as labelled" in shown
