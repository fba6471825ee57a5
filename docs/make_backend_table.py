"""Write the capability table of backends.md anew: ``python docs/make_backend_table.py``."""

from __future__ import annotations

import re
from pathlib import Path

from neurovlm.spiking.backends.base import BACKENDS, get_backend
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.network import Feature

PAGE = Path(__file__).with_name("backends.md")
MARKS = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table() -> str:
    """Rows of what a graph may ask for, columns of the registered backends."""
    can = {name: get_backend(name).capabilities for name in BACKENDS}
    rows = [(str(p), [p in can[name].precisions for name in BACKENDS]) for p in Precision]
    rows += [(f.value, [f in can[name].features for name in BACKENDS]) for f in Feature]
    rows += [("goes on from a state", [can[name].resumes for name in BACKENDS])]
    lines = ["| | " + " | ".join(BACKENDS) + " |", "|---" * (1 + len(BACKENDS)) + "|"]
    lines += [
        f"| {label} | " + " | ".join("x" if y else "" for y in has) + " |" for label, has in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(MARKS.sub(lambda _: table(), PAGE.read_text()))
