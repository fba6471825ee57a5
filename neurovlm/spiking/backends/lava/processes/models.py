"""How the processes of ``process`` behave on a CPU."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.spiking.backends.lava.layer import LayerStepper, Step, senders
from neurovlm.spiking.backends.lava.plan import beyond_stock
from neurovlm.spiking.backends.lava.processes.process import (
    EventSource,
    GradedSource,
    Layer,
    ProbeSink,
    SpikeSink,
    gather,
    release,
)
from neurovlm.spiking.backends.lava.stock import grouped, stock_neurons, stock_synapses
from neurovlm.spiking.fixed_point import step_float, step_loihi


class _PySource(PyLoihiProcessModel):
    """Maps the files into memory and builds one tick's vector at a time."""

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._size = proc_params["size"]
        self._neuron = np.load(proc_params["neuron_file"], mmap_mode="r")
        self._bounds = np.load(proc_params["bounds_file"], mmap_mode="r")

    def _place(self) -> slice:
        """Where tick ``time_step - 1`` is in the files: Lava counts from 1."""
        return slice(*self._bounds[self.time_step - 1 : self.time_step + 1])


@implements(proc=EventSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyEventSource(_PySource):
    """Binary spikes, a byte each."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool, precision=1)

    def run_spk(self) -> None:
        """One tick."""
        spikes = np.zeros(self._size, np.bool_)
        spikes[self._neuron[self._place()]] = True
        self.s_out.send(spikes)


@implements(proc=GradedSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyGradedSource(_PySource):
    """Payloads."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._value = np.load(proc_params["value_file"], mmap_mode="r")

    def run_spk(self) -> None:
        """One tick."""
        payload = np.zeros(self._size, np.int32)
        payload[self._neuron[self._place()]] = self._value[self._place()]
        self.s_out.send(payload)


class _Naming:
    """Tells whose failure it was."""

    def __init__(self, population: str) -> None:
        self._population = population

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"node {self._population!r}")


class _PyLayer(PyLoihiProcessModel):
    """Sends before it receives, so that loops do not wait for themselves."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    probe_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    update: Step

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        population = proc_params["population"]
        self._naming = _Naming(population.name)
        self._probed = proc_params["probed"]
        self._stepper = LayerStepper(
            population, proc_params["connections"], proc_params["cells"], type(self).update
        )

    def run_spk(self) -> None:
        """One tick."""
        with self._naming:
            self.s_out.send(self._stepper.step())
            if self._probed:
                values = [self._stepper.cells[name] for name in self._probed]
                self.probe_out.send(np.concatenate(values).astype(np.float64))
            self._stepper.receive(self.s_in.recv())


@implements(proc=Layer, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLayerFixed(_PyLayer):
    """Every kind of neuron in Loihi's integers."""

    update = staticmethod(step_loihi)


@implements(proc=Layer, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyLayerFloat(_PyLayer):
    """Every kind of neuron in float64."""

    update = staticmethod(step_float)


@implements(proc=Layer, protocol=LoihiProtocol)
@tag("fixed_pt", "floating_pt")
class SubLayer(AbstractSubProcessModel):
    """A plain population made of Lava's own Sparse and LIF.

    The senders are connected to the inner processes themselves: Lava 0.10.0 mixes up the virtual
    ports of several senders that pass through a port of the outer process.
    """

    def __init__(self, proc: Layer) -> None:
        population, precision = proc.proc_params["population"], proc.proc_params["precision"]
        connections = proc.proc_params["connections"]
        if beyond_stock(population):
            raise GraphError(
                f"node {population.name!r}: Lava's own processes do not have "
                f"{beyond_stock(population)}; use the model of neurovlm"
            )
        port = dict(zip(senders(connections), release(proc.s_in), strict=False))
        self.neurons = stock_neurons(population, precision)
        self.neurons.s_out.connect(proc.s_out)
        for i, group in enumerate(grouped(connections, precision)):
            synapses = stock_synapses(group, precision)
            gather([port[c.source] for c in group], synapses.s_in)
            synapses.a_out.connect(self.neurons.a_in)
            setattr(self, f"synapses_{i}", synapses)  # Lava looks for processes in attributes


class _PySink(PyLoihiProcessModel):
    """Writes through a buffered file that gets its name when the last time step is in it."""

    def __init__(self, proc_params: dict[str, Any]) -> None:
        super().__init__(proc_params)
        self._n_ticks = proc_params["n_ticks"]
        self._path = Path(proc_params["file"])
        self._partial = self._path.with_suffix(".part")
        self._file = self._partial.open("wb")

    def _write(self, values: NDArray[Any]) -> None:
        self._file.write(values.tobytes())
        if self.time_step == self._n_ticks:
            self._file.close()
            self._partial.rename(self._path)


@implements(proc=SpikeSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PySpikeSink(_PySink):
    """Keeps the spikes that every population sent."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, bool)

    def run_spk(self) -> None:
        """One tick."""
        payload = self.s_in.recv()
        neuron = np.flatnonzero(payload)
        spikes = np.empty((len(neuron), 3), np.int32)
        spikes[:, 0], spikes[:, 1], spikes[:, 2] = self.time_step - 1, neuron, payload[neuron]
        self._write(spikes)


@implements(proc=ProbeSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyProbeSink(_PySink):
    """Keeps the probed variables."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)

    def run_spk(self) -> None:
        """One tick."""
        self._write(self.s_in.recv())
