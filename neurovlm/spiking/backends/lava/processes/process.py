"""Event source and spike sink as Lava processes; ``models`` implements them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import (
    AbstractPort,
    AbstractVirtualPort,
    InPort,
    OutPort,
)
from lava.magma.core.process.process import AbstractProcess
from numpy.typing import NDArray


class EventSource(AbstractProcess):
    """Sends the spikes of one tick per time step, read from two files as they are needed.

    Parameters
    ----------
    size
        Number of input channels.
    neuron_file
        ``.npy``, int32 ``(n,)``: channels that spike, tick after tick.
    bounds_file
        ``.npy``, int64 ``(n_ticks + 1,)``: where each tick begins in ``neuron_file``.
    """

    def __init__(self, *, size: int, neuron_file: str, bounds_file: str) -> None:
        super().__init__(size=size, neuron_file=neuron_file, bounds_file=bounds_file)
        self.s_out = OutPort(shape=(size,))


class SpikeSink(AbstractProcess):
    """Appends ``(tick, neuron)`` of every spike it receives to a file, as pairs of int32.

    Parameters
    ----------
    size
        Number of neurons, all populations together.
    n_ticks
        The file is complete after this many time steps.
    spike_file
        Appears when it is complete.
    """

    def __init__(self, *, size: int, n_ticks: int, spike_file: str) -> None:
        super().__init__(size=size, n_ticks=n_ticks, spike_file=spike_file)
        self.s_in = InPort(shape=(size,))


class Slot(AbstractVirtualPort):
    """Places a port's values at ``start`` of a longer vector of zeros.

    An in-port adds what it receives, so several ports through slots that do not overlap arrive as
    one vector, and one process serves them all.
    """

    def __init__(self, port: OutPort, size: int, start: int) -> None:
        super().__init__((size,))
        self._start = start
        port._connect_forward([self], AbstractPort, [None], assert_same_shape=False)

    def get_transform_func_fwd(self) -> functools.partial[NDArray[Any]]:
        """Return what the receiving port does to the values."""
        return functools.partial(place, size=self.shape[0], start=self._start)

    def get_transform_func_bwd(self) -> functools.partial[NDArray[Any]]:
        """Not defined: spikes go one way."""
        raise NotImplementedError("a Slot carries spikes forward only")


def place(values: NDArray[Any], *, size: int, start: int) -> NDArray[Any]:
    """``values`` at ``start`` of ``size`` zeros."""
    out = np.zeros(size, values.dtype)
    out[start : start + len(values)] = values
    return out
