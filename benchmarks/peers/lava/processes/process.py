"""Source of graded counts and a sink with a clock, as Lava processes."""

from __future__ import annotations

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess


class CountSource(AbstractProcess):
    """Sends one vector of counts per time step.

    ``folder`` holds ``index.npy`` and ``value.npy``, int32 ``(n,)``, and ``bounds.npy``, int64
    ``(n_ticks + 1,)``: where each tick begins in them.
    """

    def __init__(self, *, size: int, folder: str) -> None:
        super().__init__(size=size, folder=folder)
        self.s_out = OutPort(shape=(size,))


class ClockedSink(AbstractProcess):
    """Keeps (tick, neuron) of every spike and the time at which ticks ``first`` and last came in.

    ``clock.npy`` and ``spikes.npy`` appear in ``folder`` when tick ``n_ticks`` is done.
    """

    def __init__(self, *, size: int, folder: str, first: int, n_ticks: int) -> None:
        super().__init__(size=size, folder=folder, first=first, n_ticks=n_ticks)
        self.s_in = InPort(shape=(size,))
