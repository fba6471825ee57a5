"""What a run leaves for its reader: table, JSON object, files and the HTML report."""

from neurovlm.report.files import check_target, write_outputs
from neurovlm.report.summary import estimate_devices, summarise, to_json
from neurovlm.report.table import run_table
from neurovlm.report.trace_file import write_trace

__all__ = [
    "check_target",
    "estimate_devices",
    "run_table",
    "summarise",
    "to_json",
    "write_outputs",
    "write_trace",
]
