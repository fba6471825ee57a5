"""snnTorch and Norse on ready-made patch counts, float32, one thread, no gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers.task import Peer, Raster, Task
from neurovlm.spiking.dynamics import Precision

SNNTORCH, NORSE = "Synaptic, loop over ticks", "LIF, whole sequence"


def snntorch_peer(task: Task) -> Peer:
    """``Synaptic`` called tick by tick: snnTorch has no multi-step call.

    ``syn = alpha syn + x; mem = beta mem + syn``; only without the reset's delay does it fire as
    often as the equations say.
    """
    from snntorch import Synaptic

    cell = Synaptic(
        alpha=task.keep_u,
        beta=task.keep_v,
        threshold=float(task.vth),
        reset_mechanism="zero",
        reset_delay=False,
    )

    def run(drive: torch.Tensor) -> torch.Tensor:
        syn, mem = torch.zeros(2, drive.shape[1])
        fired = []
        for arriving in drive:
            spikes, syn, mem = cell(arriving, syn, mem)
            fired.append(spikes)
        return torch.stack(fired)

    return _peer("snnTorch", SNNTORCH, run, _drive(task))


def norse_peer(task: Task) -> Peer:
    """``LIF`` over the whole sequence. Its v is ours times ``1 - keep_v``.

    ``i = i + x; v = v + dt / tau_mem (i - v); i = i (1 - dt / tau_syn)``, Euler.
    """
    from norse.torch import LIF, LIFParameters

    loss_v = 1 - task.keep_v
    lif = LIF(
        LIFParameters(
            tau_syn_inv=torch.as_tensor((1 - task.keep_u) / task.dt_s),
            tau_mem_inv=torch.as_tensor(loss_v / task.dt_s),
            v_th=torch.as_tensor(task.vth * loss_v),
        ),
        dt=task.dt_s,
    )

    def run(drive: torch.Tensor) -> torch.Tensor:
        spikes: torch.Tensor = lif(drive)[0]
        return spikes

    return _peer("Norse", NORSE, run, _drive(task))


def _drive(task: Task) -> torch.Tensor:
    return torch.from_numpy(task.delayed()).to(torch.float32) * task.weight


def _peer(name: str, form: str, run: Callable[[Any], Any], drive: torch.Tensor) -> Peer:
    def spikes() -> torch.Tensor:
        with torch.inference_mode():
            fired: torch.Tensor = run(drive)
        return fired

    def seconds() -> float:
        start = time.process_time()
        spikes()
        return (time.process_time() - start) / len(drive)

    def raster() -> Raster:
        fired: Raster = spikes().numpy() > 0
        return fired

    return Peer(name, form, seconds, raster, Precision.FLOAT32, "processor")
