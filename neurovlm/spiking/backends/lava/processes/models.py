"""How the processes of ``process`` behave on a CPU, in fixed and in floating point alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from neurovlm.spiking.backends.lava.processes.process import EventSource, SpikeSink


@implements(proc=EventSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyEventSource(PyLoihiProcessModel):
    """Maps the files into memory and builds one tick's vector at a time."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool, precision=1)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._size = proc_params["size"]
        self._neuron = np.load(proc_params["neuron_file"], mmap_mode="r")
        self._bounds = np.load(proc_params["bounds_file"], mmap_mode="r")

    def run_spk(self) -> None:
        """Send tick ``time_step - 1``: Lava counts from 1."""
        first, last = self._bounds[self.time_step - 1 : self.time_step + 1]
        spikes = np.zeros(self._size, dtype=np.bool_)
        spikes[self._neuron[first:last]] = True
        self.s_out.send(spikes)


@implements(proc=SpikeSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PySpikeSink(PyLoihiProcessModel):
    """Writes through a buffered file that gets its name when the last time step is in it."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool, precision=1)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._n_ticks = proc_params["n_ticks"]
        self._path = Path(proc_params["spike_file"])
        self._partial = self._path.with_suffix(".part")
        self._file = self._partial.open("wb")

    def run_spk(self) -> None:
        """Receive the spikes that every population sent in this time step."""
        neuron = np.flatnonzero(self.s_in.recv())
        pairs = np.empty((len(neuron), 2), np.int32)
        pairs[:, 0], pairs[:, 1] = self.time_step - 1, neuron
        self._file.write(pairs.tobytes())
        if self.time_step == self._n_ticks:
            self._file.close()
            self._partial.rename(self._path)
