"""What parent and child exchange: files in one temporary folder."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.spiking.fixed_point import Cells
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import SPIKES
from neurovlm.spiking.train import SpikeTrain

NEURON_FILE = "neuron.npy"  # int32 (n,): input spikes, tick after tick
VALUE_FILE = "value.npy"  # int32 (n,): their payloads; only for graded ones
BOUNDS_FILE = "bounds.npy"  # int64 (n_ticks + 1,): where each tick begins in them
SPIKE_FILE = "spikes.bin"  # int32 (tick, neuron, payload); appears when the last tick is done
PROBE_FILE = "probes.bin"  # float64: the probed variables of each tick; appears like SPIKE_FILE
ERROR_FILE = "error.txt"  # one line, written by a child that failed
_JOB_FILE = "job.pickle"


@dataclass(frozen=True, eq=False)
class Job:
    """One run.

    Attributes
    ----------
    run_config
        Name of a class in ``lava.magma.core.run_configs``.
    cells
        State variables to start from, per population.
    own
        Populations that run on our process model; the others run on Lava's own processes.
    probed
        Variables to record per population.
    """

    network: Network
    n_ticks: int
    run_config: str
    cells: Mapping[str, Cells]
    own: frozenset[str]
    probed: Mapping[str, tuple[str, ...]]

    def streamed(self, population: str) -> tuple[str, ...]:
        """Probed state variables, which go through the probe file; spikes have theirs."""
        return tuple(name for name in self.probed.get(population, ()) if name != SPIKES)

    @property
    def files(self) -> tuple[str, ...]:
        """Files that are there when the run is complete."""
        streams = any(self.streamed(population) for population in self.probed)
        return (SPIKE_FILE, PROBE_FILE) if streams else (SPIKE_FILE,)


def write_job(folder: Path, job: Job, spikes: SpikeTrain) -> None:
    """Put a job and its input spikes into ``folder``."""
    bounds = np.searchsorted(spikes.tick, np.arange(job.n_ticks + 1))
    np.save(folder / NEURON_FILE, spikes.neuron)
    if spikes.value is not None:
        np.save(folder / VALUE_FILE, spikes.value)
    np.save(folder / BOUNDS_FILE, bounds.astype(np.int64))
    (folder / _JOB_FILE).write_bytes(pickle.dumps(job))


def read_job(folder: Path) -> Job:
    """Read the job that ``write_job`` put there."""
    job = pickle.loads((folder / _JOB_FILE).read_bytes())
    assert isinstance(job, Job)
    return job


def read_trains(folder: Path, job: Job) -> dict[str, SpikeTrain]:
    """Spikes of every population from the sink's file."""
    network = job.network
    tick, neuron, payload = np.fromfile(folder / SPIKE_FILE, np.int32).reshape(-1, 3).T
    trains, start = {}, 0
    for p in network.populations:
        own = (neuron >= start) & (neuron < start + p.size)
        value = payload[own] if p.graded else None
        trains[p.name] = SpikeTrain(
            tick[own],
            neuron[own] - np.int32(start),
            job.n_ticks,
            p.shape,
            network.dynamics.dt_s,
            value,
        )
        start += p.size
    return trains


def read_probes(
    folder: Path, job: Job, trains: Mapping[str, SpikeTrain]
) -> dict[str, dict[str, NDArray[Any]]]:
    """Probed variables ``(n_ticks, n)``: spikes from ``trains``, the others from the sink's file.

    The file holds float64, in which every integer state is exact.
    """
    places = list(_columns(job))
    width = places[-1][2].stop if places else 0
    rows: NDArray[np.float64] = np.empty((job.n_ticks, width))
    if rows.size:
        rows = np.memmap(folder / PROBE_FILE, np.float64, "r", shape=rows.shape)
    state = {
        (population, name): rows[:, columns].astype(job.cells[population][name].dtype)
        for population, name, columns in places
    }
    return {
        population: {
            name: _raster(trains[population]) if name == SPIKES else state[population, name]
            for name in names
        }
        for population, names in job.probed.items()
    }


def _columns(job: Job) -> Iterator[tuple[str, str, slice]]:
    start = 0
    for p in job.network.populations:
        for name in job.streamed(p.name):
            yield p.name, name, slice(start, start + p.size)
            start += p.size


def _raster(train: SpikeTrain) -> NDArray[Any]:
    return train.dense_values().astype(np.int64) if train.graded else train.dense()
