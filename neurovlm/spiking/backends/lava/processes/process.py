"""Source, layer and sinks as Lava processes; ``models`` implements them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
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

from neurovlm.spiking.backends.lava.layer import senders
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import Cells
from neurovlm.spiking.network import Connection, Population


class EventSource(AbstractProcess):
    """Sends the spikes of one tick per time step, read from files as they are needed.

    Parameters
    ----------
    size
        Number of input channels.
    neuron_file
        ``.npy``, int32 ``(n,)``: channels that spike, tick after tick.
    bounds_file
        ``.npy``, int64 ``(n_ticks + 1,)``: where each tick begins in ``neuron_file``.
    """

    def __init__(self, *, size: int, neuron_file: str, bounds_file: str, **further: str) -> None:
        super().__init__(size=size, neuron_file=neuron_file, bounds_file=bounds_file, **further)
        self.s_out = OutPort(shape=(size,))


class GradedSource(EventSource):
    """An `EventSource` of graded spikes.

    Parameters
    ----------
    value_file
        ``.npy``, int32 ``(n,)``: payload of each spike in ``neuron_file``.
    """

    def __init__(self, *, size: int, neuron_file: str, bounds_file: str, value_file: str) -> None:
        super().__init__(
            size=size, neuron_file=neuron_file, bounds_file=bounds_file, value_file=value_file
        )


class Layer(AbstractProcess):
    """One population and all connections into it.

    ``models`` has a model of our own for every kind of neuron, in fixed and in floating point, and
    a sub-process model of Lava's own Sparse and LIF for plain populations, which Lava chooses with
    ``select_sub_proc_model=True``.

    Parameters
    ----------
    population, connections
        The neurons, and what leads into them. ``s_in`` takes every source once, in the order in
        which the connections name them, each through a `Slot`.
    precision
        ``loihi`` with the tag ``fixed_pt``, ``float64`` with ``floating_pt``.
    cells
        State variables to start from.
    probed
        State variables that ``probe_out`` sends, one after the other.
    """

    def __init__(
        self,
        *,
        population: Population,
        connections: Sequence[Connection],
        precision: Precision,
        cells: Cells,
        probed: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            population=population,
            connections=connections,
            precision=precision,
            cells=cells,
            probed=probed,
            name=population.name,
        )
        received = max((place.stop for place in senders(connections).values()), default=1)
        self.s_in = InPort(shape=(received,))
        self.s_out = OutPort(shape=(population.size,))
        self.probe_out = OutPort(shape=(population.size * max(len(probed), 1),))


class SpikeSink(AbstractProcess):
    """Appends ``(tick, neuron, payload)`` of every spike it receives to a file, as int32.

    Parameters
    ----------
    size
        Number of neurons, all populations together.
    n_ticks
        The file is complete after this many time steps.
    file
        Appears when it is complete.
    """

    def __init__(self, *, size: int, n_ticks: int, file: str) -> None:
        super().__init__(size=size, n_ticks=n_ticks, file=file)
        self.s_in = InPort(shape=(size,))


class ProbeSink(AbstractProcess):
    """Appends the values it receives in each time step to a file, as float64.

    Parameters
    ----------
    size
        Number of values per time step.
    n_ticks, file
        As for `SpikeSink`.
    """

    def __init__(self, *, size: int, n_ticks: int, file: str) -> None:
        super().__init__(size=size, n_ticks=n_ticks, file=file)
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


def gather(ports: Sequence[OutPort], receiver: InPort) -> None:
    """Let ``receiver`` see the ports as one vector, in this order."""
    start = 0
    for port in ports:
        if port.shape == receiver.shape:
            port.connect(receiver)
        else:
            Slot(port, receiver.shape[0], start).connect(receiver)
        start += port.shape[0]


def release(receiver: InPort) -> list[OutPort]:
    """Undo `gather`: the ports, in order, connected to ``receiver`` no more."""
    ports = []
    for via in receiver.in_connections:
        port, first = (via.in_connections[0], via) if isinstance(via, Slot) else (via, receiver)
        port.out_connections.remove(first)
        ports.append(port)
    receiver.in_connections.clear()
    return ports
