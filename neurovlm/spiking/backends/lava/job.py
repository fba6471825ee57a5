"""What parent and child exchange: files in one temporary folder."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurovlm.spiking.network import Network
from neurovlm.spiking.train import SpikeTrain

NEURON_FILE = "neuron.npy"  # int32 (n,): input spikes, tick after tick
BOUNDS_FILE = "bounds.npy"  # int64 (n_ticks + 1,): where each tick begins in it
SPIKE_FILE = "spikes.bin"  # int32 pairs (tick, neuron); appears when the last tick is done
ERROR_FILE = "error.txt"  # one line, written by a child that failed
_JOB_FILE = "job.pickle"


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes
    ----------
    run_config
        Name of a class in ``lava.magma.core.run_configs``.
    """

    network: Network
    n_ticks: int
    run_config: str


def write_job(folder: Path, job: Job, spikes: SpikeTrain) -> None:
    """Put a job and its input spikes into ``folder``."""
    bounds = np.searchsorted(spikes.tick, np.arange(job.n_ticks + 1))
    np.save(folder / NEURON_FILE, spikes.neuron)
    np.save(folder / BOUNDS_FILE, bounds.astype(np.int64))
    (folder / _JOB_FILE).write_bytes(pickle.dumps(job))


def read_job(folder: Path) -> Job:
    """Read the job that ``write_job`` put there."""
    job = pickle.loads((folder / _JOB_FILE).read_bytes())
    assert isinstance(job, Job)
    return job


def read_trains(folder: Path, network: Network, n_ticks: int) -> dict[str, SpikeTrain]:
    """Spikes of every population from the sink's file."""
    tick, neuron = np.fromfile(folder / SPIKE_FILE, np.int32).reshape(-1, 2).T
    trains, start = {}, 0
    for p in network.populations:
        own = (neuron >= start) & (neuron < start + p.size)
        trains[p.name] = SpikeTrain(
            tick[own], neuron[own] - np.int32(start), n_ticks, p.shape, network.dynamics.dt_s
        )
        start += p.size
    return trains
