"""Brian2 as a C++ program of its own: built once per network, then the program is run again.

The time is the one Brian2 measures around its own simulation loop (``last_run_info.txt``), in
processor time: build, start of the program, reading its input and writing its results are not in
it. Default compiler flags, one thread, states in float64.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.environment import NotInstalledError
from benchmarks.peers.task import Peer, Raster, Task
from neurovlm.spiking.dynamics import Precision

COUNTS = "C++ standalone, TimedArray"
EVENTS = "C++ standalone, SpikeGeneratorGroup of pixels"


def brian_peer(task: Task, form: str, folder: Path) -> Peer:
    """Build the program in ``folder`` (10 s and more) and run it from there."""
    if shutil.which("g++") is None or shutil.which("make") is None:
        raise NotInstalledError("Brian2 standalone needs g++ and make; install them")
    import brian2 as b2

    b2.set_device("cpp_standalone", build_on_run=False)
    b2.defaultclock.dt = task.dt_s * b2.second
    monitor, *objects = _counts(b2, task) if form == COUNTS else _events(b2, task)
    network = b2.Network(monitor, *objects)
    network.run(task.n_ticks * b2.defaultclock.dt)
    with contextlib.redirect_stdout(io.StringIO()):
        b2.device.build(directory=str(folder), compile=True, run=False)
    tick_file, neuron_file = (
        Path(b2.device.get_array_filename(monitor.variables[name])).name for name in ("t", "i")
    )
    b2.device.reinit()
    b2.set_device("runtime")
    return Peer(
        "Brian2",
        form,
        partial(_seconds, folder, task.n_ticks),
        partial(_raster, folder, tick_file, neuron_file, task),
        Precision.FLOAT64,
        clock="processor",
    )


def _neurons(b2: Any, task: Task, arriving: str, after: str, **names: Any) -> Any:
    """Update u, then v, then test, then reset, all in one tick: v sees the new u."""
    group = b2.NeuronGroup(
        task.counts.shape[1],
        "u : 1\nv : 1\nx : 1",
        threshold="v > vth",
        reset="v = 0",
        namespace={
            "ku": task.keep_u,
            "kv": task.keep_v,
            "w": task.weight,
            "vth": task.vth,
            **names,
        },
    )
    group.run_regularly(f"u = ku * u + w * {arriving}\nv = kv * v + u{after}", when="groups")
    return group


def _counts(b2: Any, task: Task) -> tuple[Any, ...]:
    counts = b2.TimedArray(task.delayed().astype(float), dt=b2.defaultclock.dt)
    group = _neurons(b2, task, "counts(t, i)", "", counts=counts)
    return b2.SpikeMonitor(group), group


def _events(b2: Any, task: Task) -> tuple[Any, ...]:
    """Spikes reach x behind the threshold test, so the next tick sees them, as in our graphs.

    A source spikes once per tick at most and carries no value: a pixel has one source for each
    power of two in its counts, weighted by it. That takes fewer spikes than one per event.
    """
    n_bits = int(task.pixel_count.max()).bit_length()
    bit, spike = np.nonzero(task.pixel_count >> np.arange(n_bits)[:, None] & 1)
    code = task.pixel[spike].astype(np.int64) * n_bits + bit
    used, source = np.unique(code, return_inverse=True)
    group = _neurons(b2, task, "x", "\nx = 0")
    generator = b2.SpikeGeneratorGroup(
        len(used), source, task.pixel_tick[spike] * b2.defaultclock.dt, sorted=False
    )
    synapses = b2.Synapses(generator, group, "size : 1 (constant)", on_pre="x_post += size")
    synapses.connect(i=np.arange(len(used)), j=task.patch_of[used // n_bits])
    synapses.size = 2.0 ** (used % n_bits)
    return b2.SpikeMonitor(group), generator, synapses, group


def _seconds(folder: Path, n_ticks: int) -> float:
    subprocess.run(["./main"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run_s, _ = (folder / "results" / "last_run_info.txt").read_text().split()
    return float(run_s) / n_ticks


def _raster(folder: Path, tick_file: str, neuron_file: str, task: Task) -> Raster:
    _seconds(folder, task.n_ticks)
    t_s = np.fromfile(folder / "results" / tick_file, np.float64)
    neuron = np.fromfile(folder / "results" / neuron_file, np.int32)
    raster = np.zeros(task.counts.shape, np.bool_)
    raster[np.rint(t_s / task.dt_s).astype(np.int64), neuron] = True
    return raster
