"""Peak memory and speed of ``neurovlm simulate`` on a long synthetic recording.

    python -m benchmarks.peers.memory [--events 200e6] [--rate 5e6] [--graph patch-lif] [--json]

The recording is a DAT file of uniformly random events, written in chunks to a temporary folder.
The command runs in a process of its own, which reads its peak resident memory (VmHWM, so Linux
only) when it ends.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 2_000_000
EVENT_TYPE, EVENT_BYTES = 0x0C, 8
_COMMAND = """
import atexit, pathlib, sys
from neurovlm.cli import main
peak = pathlib.Path(sys.argv.pop())
def write_peak():
    status = pathlib.Path("/proc/self/status").read_text().split()
    peak.write_text(status[status.index("VmHWM:") + 1])
atexit.register(write_peak)
main()
"""


def write_recording(
    path: Path, n_events: int, *, rate_hz: float, side: int = 128, seed: int = 0
) -> None:
    """Write a DAT file, version 2; times are 32-bit microseconds.

    Raises
    ------
    ValueError
        When the recording would be longer than the 71 minutes that such times can tell.
    """
    if n_events / rate_hz * 1e6 >= 2**32:
        raise ValueError(f"{n_events} events at {rate_hz:g} Hz last too long for a DAT file")
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(f"% Version 2\n% Width {side}\n% Height {side}\n% end\n".encode())
        file.write(bytes([EVENT_TYPE, EVENT_BYTES]))
        for first in range(0, n_events, CHUNK):
            n = min(CHUNK, n_events - first)
            start, stop = (int((first + k) / rate_hz * 1e6) for k in (0, n))
            record = np.empty((n, 2), "<u4")
            record[:, 0] = np.sort(rng.integers(start, max(stop, start + 1), n))
            x, y, p = rng.integers(0, (side, side, 2), (n, 3), dtype=np.uint32).T
            record[:, 1] = x | y << 14 | p << 28
            file.write(record.tobytes())


def simulate(recording: Path, graph: str) -> dict[str, Any]:
    """Run the command on a recording; wall seconds and peak MiB."""
    with tempfile.TemporaryDirectory() as scratch:
        peak, out = Path(scratch) / "peak", Path(scratch) / "spikes.npz"
        arguments = ["simulate", str(recording), "--graph", graph, "--out", str(out), "--json"]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments, str(peak)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        wall_s = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"simulate {recording.name}: {done.stderr.strip()[-1000:]}")
        return {
            "graph": graph,
            "peak_mib": int(peak.read_text()) / 1024,
            "wall_s": wall_s,
            "spikes_mib": out.stat().st_size / 2**20,
        }


def measure(n_events: int, rate_hz: float, graphs: tuple[str, ...]) -> list[dict[str, Any]]:
    """Write one recording, run each graph on it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "long.dat"
        write_recording(path, n_events, rate_hz=rate_hz)
        rows = [simulate(path, graph) for graph in graphs]
    return [{**row, "events": n_events, "events/s": n_events / row["wall_s"]} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=float, default=200e6)
    parser.add_argument("--rate", type=float, default=5e6, help="events per second")
    parser.add_argument("--graph", action="append", help="may be repeated; patch-lif by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(round(options.events), options.rate, tuple(options.graph or ["patch-lif"]))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['graph']}: {row['events']:,} events, peak {row['peak_mib']:,.0f} MiB, "
            f"{row['wall_s']:.1f} s, {row['events/s'] / 1e6:.2f} M events/s, "
            f"{row['spikes_mib']:.1f} MiB of spikes"
        )


if __name__ == "__main__":
    main()
