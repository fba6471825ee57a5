"""The process in which Lava runs: ``python -m neurovlm.spiking.backends.lava.child FOLDER``.

Importing Lava sets the start method of ``multiprocessing``, its run can hang for ever when one of
its workers fails, and its workers outlive it. So it gets a session of its own, watches its workers
while they run, and ends the whole group when one of them fails.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from neurovlm.core.errors import NeurovlmError
from neurovlm.spiking.backends.lava.job import ERROR_FILE, Job, read_job
from neurovlm.spiking.backends.lava.shim import import_lava

_POLL_S = 0.05


def main(folder: Path) -> None:
    """Run the job in ``folder``; its files appear there."""
    sys.excepthook = functools.partial(_on_error, folder)
    import_lava()
    configs = importlib.import_module("lava.magma.core.run_configs")
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    builder = importlib.import_module("neurovlm.spiking.backends.lava.build")
    job = read_job(folder)
    tag = "fixed_pt" if job.network.dynamics.precision == "loihi" else "floating_pt"
    source, models = builder.build(job, folder)
    watchdog = threading.Thread(target=_watch, args=(source, job, folder), daemon=True)
    watchdog.start()
    source.run(
        # not blocking: only the watchdog may look at the workers while they run
        conditions.RunSteps(job.n_ticks, blocking=False),
        run_cfg=getattr(configs, job.run_config)(
            select_tag=tag, select_sub_proc_model=True, exception_proc_model_map=models
        ),
        compile_config={"pypy_channel_size": 8},  # the default of 64 can fill a small /dev/shm
    )
    watchdog.join()
    source.wait()
    source.stop()


def _watch(source: Any, job: Job, folder: Path) -> None:
    """Return when the results are complete; end the group when a worker failed.

    It also sees a worker that dies while others are still being started: Lava would wait for it
    for ever, too.
    """
    parent = os.getppid()
    while not all((folder / name).exists() for name in job.files):
        problems = [problem for problem in map(_problem, _workers(source)) if problem]
        if os.getppid() != parent:
            problems.append("the process that asked for the run is gone")
        if problems:
            _end_group(folder, problems[0])
        time.sleep(_POLL_S)


def _workers(source: Any) -> list[Any]:
    """List the processes Lava has started so far; ``multiprocessing`` itself forgets dead ones."""
    infrastructure = getattr(source.runtime, "_messaging_infrastructure", None)
    return [] if infrastructure is None else list(infrastructure.actors)


def _problem(worker: Any) -> str:
    """Say in one line what is wrong with a worker; empty when nothing is."""
    if worker.exception is not None:
        error, trace = worker.exception
        sys.stderr.write(trace)
        if isinstance(error, NeurovlmError):
            return str(error)
        whose = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
        places = [line.strip() for line in trace.splitlines() if line.startswith("  File ")]
        where = f" ({places[-1]})" if places else ""
        return f"{whose}{type(error).__name__}: {error}{where}"
    if worker.exitcode not in (None, 0):
        return f"worker {worker.name} ended with exit code {worker.exitcode}"
    return ""


def _on_error(
    folder: Path, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.__excepthook__(kind, error, trace)
    _end_group(folder, f"{kind.__name__}: {error}")


def _end_group(folder: Path, problem: str) -> None:
    """Leave a message and stop every process of this session, this one included.

    SIGTERM lets the resource tracker live a moment longer and remove the shared memory.
    """
    (folder / ERROR_FILE).write_text(" ".join(problem.split()), encoding="utf-8")
    sys.stderr.flush()
    os.killpg(os.getpid(), signal.SIGTERM)
    time.sleep(60)  # until the signal arrives


if __name__ == "__main__":
    main(Path(sys.argv[1]))
