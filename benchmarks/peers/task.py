"""The work every peer gets: `patch-lif` on one stream, and what a peer hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.grid import PatchGrid
from neurovlm.events.stream import EventStream
from neurovlm.frontend.patch_lif import patch_lif
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.encoding import grid_for
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain

Raster = NDArray[np.bool_]  # (n_ticks, n_neurons)


@dataclass(frozen=True, eq=False)
class Task:
    """One population of identical current-based LIF neurons and its input.

    Input of tick k reaches the neurons in tick k + 1, as in every graph of this project::

        u = keep(u, du + 1) + weight counts[k - 1];  v = keep(v, dv) + u;  s = v > vth;  v = 0 if s

    where ``keep(x, d) = x (4096 - d) / 4096``, rounded toward zero in Loihi's integers.

    Attributes
    ----------
    counts
        int32 ``(n_ticks, n_patches)``: events of each patch, repeated pixels counted.
    pixel_tick, pixel, pixel_count
        int32 ``(m,)``: the same input before it is summed over patches. ``pixel`` is the row-major
        index into (polarity, row, column) of the grid; each (tick, pixel) appears once.
    patch_of
        int32 ``(n_pixels,)``: patch of each pixel.
    du, dv, vth, weight
        Loihi integers.
    dt_s
        Seconds per tick.
    """

    counts: NDArray[np.int32]
    pixel_tick: NDArray[np.int32]
    pixel: NDArray[np.int32]
    pixel_count: NDArray[np.int32]
    patch_of: NDArray[np.int32]
    du: int
    dv: int
    vth: int
    weight: int
    dt_s: float

    @property
    def n_ticks(self) -> int:
        """Length of the input."""
        return len(self.counts)

    @property
    def keep_u(self) -> float:
        """Part of u left after a tick."""
        return (UNIT - 1 - self.du) / UNIT

    @property
    def keep_v(self) -> float:
        """Part of v left after a tick."""
        return (UNIT - self.dv) / UNIT

    def delayed(self) -> NDArray[np.int32]:
        """``counts`` one tick later, for simulators that pass input on within a tick."""
        late = np.zeros_like(self.counts)
        late[1:] = self.counts[:-1]
        return late


@dataclass(frozen=True)
class Peer:
    """A simulator that is ready to run.

    Attributes
    ----------
    name
        Of the simulator.
    form
        How it is run: what goes in, which of its interfaces.
    seconds
        Runs once; seconds per tick without start-up, compilation and preparation of the input.
    raster
        Output spikes of a run, for the comparison.
    precision
        Its arithmetic.
    clock
        What ``seconds`` reads: ``"processor"`` time for what runs on one thread, since it does not
        grow when the machine is shared; the ``"wall"`` clock for what runs on several.
    """

    name: str
    form: str
    seconds: Callable[[], float]
    raster: Callable[[], Raster]
    precision: Precision
    clock: Literal["wall", "processor"] = "wall"


def task_from(graph: SpikingGraph, stream: EventStream, n_ticks: int) -> Task:
    """The first ``n_ticks`` ticks of ``stream`` for the one population of a patch graph."""
    (population,) = graph.network.populations
    dt_us = graph.dynamics.dt_us
    grid = PatchGrid(side=population.shape[-1])
    reduced = grid_for((2, grid.pixels, grid.pixels), stream.sensor)
    t0_us = int(stream.t[0])
    events = stream.between(t0_us, t0_us + n_ticks * dt_us)
    column, row = reduced.columns[events.x], reduced.rows[events.y]
    inside = (column >= 0) & (row >= 0)
    tick = ((events.t[inside] - t0_us) // dt_us).astype(np.int64)
    column, row = column[inside].astype(np.int64), row[inside].astype(np.int64)
    pixel = (events.p[inside] * grid.pixels + row) * grid.pixels + column
    size = 2 * grid.pixels**2
    slot, pixel_count = np.unique(tick * size + pixel, return_counts=True)
    patch = row // grid.patch * grid.side + column // grid.patch
    counts = np.bincount(tick * grid.n_patches + patch, minlength=n_ticks * grid.n_patches)
    (connection,) = graph.network.connections
    return Task(
        counts.reshape(n_ticks, grid.n_patches).astype(np.int32),
        (slot // size).astype(np.int32),
        (slot % size).astype(np.int32),
        pixel_count.astype(np.int32),
        _patch_of(grid),
        int(population.du[0]),
        int(population.dv[0]),
        int(population.vth[0]),
        int(connection.matrix.data[0]),
        graph.dynamics.dt_s,
    )


def _patch_of(grid: PatchGrid) -> NDArray[np.int32]:
    side = np.arange(grid.pixels, dtype=np.int32) // grid.patch
    one = (side[:, None] * grid.side + side).ravel()
    return np.concatenate([one, one])


def counts_train(task: Task) -> SpikeTrain:
    """Patch counts as graded spikes."""
    tick, neuron = (index.astype(np.int32) for index in np.nonzero(task.counts))
    shape = patch_lif().network.input_shape
    value = task.counts[tick, neuron]
    return SpikeTrain(tick, neuron, task.n_ticks, shape, task.dt_s, value)


def expected(task: Task, precision: Precision) -> Raster:
    """What the reference engine gives."""
    graph = patch_lif(precision=precision)
    trace = get_backend("reference").run(graph, counts_train(task))
    return trace.spikes[graph.network.output].dense()


def cut(task: Task, n_ticks: int) -> Task:
    """The first ``n_ticks`` ticks of a task."""
    last = int(np.searchsorted(task.pixel_tick, n_ticks))
    parts = {name: getattr(task, name)[:last] for name in ("pixel_tick", "pixel", "pixel_count")}
    return replace(task, counts=task.counts[:n_ticks], **parts)
