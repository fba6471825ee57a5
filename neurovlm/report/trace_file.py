"""Spikes of a run as one npz file, written as the run goes on."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.report.partial import partial_path, remove_stale
from neurovlm.spiking.network import Network
from neurovlm.spiking.trace import RunCounts, Trace

_DTYPE = np.dtype("<i8")
_QUICK = 1  # zlib's lowest level


class TraceWriter:
    """Takes traces of runs that follow each other; only their counts stay in memory."""

    def __init__(self, network: Network, path: Path, folder: Path, opened: ExitStack) -> None:
        self._network = network
        self._path = path
        self._folder = folder
        self._opened = opened
        self._files: dict[str, BinaryIO] = {}
        self._counts: RunCounts | None = None

    @property
    def counts(self) -> RunCounts:
        """Counts of all runs so far.

        Raises
        ------
        UsageError
            Before the first one.
        """
        if self._counts is None:
            raise UsageError("trace file: no run was added to it; add one before its counts")
        return self._counts

    def add(self, trace: Trace) -> None:
        """Append the spikes of the run that follows."""
        first = 0 if self._counts is None else self._counts.n_ticks
        with _refused(self._path):
            for name, train in trace.spikes.items():
                prefix = "" if name == self._network.output else f"{name}_"
                self._append(f"{prefix}tick", train.tick.astype(_DTYPE) + first)
                self._append(f"{prefix}neuron", train.neuron.astype(_DTYPE))
                if train.value is not None:
                    self._append(f"{prefix}value", train.value.astype(_DTYPE))
        self._counts = trace.counts if self._counts is None else self._counts + trace.counts

    def _append(self, key: str, values: NDArray[np.int64]) -> None:
        if key not in self._files:
            self._files[key] = self._opened.enter_context((self._folder / f"{key}.raw").open("w+b"))
        values.tofile(self._files[key])

    def finish(self) -> None:
        """Compress everything into one npz file and put it in its place."""
        whole = self._folder / self._path.name
        lengths = {
            "n_ticks": self.counts.n_ticks,
            "n_neurons": self._network.population(self._network.output).size,
        }
        with (
            _refused(self._path),
            zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=_QUICK) as archive,
        ):
            for key, value in lengths.items():
                with archive.open(f"{key}.npy", "w") as member:
                    np.save(member, np.array(value, _DTYPE))
            for key, file in self._files.items():
                n = file.tell() // _DTYPE.itemsize
                file.seek(0)
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    header = {"descr": _DTYPE.str, "fortran_order": False, "shape": (n,)}
                    np.lib.format.write_array_header_1_0(member, header)  # type: ignore[no-untyped-call]
                    shutil.copyfileobj(file, member, 1 << 20)
        with _refused(self._path):
            whole.replace(self._path)


@contextmanager
def trace_writer(network: Network, path: str | Path) -> Iterator[TraceWriter]:
    """A writer whose file appears when the block ends well, whole or not at all.

    ``tick`` and ``neuron`` are int64, sorted by tick then neuron, with ``n_ticks`` and
    ``n_neurons``: the output population. Every other population X has ``X_tick`` and ``X_neuron``.
    Populations of graded spikes have ``value`` or ``X_value``, too. An existing file is replaced,
    folders are made.

    Raises
    ------
    UsageError
        When the file cannot be written there.
    """
    path = Path(path)
    with _refused(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path)
        folder = partial_path(path)
        folder.mkdir()
    try:
        with ExitStack() as opened:
            writer = TraceWriter(network, path, folder, opened)
            yield writer
            writer.finish()
    finally:
        shutil.rmtree(folder)


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write one trace; the file and the errors are those of `trace_writer`."""
    with trace_writer(trace.network, path) as writer:
        writer.add(trace)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What the system refuses becomes a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path}: cannot write the trace ({error.strerror or error}); choose another --out"
        ) from error
