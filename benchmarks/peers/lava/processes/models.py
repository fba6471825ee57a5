"""How the processes of ``process`` behave on a CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from benchmarks.peers.lava.processes.process import ClockedSink, CountSource


@implements(proc=CountSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCountSource(PyLoihiProcessModel):
    """Scatters one tick's counts into zeros."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        folder = Path(proc_params["folder"])
        self._size = proc_params["size"]
        self._index, self._value, self._bounds = (
            np.load(folder / f"{name}.npy") for name in ("index", "value", "bounds")
        )

    def run_spk(self) -> None:
        """Send tick ``time_step - 1``: Lava counts from 1."""
        first, last = self._bounds[self.time_step - 1 : self.time_step + 1]
        counts = np.zeros(self._size, np.int32)
        counts[self._index[first:last]] = self._value[first:last]
        self.s_out.send(counts)


@implements(proc=ClockedSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyClockedSink(PyLoihiProcessModel):
    """Holds everything in memory until the last tick."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool, precision=1)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._folder = Path(proc_params["folder"])
        self._first, self._n_ticks = proc_params["first"], proc_params["n_ticks"]
        self._fired: list[Any] = []
        self._clock: list[float] = []

    def run_spk(self) -> None:
        """Receive one tick's spikes."""
        self._fired.append(np.flatnonzero(self.s_in.recv()))
        if self.time_step in (self._first, self._n_ticks):
            self._clock.append(time.perf_counter())
        if self.time_step == self._n_ticks:
            tick = np.repeat(np.arange(self._n_ticks), [len(f) for f in self._fired])
            np.save(self._folder / "clock.npy", self._clock)
            np.save(self._folder / "spikes.npy", np.stack([tick, np.concatenate(self._fired)]))
