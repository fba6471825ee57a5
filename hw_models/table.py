"""Counts of many layers as arrays, one row per layer, so that one equation costs them all.

The layers of several runs may stand one after the other; ``run`` says which run a row belongs
to. Amounts that the equations make of a table have shape (n_layers, n_columns), or
(n_runs, n_columns) once summed; columns are the draws of :mod:`hw_models.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Literal

import numpy as np
import numpy.typing as npt

from hw_models.ops import ACTIVATION_BYTES, WEIGHT_BYTES, LayerOps, OpKind
from hw_models.uncertainty import Columns

KINDS = tuple(OpKind)
_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}
_COUNTED = (
    "macs",
    "elements",
    "weight_bytes",
    "read_bytes",
    "write_bytes",
    "launches",
    "neuron_updates",
    "synops",
    "spikes",
)
_counts_of = attrgetter(*_COUNTED)

Which = Literal["executed", "padded", "dense"]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LayerTable:
    """Counts per inference, one row per layer; counts have shape (n_layers, 1).

    Parameters
    ----------
    layers
        The layers themselves, row by row.
    run, n_runs
        Run that each row belongs to, shape (n_layers,); number of runs.
    kind
        Index into ``KINDS``, shape (n_layers,).
    is_input
        Whether the layer only injects spikes, shape (n_layers, 1).
    assumed
        Whether something about a layer is assumed, by name; only names that occur.
    weight_bytes, activation_bytes
        At the deployed precision; activations are read and written bytes together.
    """

    layers: tuple[LayerOps, ...]
    run: Indices
    n_runs: int
    kind: Indices
    is_input: Flags
    assumed: Mapping[str, Flags]
    macs: Columns
    elements: Columns
    weight_bytes: Columns
    activation_bytes: Columns
    launches: Columns
    neuron_updates: Columns
    synops: Columns
    spikes: Columns

    def kinds(self) -> tuple[tuple[OpKind, ...], Indices]:
        """Return the kinds that occur, and for each row the index of its kind among them."""
        present, index = np.unique(self.kind, return_inverse=True)
        return tuple(KINDS[i] for i in present), index

    def sum_by_run(self, amounts: Columns) -> Columns:
        """Sum rows of shape (n_layers, n_columns) to shape (n_runs, n_columns)."""
        result: Columns
        if self.n_runs == 1:
            result = amounts.sum(axis=0, keepdims=True)
        elif amounts.shape[1] == 1:
            result = np.zeros((self.n_runs, 1))
            result[:, 0] = np.bincount(self.run, amounts[:, 0], self.n_runs)
        else:
            result = np.zeros((self.n_runs, amounts.shape[1]))
            np.add.at(result, self.run, amounts)
        return result

    def max_by_run(self, amounts: Columns) -> Columns:
        """Return the largest row of every run, 0 where a run has none."""
        result = np.zeros((self.n_runs, amounts.shape[1]))
        np.maximum.at(result, self.run, amounts)
        return result


def table_of(
    runs: Sequence[Sequence[LayerOps]],
    inferences: Sequence[int],
    which: Which,
    precision: str | None,
) -> LayerTable:
    """Collect the counts of layers.

    Parameters
    ----------
    runs
        Layers of each run.
    inferences
        Inferences of each run; counts are divided by them.
    which
        The counts to take.
    precision
        Precision that bytes are rescaled to; ``None`` leaves them.
    """
    layers = tuple(chain.from_iterable(runs))
    run = np.repeat(np.arange(len(runs)), [len(each) for each in runs])
    per_inference = 1 / np.asarray(inferences, dtype=np.float64)[run]
    counted = chain.from_iterable(map(_counts_of, map(attrgetter(which), layers)))
    counts = np.fromiter(counted, np.float64, len(layers) * len(_COUNTED))
    counts = counts.reshape(len(layers), len(_COUNTED)) * per_inference[:, np.newaxis]
    column = {name: counts[:, i : i + 1] for i, name in enumerate(_COUNTED)}
    kind = np.fromiter((_KIND_INDEX[layer.kind] for layer in layers), np.intp, len(layers))
    neurons = np.fromiter((layer.neurons for layer in layers), np.float64, len(layers))
    is_input = (kind == _KIND_INDEX[OpKind.SPIKING]) & (neurons == 0)
    assumed = sorted({name for layer in layers for name in layer.assumed})
    return LayerTable(
        layers=layers,
        run=run,
        n_runs=len(runs),
        kind=kind,
        is_input=is_input[:, np.newaxis],
        assumed={name: np.array([[name in layer.assumed] for layer in layers]) for name in assumed},
        macs=column["macs"],
        elements=column["elements"],
        weight_bytes=column["weight_bytes"] * _scale(layers, precision, WEIGHT_BYTES),
        activation_bytes=(column["read_bytes"] + column["write_bytes"])
        * _scale(layers, precision, ACTIVATION_BYTES),
        launches=column["launches"],
        neuron_updates=column["neuron_updates"],
        synops=column["synops"],
        spikes=column["spikes"],
    )


def _scale(
    layers: Sequence[LayerOps], precision: str | None, size: Mapping[str, float]
) -> Columns | float:
    """Bytes at the deployed precision per byte counted; spiking layers move none."""
    if precision is None:
        return 1.0
    ran_as = {layer.ran_as for layer in layers}
    factors = {name: size[precision] / size.get(name, size[precision]) for name in ran_as}
    if len(factors) < 2:
        return factors.popitem()[1] if factors else 1.0
    each = np.fromiter((factors[layer.ran_as] for layer in layers), np.float64, len(layers))
    return each[:, np.newaxis]
