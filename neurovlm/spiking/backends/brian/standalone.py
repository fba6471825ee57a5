"""A C++ program built for one run, in a child process and a folder that do not outlive it.

Brian2's standalone device is global and its objects belong to it; a process of its own keeps it
away from whatever else uses Brian2 here.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from neurovlm.core.errors import BackendError, MissingComponentError
from neurovlm.spiking.backends.brian.child import JOB_FILE, OUTCOME_FILE
from neurovlm.spiking.backends.brian.model import Job, Outcome

_CHILD = "neurovlm.spiking.backends.brian.child"
_TAIL_LINES = 40


def simulate_standalone(job: Job, limit_s: float) -> Outcome:
    """Build, run, read.

    Raises
    ------
    MissingComponentError
        Without a C++ compiler or make.
    BackendError
        When the build or the program fails or exceeds the time limit.
    """
    _check_tools()
    with tempfile.TemporaryDirectory(prefix="neurovlm-brian2-") as name:
        folder = Path(name)
        (folder / JOB_FILE).write_bytes(pickle.dumps(job))
        log = _run_child(folder, limit_s)
        result = folder / OUTCOME_FILE
        if not result.exists():
            raise _failure(log)
        outcome = pickle.loads(result.read_bytes())
    assert isinstance(outcome, Outcome)
    return outcome


def _check_tools() -> None:
    for tool in (os.environ.get("CXX", "g++").split()[0], "make"):
        if shutil.which(tool) is None:
            raise MissingComponentError(
                f"backend 'brian2': standalone mode needs {tool}, which is not on the PATH; "
                "install it (Debian, Ubuntu: apt install g++ make), or use mode='runtime'"
            )


def _run_child(folder: Path, limit_s: float) -> str:
    """Run the job to its end; compiler and program are in the child's session and end with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", _CHILD, str(folder)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},  # logs of Brian2, compiler's files
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        log, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise BackendError(
            f"backend 'brian2': build and run not finished within {limit_s:g} s and stopped; "
            "give it a longer timeout_s or fewer ticks"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return log


def _failure(log: str) -> BackendError:
    lines = log.strip().splitlines() or ["it said nothing"]
    error = BackendError(f"backend 'brian2': build or run failed: {lines[-1]}")
    error.add_note("\n".join(lines[-_TAIL_LINES:]))
    return error
