"""The second environment: a venv beside the project's for peers that need an older nir.

    python -m benchmarks.peers.environment [--folder build/peers]

Built once from the pinned files beside this module and reused while they stay the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from types import TracebackType

import numpy as np

from benchmarks.peers.task import Peer, Raster, Task
from neurovlm.spiking.dynamics import Precision

HERE = Path(__file__).parent
FOLDER = Path("build/peers")
PEERS = {
    "SpikingJelly": "CUBALIFNode, multi-step",
    "Sinabs": "LIF, whole sequence",
}
_REQUIREMENTS = (
    (HERE / "requirements.txt", ()),
    (HERE / "requirements_no_deps.txt", ("--no-deps",)),
)
_STAMP = "installed"


class NotInstalledError(Exception):
    """A peer that cannot be run here; the message says why and what to do."""


def python_of(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``."""
    return folder / "bin" / "python"


def pinned() -> list[str]:
    """Versions of the peers in the second environment."""
    lines = _REQUIREMENTS[-1][0].read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def build(folder: Path = FOLDER) -> Path:
    """The interpreter of the second environment, built first where it is missing or outdated.

    Raises
    ------
    NotInstalledError
        When pip fails, for example without a network.
    """
    python, stamp = python_of(folder), folder / _STAMP
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path, _ in _REQUIREMENTS)).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for path, options in _REQUIREMENTS:
        done = subprocess.run(
            [*pip, *options, "-r", str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = lines[-1] if lines else f"pip ended with {done.returncode}"
            raise NotInstalledError(
                f"{folder}: {path.name} could not be installed ({reason}); check the network, "
                "then run python -m benchmarks.peers.environment"
            )
    stamp.write_text(wanted)
    return python


class Worker:
    """A process of the second environment that answers one request at a time."""

    def __init__(self, folder: Path = FOLDER) -> None:
        python = build(folder)
        self._scratch = tempfile.TemporaryDirectory(prefix="peers-")
        self._process = subprocess.Popen(
            [str(python), str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._scratch.cleanup()

    def peer(self, name: str, task: Task) -> Peer:
        """One of ``PEERS`` on a task."""
        scratch = Path(self._scratch.name)
        path = scratch / f"{len(list(scratch.iterdir()))}.npz"
        np.savez(
            path,
            arriving=task.delayed() * task.weight,
            keep_u=task.keep_u,
            keep_v=task.keep_v,
            vth=task.vth,
        )

        def seconds() -> float:
            return self._ask(name, path, None)

        def raster() -> Raster:
            out = path.with_suffix(f".{name}.npy")
            self._ask(name, path, out)
            fired: Raster = np.load(out)
            return fired

        return Peer(name, PEERS[name], seconds, raster, Precision.FLOAT32, "processor")

    def _ask(self, peer: str, task: Path, out: Path | None) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {"peer": peer, "task": str(task), "out": None if out is None else str(out)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise NotInstalledError(f"{peer}: {answer['error']}")
        return float(answer["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    try:
        print(build(folder))
    except NotInstalledError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
