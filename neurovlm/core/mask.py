"""Which patches changed, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.core.grid import PatchGrid


@dataclass(frozen=True, eq=False)
class ChangeMask:
    """Changed patches per window, with the evidence for each.

    Attributes
    ----------
    changed
        bool, ``(n_windows, n_patches)``, row-major patches.
    score
        int64, same shape: spikes of the read-out population within the window.
    grid
        The patch grid the columns refer to.
    """

    changed: NDArray[np.bool_]
    score: NDArray[np.int64]
    grid: PatchGrid

    def __post_init__(self) -> None:
        expected = (self.changed.shape[0], self.grid.n_patches)
        if self.changed.shape != expected or self.score.shape != expected:
            raise UsageError(
                f"ChangeMask: changed and score must both be {expected}, "
                f"got {self.changed.shape} and {self.score.shape}"
            )
        self.changed.setflags(write=False)
        self.score.setflags(write=False)

    def __len__(self) -> int:
        return len(self.changed)

    @property
    def n_changed(self) -> NDArray[np.int64]:
        """Changed patches per window, ``(n_windows,)``."""
        n_changed: NDArray[np.int64] = self.changed.sum(axis=1)
        return n_changed

    def at_least(self, min_score: int) -> ChangeMask:
        """Keep only changed patches whose score is at least ``min_score``.

        A higher ``min_score`` never adds a patch.
        """
        return ChangeMask(self.changed & (self.score >= min_score), self.score, self.grid)
