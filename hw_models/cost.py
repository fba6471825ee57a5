"""What the equations of a part of a device return: energies above idle, and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw_models.table import LayerTable
from hw_models.uncertainty import Columns

SHARED = "device"  # stage of rows that belong to no stage: idle, link, chip overheads


@dataclass(frozen=True, slots=True)
class Cost:
    """Energy [J] and time [s] of one part, per inference, by term.

    Parameters
    ----------
    table
        The layers; terms of layers have shape (n_layers, n_columns).
    energies, times
        Of the layers.
    shared_energies, shared_times
        Of the part as a whole, shape (n_runs, n_columns). All times together sum to the latency
        of the part.
    """

    table: LayerTable
    energies: Mapping[str, Columns]
    times: Mapping[str, Columns]
    shared_energies: Mapping[str, Columns]
    shared_times: Mapping[str, Columns]

    def energy_j(self, n_columns: int) -> Columns:
        """Return the sum of all energies, shape (n_runs, n_columns)."""
        return self._total(self.energies, self.shared_energies, n_columns)

    def time_s(self, n_columns: int) -> Columns:
        """Return the sum of all times, shape (n_runs, n_columns)."""
        return self._total(self.times, self.shared_times, n_columns)

    def _total(
        self, layers: Mapping[str, Columns], shared: Mapping[str, Columns], n_columns: int
    ) -> Columns:
        total = np.zeros((self.table.n_runs, n_columns))
        for amounts in layers.values():
            total += self.table.sum_by_run(amounts)
        for amounts in shared.values():
            total += amounts
        return total
