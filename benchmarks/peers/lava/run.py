"""Lava's bit-accurate models on one Task, timed from inside the run.

The sink looks at the clock when tick ``WARM_UP`` and when the last tick arrives: their difference
over the ticks between is the time per tick without start, compilation and stop.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse

from benchmarks.peers.environment import NotInstalledError
from benchmarks.peers.task import Peer, Raster, Task
from neurovlm.spiking.dynamics import Precision

WARM_UP = 100  # ticks before the clock is read
_START_S, _TICK_S = 120.0, 0.05  # time limit of a child
_GRACE_S = 10.0


@dataclass(frozen=True)
class Form:
    """One way to put the task to Lava: its connection process and what the source sends."""

    connection: str
    pixels: bool

    @property
    def words(self) -> str:
        """For the table."""
        sent = "pixel" if self.pixels else "patch"
        return f"fixed point, {self.connection}, graded {sent} counts"


SPARSE_PIXELS = Form("Sparse", True)
SPARSE_COUNTS = Form("Sparse", False)
DENSE_COUNTS = Form("Dense", False)


def lava_peer(task: Task, form: Form) -> Peer:
    """Lava on a task; every run is a child process of its own."""
    seconds, raster = partial(_seconds, task, form), partial(_raster, task, form)
    return Peer("Lava", form.words, seconds, raster, Precision.LOIHI)


def _seconds(task: Task, form: Form) -> float:
    with tempfile.TemporaryDirectory(prefix="peer-lava-") as name:
        run_child(task, form, Path(name))
        first, last = np.load(Path(name) / "clock.npy")
    return float(last - first) / (task.n_ticks - WARM_UP)


def _raster(task: Task, form: Form) -> Raster:
    raster = np.zeros(task.counts.shape, np.bool_)
    with tempfile.TemporaryDirectory(prefix="peer-lava-") as name:
        run_child(task, form, Path(name))
        tick, neuron = np.load(Path(name) / "spikes.npy")
    raster[tick, neuron] = True
    return raster


def run_child(task: Task, form: Form, folder: Path) -> None:
    """Write the job, run it, and leave no process behind.

    Raises
    ------
    NotInstalledError
        Without lava-nc.
    RuntimeError
        When the child fails or exceeds its time limit: a Lava worker that raises says nothing.
    """
    if importlib.util.find_spec("lava") is None:
        raise NotInstalledError(
            "lava-nc is missing: pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
        )
    _write(task, form, folder)
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.lava.child", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit_s = _START_S + _TICK_S * task.n_ticks
    try:
        log, _ = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        log = f"no answer within {limit_s:.0f} s"
    finally:
        _end(child)
    if child.returncode or not (folder / "spikes.npy").exists():
        raise RuntimeError(f"Lava ({form.words}): {log.strip()[-2000:]}")


def _end(child: subprocess.Popen[str]) -> None:
    """SIGTERM lets Lava remove its shared memory; SIGKILL leaks it."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, kind)
        except ProcessLookupError:
            return
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue


def _write(task: Task, form: Form, folder: Path) -> None:
    n = task.counts.shape[1]
    if form.pixels:
        tick, index, value = task.pixel_tick, task.pixel, task.pixel_count
        patch, size = task.patch_of, len(task.patch_of)
    else:
        tick, index = (a.astype(np.int32) for a in np.nonzero(task.counts))
        value, patch, size = task.counts[tick, index], np.arange(n), n
    np.save(folder / "index.npy", index)
    np.save(folder / "value.npy", value)
    np.save(folder / "bounds.npy", np.searchsorted(tick, np.arange(task.n_ticks + 1)))
    data = np.full(size, task.weight, np.int32)
    matrix = scipy.sparse.csr_matrix((data, (patch, np.arange(size))), shape=(n, size))
    scipy.sparse.save_npz(folder / "weights.npz", matrix)
    job = {
        "connection": form.connection,
        "message_bits": max(int(value.max(initial=1)).bit_length(), 1),
        "n_ticks": task.n_ticks,
        "first": WARM_UP,
        "du": task.du,
        "dv": task.dv,
        "vth": task.vth,
    }
    (folder / "job.json").write_text(json.dumps(job))
