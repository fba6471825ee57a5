"""Sinabs and SpikingJelly; runs in the second environment and imports nothing of this project.

    python worker.py FOLDER

Every line of stdin is one request ``{"peer": NAME, "task": FILE.npz, "out": FILE.npy or null}``,
every line of stdout its answer ``{"seconds": PER_TICK}``, processor time, or ``{"error": TEXT}``.
With ``out`` the spikes are written there. The input of a task is prepared once and kept.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

Run = Callable[[], torch.Tensor]


def sinabs(task: dict[str, float], drive: torch.Tensor) -> Run:
    """``i = a (i + x); v = b v + i`` with ``a = exp(-1 / tau_syn)``: x is divided by a beforehand.

    It fires at ``v >= threshold``; the next larger float32 makes that strict.
    """
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.layers import LIF

    layer = LIF(
        tau_mem=-1 / math.log(task["keep_v"]),
        tau_syn=-1 / math.log(task["keep_u"]),
        spike_threshold=torch.tensor(_strict(task["vth"])),
        spike_fn=SingleSpike,
        reset_fn=MembraneReset(),
        norm_input=False,
    )
    ready = drive[None] / task["keep_u"]  # (batch, time, neuron)

    def run() -> torch.Tensor:
        layer.reset_states()
        spikes: torch.Tensor = layer(ready)
        return spikes[0]

    return run


def spikingjelly(task: dict[str, float], drive: torch.Tensor) -> Run:
    """``CUBALIFNode`` over all ticks: ``c = c_decay c + x; v = v_decay v + c``; fires at >=."""
    from spikingjelly.activation_based import functional, neuron

    node = neuron.CUBALIFNode(
        c_decay=task["keep_u"],
        v_decay=task["keep_v"],
        v_threshold=_strict(task["vth"]),
        v_reset=0.0,
    )
    node.step_mode = "m"

    def run() -> torch.Tensor:
        functional.reset_net(node)
        spikes: torch.Tensor = node(drive)
        return spikes

    return run


PEERS = {"Sinabs": sinabs, "SpikingJelly": spikingjelly}


def _strict(threshold: float) -> float:
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


def prepare(peer: str, path: str) -> tuple[Run, int]:
    """The run of a peer on the task in an npz file, and its number of ticks."""
    with np.load(path) as file:
        drive = torch.from_numpy(file["arriving"].astype(np.float32))
        task = {name: float(file[name]) for name in ("keep_u", "keep_v", "vth")}
    return PEERS[peer](task, drive), len(drive)


def main() -> None:
    torch.set_num_threads(1)
    prepared: dict[tuple[str, str], tuple[Run, int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["peer"], request["task"])
        try:
            if key not in prepared:
                prepared[key] = prepare(*key)
            run, n_ticks = prepared[key]
            with torch.no_grad():  # its parameters are no inference tensors
                start = time.process_time()
                spikes = run()
                answer: dict[str, object] = {"seconds": (time.process_time() - start) / n_ticks}
            if request["out"]:
                np.save(request["out"], spikes.numpy() > 0)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is told, not hidden
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
