"""Constants of the Loihi models that follow from calibration rows, computed again.

Reads ``hw_models/published/loihi.csv``, uses rows of role ``calibrate`` only, and compares what
follows from them with the device files and with ``loihi_setups.toml``. Exits with 1 where a value
differs by more than it was rounded. All other constants are literature values, see their sources.

    python -m benchmarks.calibrate_loihi
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.catalog_fit import verdict
from hw_models.chip import NeuromorphicChip
from hw_models.loader import load_device
from hw_models.neuromorphic import chip_constants
from hw_models.validate.facts import facts
from hw_models.validate.loihi_setups import PUBLISHED, Numbers, setup_of
from hw_models.validate.rows import LoihiRow, read_rows

ROUNDED = 0.02  # values in the files are rounded to two or three digits


@dataclass(frozen=True, slots=True)
class Constant:
    """A value computed here beside the one in a file."""

    where: str
    name: str
    computed: float
    stated: float

    @property
    def agrees(self) -> bool:
        """Whether they differ by rounding only."""
        return abs(self.computed - self.stated) <= ROUNDED * self.stated


def calibration_rows(path: Path) -> dict[str, LoihiRow]:
    """Return the calibration rows by id; no other row is looked at."""
    rows = (row for row in read_rows(path) if row.role == "calibrate")
    return {row.id: row for row in rows if isinstance(row, LoihiRow)}


def values_of(name: str) -> dict[str, float]:
    """Return the nominal constants of a chip."""
    chip = load_device(name)
    if not isinstance(chip, NeuromorphicChip):
        raise TypeError(f"{name} is not a neuromorphic chip")
    return {key: number.value for key, number in chip_constants(chip).items()}


def platform(lsnn: LoihiRow, static: LoihiRow) -> dict[str, float]:
    """Share of time that the embedded processor of Loihi 1 works, and leakage of a chip."""
    k = values_of("loihi1")
    x86_w = float(facts(lsnn)["x86_dynamic_mw"]) * 1e-3
    return {
        "x86_busy": (x86_w - k["x86_clock_w"]) / k["x86_code_w"],
        "leak_w_per_chip": _given(static.static_mw) * 1e-3 / float(facts(static)["chips"]),
    }


def lsnn(row: LoihiRow, k: Mapping[str, float]) -> dict[str, float]:
    """Spikes of the sequential MNIST network, and its host's time per step.

    Core energy per step is N e_act + K (f e_syn + e_spike + e_message), with fan-out f; the step
    is core work, barrier and host.
    """
    neurons = _given(row.neurons) - _stated(row, "input_neurons")
    fan_out = _given(row.synapses_or_params) / _given(row.neurons)
    energy = float(facts(row)["core_dynamic_nj_per_step"]) * 1e-9
    per_spike = fan_out * k["synop_j"] + k["spike_j"] + k["message_j"]
    spikes = (energy - neurons * k["neuron_pass_j"]) / per_spike
    core_s = neurons * k["neuron_pass_s"] + spikes * (fan_out * k["synop_s"] + k["axon_s"])
    step = _given(row.latency_ms) * 1e-3 / _given(row.timesteps)
    return {"spikes_per_step": spikes, "host_step_s": step - core_s - k["sync_s"]}


def keywords(small: LoihiRow, large: LoihiRow, k: Mapping[str, float]) -> dict[str, float]:
    """Activity, host power and host time of the keyword study from its smallest and largest run.

    Energy above static of both: P t + T [ N e_act + a (S e_syn + N (e_spike + e_message)) ]. Two
    equations in host power P and activity a (spikes per synapse and step).
    """
    rows = (small, large)
    seconds = [_given(row.latency_ms) * 1e-3 for row in rows]
    updates, per_activity = [], []
    for row in rows:
        n, s, steps = (_given(x) for x in (row.neurons, row.synapses_or_params, row.timesteps))
        updates.append(steps * n * k["neuron_pass_j"])
        messages = n * (k["spike_j"] + k["message_j"])
        per_activity.append(steps * (s * k["synop_j"] + messages))
    energy = [float(facts(row)["dynamic_mj"]) * 1e-3 for row in rows]
    left = np.array([[seconds[i], per_activity[i]] for i in (0, 1)])
    right = np.array([energy[i] - updates[i] for i in (0, 1)])
    host_w, activity = np.linalg.solve(left, right)
    host = []
    for row, latency in zip(rows, seconds, strict=True):
        n, s, steps = (_given(x) for x in (row.neurons, row.synapses_or_params, row.timesteps))
        cores = np.ceil(n / 1024)
        messages = activity * n
        work = n * k["neuron_pass_s"] + activity * s * k["synop_s"] + messages * k["axon_s"]
        host.append(latency / steps - work / cores - _sync(cores, 32, k))
    return {"activity": activity, "host_w": host_w, "host_step_s": float(np.mean(host))}


def two_neurons(row: LoihiRow, k: Mapping[str, float]) -> dict[str, float]:
    """Floor of a Loihi 2 step with two neurons on two cores of one tile."""
    passes = k["passes_per_update"]
    step = _given(row.latency_ms) * 1e-3
    energy = _given(row.dynamic_mw) * 1e-3 * step
    synops = _given(row.synops_per_inf) * (k["synop_j"] + k["spike_j"])
    cores = 2 * (passes * k["neuron_pass_j"] + k["core_tick_j"])
    return {
        "sync_s": step - passes * k["neuron_pass_s"],
        "chip_tick_j": energy - cores - synops,
    }


def winner_take_all(
    small: LoihiRow, large: LoihiRow, k: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Core overhead and full-chip barrier, and the board's static power, from two sizes.

    One spike per step goes to all neurons. Energy less neurons grows with the cores; steps less
    neurons grow with the logarithm of the tiles, through the floor of two neurons.
    """
    cores, energy, octaves, sync, seconds = [], [], [], [], []
    for row in (small, large):
        n, step = _given(row.neurons), _given(row.latency_ms) * 1e-3
        cores.append(float(facts(row)["cores"]))
        neurons = n * (k["passes_per_update"] * k["neuron_pass_j"] + k["synop_j"]) + k["spike_j"]
        energy.append(_given(row.total_mw) * 1e-3 * step - neurons)
        octaves.append(np.log(np.ceil(cores[-1] / 4)) / np.log(30))
        work = n * (k["passes_per_update"] * k["neuron_pass_s"] + k["synop_s"]) / cores[-1]
        sync.append(step - work - k["sync_s"])
        seconds.append(step)
    # static power from both: energy = P t + c e_core + e_chip
    left = np.array([[seconds[i], cores[i]] for i in (0, 1)])
    right = np.array(energy) - k["chip_tick_j"]
    static_w, core_j = np.linalg.solve(left, right)
    slope = np.dot(octaves, sync) / np.dot(octaves, octaves)
    chip = {"core_tick_j": float(core_j), "sync_full_s": float(k["sync_s"] + slope)}
    return chip, {"static_w": float(static_w)}


def calibrate(path: Path = PUBLISHED / "loihi.csv") -> list[Constant]:
    """Compute every constant that a calibration row sets."""
    rows = calibration_rows(path)
    loihi1, loihi2 = values_of("loihi1"), values_of("loihi2")
    lsnn_row = rows["L1-SMNIST-LSNN"]
    words = (rows["L1-KWS-SCALE-00"], rows["L1-KWS-SCALE-10"])
    winners = (rows["L2-WTA-LIF-200"], rows["L2-WTA-LIF-1200"])
    pair = rows["L2-2LIF-F25-D0"]
    on_chip, on_board = winner_take_all(*winners, loihi2)
    found = [
        *_compare("loihi1", platform(lsnn_row, rows["L1-STATIC-FRADY"]), loihi1),
        *_compare("loihi2", two_neurons(pair, loihi2) | on_chip, loihi2),
    ]
    for row, computed in (
        (lsnn_row, lsnn(lsnn_row, loihi1)),
        (words[0], keywords(*words, loihi1)),
        (winners[0], on_board),
    ):
        found += _compare(row.network, computed, {name: _stated(row, name) for name in computed})
    return found


def _compare(
    where: str, computed: Mapping[str, float], stated: Mapping[str, float]
) -> list[Constant]:
    return [Constant(where, name, float(value), stated[name]) for name, value in computed.items()]


def _stated(row: LoihiRow, name: str) -> float:
    numbers: Numbers = setup_of(row).numbers
    return float(getattr(numbers, name).value)


def _sync(cores: float, tiles: int, k: Mapping[str, float]) -> float:
    share = np.log(np.ceil(cores / 4)) / np.log(tiles)
    return float(k["sync_s"] + (k["sync_full_s"] - k["sync_s"]) * share)


def _given(number: float | None) -> float:
    if number is None:
        raise ValueError("a calibration row lacks a number that it set")
    return number


def main(path: Path = PUBLISHED / "loihi.csv") -> int:
    """Print the table; 1 where a file states something else."""
    found = calibrate(path)
    for each in found:
        mark = "" if each.agrees else "  <- differs"
        print(f"{each.where:32} {each.name:20} computed {each.computed:.4g}  "
              f"stated {each.stated:.4g}{mark}")  # fmt: skip
    return verdict(sum(not each.agrees for each in found))


if __name__ == "__main__":
    sys.exit(main())
