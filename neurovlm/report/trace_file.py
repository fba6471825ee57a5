"""Spikes of a run as one npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.report.partial import partial_path, remove_stale
from neurovlm.spiking.trace import Trace


def trace_arrays(trace: Trace) -> dict[str, NDArray[Any]]:
    """Arrays of the file, by key.

    ``tick`` and ``neuron`` are int64, sorted by tick then neuron, with ``n_ticks`` and
    ``n_neurons``: the output population. Every other population X has ``X_tick`` and ``X_neuron``.
    """
    out = trace.out
    arrays: dict[str, NDArray[Any]] = {
        "tick": out.tick.astype(np.int64),
        "neuron": out.neuron.astype(np.int64),
        "n_ticks": np.array(out.n_ticks, np.int64),
        "n_neurons": np.array(out.n_neurons, np.int64),
    }
    for name, train in trace.spikes.items():
        if name != trace.network.output:
            arrays[f"{name}_tick"] = train.tick.astype(np.int64)
            arrays[f"{name}_neuron"] = train.neuron.astype(np.int64)
    return arrays


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write the trace whole or not at all; an existing file is replaced, folders are made.

    Raises
    ------
    UsageError
        When the file cannot be written there.
    """
    path = Path(path)
    try:
        _replace(path, trace_arrays(trace))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot write the trace ({error.strerror or error}); choose another --out"
        ) from error


def _replace(path: Path, arrays: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(path)
    partial = partial_path(path)
    file = partial.open("xb")
    try:
        with file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
