"""Write golden.json: a small recurrent graph, its input, and the spikes of three simulators.

``python tests/golden/make_golden.py`` writes the file anew; nothing of neurovlm takes part.

- ``loihi``: Lava 0.10.0's bit-accurate LIF in plain Python integers, every connection delivering
  the previous tick's spikes.
- ``snntorch_zero``: ``snntorch.Synaptic`` in float64 with ``reset_mechanism="zero",
  reset_delay=False`` on population a without its recurrence.
- ``snntorch_default_delay``: the same with snnTorch's default ``reset_delay=True``, which throws
  away the input of the tick after a spike and so gives other spikes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

N_TICKS = 240
SIZES = {"input": 8, "a": 12, "b": 6}
CELLS = {
    "a": {"du": 1500, "dv": 400, "vth": 150},
    "b": {"du": 4095, "dv": 90, "vth": 310},
}
M = 2**23


def draw() -> dict:
    """Graph and input from a fixed seed; they are stored, so the generator may change."""
    rng = np.random.default_rng(20)

    def matrix(target, source, low, high, density):
        shape = (SIZES[target], SIZES[source])
        return (rng.integers(low, high, shape) * (rng.random(shape) < density)).tolist()

    return {
        "n_ticks": N_TICKS,
        "cells": CELLS,
        "weights": {
            "input_a": ["input", "a", matrix("a", "input", 10, 90, 0.6)],
            "a_b": ["a", "b", matrix("b", "a", 5, 120, 0.7)],
            "a_a": ["a", "a", matrix("a", "a", -60, 0, 0.4)],
            "b_a": ["b", "a", matrix("a", "b", -100, 0, 0.5)],
            "b_b": ["b", "b", matrix("b", "b", 1, 20, 0.3)],
        },
        "input": [
            np.flatnonzero(rng.random(SIZES["input"]) < 0.25).tolist() for _ in range(N_TICKS)
        ],
    }


def run_loihi(graph: dict) -> dict[str, list[list[int]]]:
    """Neurons that fired in each tick, per population."""
    cells = graph["cells"]
    u = {name: [0] * SIZES[name] for name in cells}
    v = {name: [0] * SIZES[name] for name in cells}
    fired: dict[str, list[list[int]]] = {name: [] for name in cells}
    last: dict[str, list[int]] = {name: [] for name in SIZES}
    for tick in range(graph["n_ticks"]):
        now = {"input": graph["input"][tick]}
        for name, cell in cells.items():
            spikes = []
            for i in range(SIZES[name]):
                x = sum(
                    matrix[i][j]
                    for source, target, matrix in graph["weights"].values()
                    if target == name
                    for j in last[source]
                )
                current = math.trunc(u[name][i] * (4096 - cell["du"] - 1) / 4096) + 64 * x
                if current > M:
                    current -= 2 * M
                elif current <= -M:
                    current += 2 * M
                potential = math.trunc(v[name][i] * (4096 - cell["dv"]) / 4096) + current
                potential = max(1 - M, min(M - 1, potential))
                u[name][i] = current
                v[name][i] = 0 if potential > 64 * cell["vth"] else potential
                if potential > 64 * cell["vth"]:
                    spikes.append(i)
            now[name] = spikes
            fired[name].append(spikes)
        last = now
    return fired


def run_snntorch(graph: dict, *, reset_delay: bool) -> list[list[int]]:
    """Neurons of population a that fired in each tick, fed by the input alone."""
    import torch
    from snntorch import Synaptic

    cell = graph["cells"]["a"]
    layer = Synaptic(
        alpha=torch.tensor(1 - (cell["du"] + 1) / 4096, dtype=torch.float64),
        beta=torch.tensor(1 - cell["dv"] / 4096, dtype=torch.float64),
        threshold=torch.tensor(float(cell["vth"]), dtype=torch.float64),
        reset_mechanism="zero",
        reset_delay=reset_delay,
    )
    weight = torch.tensor(graph["weights"]["input_a"][2], dtype=torch.float64)
    syn = mem = torch.zeros(SIZES["a"], dtype=torch.float64)
    arriving = torch.zeros(SIZES["input"], dtype=torch.float64)
    fired = []
    with torch.no_grad():
        for active in graph["input"]:
            spikes, syn, mem = layer(weight @ arriving, syn, mem)
            fired.append(spikes.nonzero().ravel().tolist())
            arriving = torch.zeros_like(arriving)
            arriving[active] = 1
    return fired


def main() -> None:
    graph = draw()
    golden = {
        "graph": graph,
        "loihi": run_loihi(graph),
        "snntorch_zero": run_snntorch(graph, reset_delay=False),
        "snntorch_default_delay": run_snntorch(graph, reset_delay=True),
    }
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
