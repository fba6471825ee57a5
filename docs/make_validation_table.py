"""Write the validation table of README.md anew: ``python docs/make_validation_table.py``."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from hw_models.__main__ import main as hw_models

PAGE = Path(__file__).parents[1] / "README.md"
MARKS = re.compile(r"(?<=<!-- validation -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table() -> str:
    """What ``python -m hw_models validate --markdown --short`` prints, without its heading."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        hw_models(["validate", "--markdown", "--short"])
    _, _, body = printed.getvalue().partition("\n")
    return f"\n{body.strip()}\n\n"


if __name__ == "__main__":
    PAGE.write_text(MARKS.sub(lambda _: table(), PAGE.read_text()))
