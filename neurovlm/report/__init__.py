"""What a run leaves for its reader: table, JSON object, files and the HTML report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovlm.report.files import check_target, write_outputs
    from neurovlm.report.summary import estimate_devices, summarise, to_json
    from neurovlm.report.table import run_table
    from neurovlm.report.trace_file import write_trace

_EXPORTS = {
    "check_target": "neurovlm.report.files",
    "estimate_devices": "neurovlm.report.summary",
    "run_table": "neurovlm.report.table",
    "summarise": "neurovlm.report.summary",
    "to_json": "neurovlm.report.summary",
    "write_outputs": "neurovlm.report.files",
    "write_trace": "neurovlm.report.trace_file",
}

__all__ = [
    "check_target",
    "estimate_devices",
    "run_table",
    "summarise",
    "to_json",
    "write_outputs",
    "write_trace",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``simulate`` needs no pictures and no torch."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'neurovlm.report' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
