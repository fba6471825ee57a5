"""How many estimates a second: points and intervals, beside one report at a time.

    python -m benchmarks.bench_estimates [--workloads 2000] [--json FILE]

A workload has 50 layers; every workload is different. First the results are held against those of
``estimate``; then each way is timed in turn, one thread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import in_turn, machine, show
from hw_models import LayerOps, OpKind, Ops, Workload, estimate, estimate_many

DEVICES = ("loihi2", "jetson-orin-nano", "snapdragon-8-gen-3", "loihi2+jetson-orin-nano")
TARGET = {"points": 10_000, "intervals": 50}
N_INTERVALS, N_REPORTS, SAMPLES = 50, 20, 1000


def workload(index: int) -> Workload:
    """Ten spiking layers and forty of an encoder; counts differ from one workload to the next."""
    layers = [LayerOps("frontend", "input", OpKind.SPIKING, Ops(spikes=1000 + index))]
    for i in range(9):
        ops = Ops(neuron_updates=4900, synops=9000 + index + i, spikes=50 + i)
        layers.append(
            LayerOps("change", f"d{i}", OpKind.SPIKING, ops, neurons=196, synapses=15_876)
        )
    for i in range(40):
        moved = {"read_bytes": 150_000, "write_bytes": 150_000, "launches": 1}
        if i % 4:
            ops = Ops(macs=10_000_000 + index, weight_bytes=150_000, **moved)
            layers.append(LayerOps("encoder", f"g{i}", OpKind.GEMM, ops))
        else:
            ops = Ops(elements=37_000 + index, **moved)
            layers.append(LayerOps("encoder", f"n{i}", OpKind.ELEMENTWISE, ops))
    return Workload(f"run {index}", 1, 25, tuple(layers), ticks=25)


def check(workloads: list[Workload], device: str) -> float:
    """Return the largest relative difference of nominal energies and latencies to ``estimate``."""
    many = estimate_many(workloads, device)
    worst = 0.0
    for index, run in enumerate(workloads):
        one = estimate(run, device, samples=2)
        for name in ("energy_active_j", "energy_j", "power_w", "latency_s"):
            value, array = getattr(one, name).value, getattr(many, name)
            worst = max(worst, abs(array[index] / value - 1))
    return worst


def rates(workloads: list[Workload], device: str, rounds: int) -> dict[str, Any]:
    few = workloads[:N_INTERVALS]

    def reports() -> None:
        for run in workloads[:N_REPORTS]:
            estimate(run, device, samples=SAMPLES)

    calls: dict[str, Callable[[], Any]] = {
        "points": partial(estimate_many, workloads, device),
        "intervals": partial(estimate_many, few, device, samples=SAMPLES),
        "reports": reports,
    }
    spent_s = in_turn(calls, rounds)
    numbers = {"points": len(workloads), "intervals": len(few), "reports": N_REPORTS}
    return {f"{name}/s": numbers[name] / spent_s[name] for name in calls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    workloads = [workload(index) for index in range(arguments.workloads)]
    rows = []
    for device in DEVICES:
        worst = check(workloads[:20], device)
        if worst > 1e-9:
            raise SystemExit(f"{device}: estimate_many differs from estimate by {worst:.2g}")
        measured = rates(workloads, device, arguments.rounds)
        met = all(measured[f"{name}/s"] >= wanted for name, wanted in TARGET.items())
        rows.append({"device": device, **measured, "met": "yes" if met else "no"})
    show("Estimates per second, 50 layers, 1,000 draws", rows, Console())
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": machine(["numpy"]), "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
