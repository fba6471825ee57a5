"""Time to first spikes: with nothing compiled, in a later process, and for a new graph.

    python -m benchmarks.peers.first_result [--json]

Imports and the recording are not in the times: building the graph, compiling and running are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurovlm.spiking.graph import SpikingGraph


def measure() -> dict[str, float]:
    """Seconds to first spikes.

    Returns
    -------
    ``cold_s`` with an empty cache of compiled code, ``warm_s`` in a process after that,
    ``new_graph_s`` the slowest later graph in either process, ``warm_process_s`` everything from
    start to end of the second process.
    """
    with tempfile.TemporaryDirectory(prefix="numba-") as cache:
        cold, _ = _child(cache)
        warm, process_s = _child(cache)
    new_graph_s = max(cold["new_graph_s"], warm["new_graph_s"])
    return {
        "cold_s": cold["first_s"],
        "warm_s": warm["first_s"],
        "new_graph_s": new_graph_s,
        "warm_process_s": process_s,
    }


def _child(cache: str) -> tuple[dict[str, float], float]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.first_result", "--child"],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    process_s = time.perf_counter() - start
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer, process_s


def child() -> dict[str, float]:
    """Three graphs one after the other in this process, from the same events."""
    from benchmarks.spiking_ours import events_run
    from benchmarks.spiking_streams import noise_at
    from neurovlm.frontend.detector import DetectorConfig, change_detector
    from neurovlm.frontend.patch_lif import patch_lif

    events = noise_at(500_000, 0.1)
    other = partial(change_detector, DetectorConfig(detector_threshold=120))
    graphs: tuple[Callable[[], SpikingGraph], ...] = (change_detector, patch_lif, other)
    seconds = []
    for build in graphs:
        start = time.perf_counter()
        events_run(build(), events)()
        seconds.append(time.perf_counter() - start)
    return {"first_s": seconds[0], "new_graph_s": max(seconds[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child()))
        return
    figures = measure()
    if options.json:
        print(json.dumps(figures))
        return
    for name, seconds in figures.items():
        print(f"{name}: {seconds:.2f}")


if __name__ == "__main__":
    main()
