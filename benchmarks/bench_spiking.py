"""Spiking engines: the same spikes first, then their speed beside other people's simulators.

    python -m benchmarks.bench_spiking [--quick | --full] [--json FILE]

Correctness: on every recording under NEUROVLM_DATA (its busiest 2,000 ticks; ``--full``: all of it)
and on procedural streams, every engine must give the reference's spikes in every population of both
named graphs. One differing spike ends the benchmark before anything is timed.

Speed: engines and peers take turns within one run, medians, one thread (Lava is one process per
population and connection, and uses all cores). Per tick means per millisecond of recording. Peers
run in their fastest form (benchmarks/peers); Sinabs and SpikingJelly in a second environment that
is built under build/peers when it is missing. A peer that cannot be run is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import spiking_agreement, spiking_engines
from benchmarks.common import machine, show
from benchmarks.peers.environment import FOLDER, pinned
from benchmarks.spiking_agreement import compare, n_differing
from benchmarks.spiking_engines import engine_rows
from benchmarks.spiking_patch import open_worker, patch_rows
from benchmarks.spiking_streams import GRAPHS, noise_at, scene_at
from benchmarks.spiking_targets import target_rows
from benchmarks.spiking_throughput import binning_rows, sustained_rows
from neurovlm.events.io import read
from neurovlm.events.stream import EventStream

SPINNING = "events_recordings/spinning_object_320x240/dvs.es"
PACKAGES = ("numpy", "numba", "torch", "snntorch", "norse", "brian2", "lava-nc", "tonic")
TICK_S = 1e-3
BUSY_HZ = 5_000_000


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes
    ----------
    agreement, engines
        Ticks compared and ticks timed, see there.
    patch_ticks, lava_ticks
        Ticks of `patch-lif` beside its peers, and beside Lava.
    random
        Whether random events are timed beside the procedural scene.
    rounds
        Turns of every peer.
    sustained_events, memory_events
        Length of the streams for throughput and for peak memory.
    """

    agreement: spiking_agreement.Amount
    engines: spiking_engines.Amount
    patch_ticks: int
    lava_ticks: int
    random: bool
    rounds: int
    sustained_events: int
    memory_events: int


def _others(torch: int, lava: int) -> dict[str, tuple[int, int]]:
    """Ticks of a short and a long run; the arguments lengthen the long ones."""
    short = 10
    long = {"snntorch": 50 * torch, "norse": 50 * torch, "brian2": 50 * torch, "lava": 300 * lava}
    return {engine: (short, short + n) for engine, n in long.items()}


QUICK = Plan(
    spiking_agreement.Amount(200, 50, 20),
    spiking_engines.Amount(1000, 100, _others(1, 1), 3),
    patch_ticks=1000, lava_ticks=400, random=False, rounds=3,
    sustained_events=5_000_000, memory_events=5_000_000,
)  # fmt: skip
USUAL = Plan(
    spiking_agreement.Amount(2000, 200, 50),
    spiking_engines.Amount(2000, 200, _others(2, 2), 3),
    patch_ticks=2000, lava_ticks=1100, random=True, rounds=5,
    sustained_events=20_000_000, memory_events=200_000_000,
)  # fmt: skip
FULL = Plan(
    spiking_agreement.Amount(None, 1000, 200),
    spiking_engines.Amount(2000, 200, _others(2, 4), 5),
    patch_ticks=2000, lava_ticks=2000, random=True, rounds=9,
    sustained_events=20_000_000, memory_events=200_000_000,
)  # fmt: skip


def streams(rates_hz: Sequence[int], duration_s: float, random: bool) -> dict[str, EventStream]:
    """Streams by name; the name ends with the rate."""
    kinds = {"scene": scene_at} | ({"random": noise_at} if random else {})
    return {
        f"{kind}, {rate / 1e3:,.0f} k/s": make(rate, duration_s)
        for rate in rates_hz
        for kind, make in kinds.items()
    }


def patch_table(plan: Plan, environment: Path, console: Console) -> list[dict[str, Any]]:
    """`patch-lif` beside every peer; Lava at 500 k/s only, where its target is."""
    rows = []
    with ExitStack() as stack:
        console.log("second environment")
        worker = open_worker(stack, environment)
        for rate, lava_ticks in ((500_000, plan.lava_ticks), (BUSY_HZ, 0)):
            duration_s = (plan.patch_ticks + 1) * TICK_S
            for name, stream in streams((rate,), duration_s, plan.random).items():
                rows += patch_rows(
                    name,
                    stream,
                    n_ticks=plan.patch_ticks,
                    lava_ticks=lava_ticks,
                    rounds=plan.rounds,
                    worker=worker,
                    console=console,
                )
    return rows


def engine_table(plan: Plan, folder: Path | None, console: Console) -> list[dict[str, Any]]:
    """Both graphs on every engine."""
    duration_s = (plan.engines.fast + 1) * TICK_S
    found = streams((50_000, 500_000, BUSY_HZ), duration_s, random=False)
    found |= streams((500_000,), duration_s, plan.random)
    if folder is not None:
        found["spinning object"] = read(folder / SPINNING)
    rows = []
    for graph in GRAPHS:
        for name, stream in found.items():
            console.log(f"{graph}: {name}")
            rows += engine_rows(name, graph, stream, plan.engines)
    return rows


def script(module: str, *arguments: str) -> Any:
    """What a measuring script prints, run in a small process of its own."""
    command = [sys.executable, "-m", module, "--json", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def timed(plan: Plan, folder: Path | None, environment: Path, console: Console) -> dict[str, Any]:
    """Every table behind the targets."""
    figures: dict[str, Any] = {"patch": patch_table(plan, environment, console)}
    show("patch-lif beside other simulators", figures["patch"], console)
    figures["engines"] = engine_table(plan, folder, console)
    show("Both graphs on our engines", figures["engines"], console)
    busy = streams((BUSY_HZ,), plan.sustained_events / BUSY_HZ, plan.random)
    rounds = plan.rounds
    figures["throughput"] = [r for s in busy.items() for r in sustained_rows(*s, rounds)]
    show("Events to spikes, one core", figures["throughput"], console)
    figures["binning"] = [r for s in busy.items() for r in binning_rows(*s, 1000, rounds)]
    show("Events to counts per patch and ms", figures["binning"], console)
    graphs = [word for graph in GRAPHS for word in ("--graph", graph)]
    console.log(f"simulate: {plan.memory_events:,} events")
    figures["memory"] = script(
        "benchmarks.peers.memory", "--events", str(plan.memory_events), *graphs
    )
    show("neurovlm simulate, a process of its own", figures["memory"], console)
    figures["first_result"] = script("benchmarks.peers.first_result")
    show("Seconds to first spikes", [figures["first_result"]], console)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="rough figures in a few minutes")
    amount.add_argument("--full", action="store_true", help="compare whole files, nine rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--peers", type=Path, default=FOLDER, help="the second environment")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    plan = QUICK if options.quick else FULL if options.full else USUAL
    console = Console(width=220)
    data = os.environ.get("NEUROVLM_DATA")
    folder = Path(data) if data else None
    if folder is None:
        console.print("NEUROVLM_DATA is not set: procedural streams only")
    figures: dict[str, Any] = {"machine": machine(PACKAGES) | {"elsewhere": ", ".join(pinned())}}
    figures["agreement"] = compare(folder, plan.agreement, console)
    show("Differing spikes against the reference", figures["agreement"], console)
    bad = n_differing(figures["agreement"])
    console.print(f"{bad} differing spikes")
    if bad:
        sys.exit("engines disagree: nothing is timed")
    figures |= timed(plan, folder, options.peers, console)
    figures["targets"] = target_rows(figures)
    show("Targets", figures["targets"], console)
    show("Machine", [figures["machine"]], console)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
