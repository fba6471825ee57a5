"""Write golden.json: two small recurrent graphs, their input, and the spikes of four simulators.

``python tests/golden/make_golden.py`` writes the file anew; nothing of neurovlm takes part.

- ``loihi``: Lava 0.10.0's bit-accurate LIF in plain Python integers, every connection delivering
  the previous tick's spikes.
- ``snntorch_zero``: ``snntorch.Synaptic`` in float64 with ``reset_mechanism="zero",
  reset_delay=False`` on population a without its recurrence.
- ``snntorch_default_delay``: the same with snnTorch's default ``reset_delay=True``, which throws
  away the input of the tick after a spike and so gives other spikes.
- ``norse``: Norse's ``lif_feed_forward_step`` in float64 on the same, one tick per unit of time;
  beside the spikes its v and i after the last tick, to the bit.
- ``lava``: Lava 0.10.0's own ``Sparse`` and ``LIF`` (run_lava.py) on ``lava_graph``, whose weights
  it truncates: mixed signs, 6-bit inhibitory ones, exponents.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
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


def draw_lava() -> dict:
    """Graph whose weights lose bits: ``links`` with mantissas, bits and exponent."""
    rng = np.random.default_rng(21)

    def link(source, target, low, high, bits, exponent):
        shape = (SIZES[target], SIZES[source])
        weights = (rng.integers(low, high, shape) * (rng.random(shape) < 0.7)).tolist()
        ends = {"source": source, "target": target}
        return ends | {"weights": weights, "bits": bits, "exponent": exponent}

    return {
        "n_ticks": N_TICKS,
        "n_inputs": SIZES["input"],
        "cells": {
            "a": {"n": SIZES["a"], "du": 1500, "dv": 400, "vth": 260},
            "b": {"n": SIZES["b"], "du": 2500, "dv": 90, "vth": 1500},
        },
        "links": [
            link("input", "a", -41, 120, 8, 0),
            link("input", "a", -50, 0, 6, 0),
            link("a", "b", 1, 40, 5, 2),
            link("b", "a", -120, 41, 8, 1),
        ],
        "input": [
            np.flatnonzero(rng.random(SIZES["input"]) < 0.3).tolist() for _ in range(N_TICKS)
        ],
    }


def truncated(link: dict) -> list[list[int]]:
    """What is left of the weights: low bits are floored away, of inhibitory ones on the negative.

    Mixed signs cost one bit more (Lava 0.10.0, ``lava.utils.weightutils``).
    """
    values = [w for row in link["weights"] for w in row]
    mixed, sign = min(values) < 0 < max(values), -1 if max(values) <= 0 else 1
    lost = 8 - link["bits"] + mixed
    return [[sign * (sign * w >> lost << lost + link["exponent"]) for w in row]
            for row in link["weights"]]  # fmt: skip


def as_graph(lava: dict, weights_of) -> dict:
    """A graph for `run_loihi` with weights made by ``weights_of`` from each link."""
    names = [f"link{i}" for i in range(len(lava["links"]))]
    return {
        "n_ticks": lava["n_ticks"],
        "cells": {
            name: {key: value for key, value in cell.items() if key != "n"}
            for name, cell in lava["cells"].items()
        },
        "weights": {
            name: [link["source"], link["target"], weights_of(link)]
            for name, link in zip(names, lava["links"], strict=True)
        },
        "input": lava["input"],
    }


def run_lava(lava: dict) -> dict[str, list[list[int]]]:
    """Neurons that fired in each tick, per population, by Lava itself in a process of its own."""
    script = Path(__file__).with_name("run_lava.py")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    child = subprocess.Popen(
        [sys.executable, str(script)], text=True, start_new_session=True, **pipes
    )
    try:
        printed, errors = child.communicate(json.dumps(lava), timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGTERM)  # Lava waits for ever when one of its workers fails
        child.communicate()
        raise
    if child.returncode:
        raise RuntimeError(f"run_lava.py ended with code {child.returncode}: {errors}")
    return json.loads(printed.splitlines()[-1])


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


def run_norse(graph: dict) -> dict:
    """Spikes of population a, fed by the input alone, and v and i at the end."""
    import torch
    from norse.torch.functional.lif import (
        LIFFeedForwardState,
        LIFParameters,
        lif_feed_forward_step,
    )

    cell = graph["cells"]["a"]
    k_u, k_v = (cell["du"] + 1) / 4096, cell["dv"] / 4096
    double = {"dtype": torch.float64}
    parameters = LIFParameters(
        tau_syn_inv=torch.tensor(k_u, **double),
        tau_mem_inv=torch.tensor(k_v, **double),
        v_leak=torch.tensor(0.0, **double),
        v_th=torch.tensor(cell["vth"] * k_v, **double),
        v_reset=torch.tensor(0.0, **double),
    )
    weight = torch.tensor(graph["weights"]["input_a"][2], **double)
    state = LIFFeedForwardState(*torch.zeros(2, SIZES["a"], **double))
    arriving = torch.zeros(SIZES["input"], **double)
    fired = []
    with torch.no_grad():
        for active in graph["input"]:
            spikes, state = lif_feed_forward_step(weight @ arriving, state, parameters, dt=1)
            fired.append(spikes.nonzero().ravel().tolist())
            arriving = torch.zeros_like(arriving)
            arriving[active] = 1
    return {"fired": fired, "v": state.v.tolist(), "i": state.i.tolist()}


def run_norse_by_hand(graph: dict) -> dict:
    """Do what Norse does in plain Python floats, in its order of rounding."""
    cell = graph["cells"]["a"]
    k_u, k_v = (cell["du"] + 1) / 4096, cell["dv"] / 4096
    weights = graph["weights"]["input_a"][2]
    v, i = [0.0] * SIZES["a"], [0.0] * SIZES["a"]
    fired, last = [], []
    for active in graph["input"]:
        spikes = []
        for n in range(SIZES["a"]):
            current = i[n] + sum(weights[n][j] for j in last)
            potential = v[n] + k_v * ((0.0 - v[n]) + current)
            i[n] = current + -k_u * current
            v[n] = 0.0 if potential - cell["vth"] * k_v > 0 else potential
            if potential - cell["vth"] * k_v > 0:
                spikes.append(n)
        fired.append(spikes)
        last = active
    return {"fired": fired, "v": v, "i": i}


def main() -> None:
    graph, lava_graph = draw(), draw_lava()
    golden = {
        "graph": graph,
        "loihi": run_loihi(graph),
        "snntorch_zero": run_snntorch(graph, reset_delay=False),
        "snntorch_default_delay": run_snntorch(graph, reset_delay=True),
        "norse": run_norse(graph),
        "lava_graph": lava_graph,
        "lava": run_lava(lava_graph),
    }
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
