"""How good a mask is: changed patches found, and patches declared for each that changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.film import Clip
from neurovlm.frontend.detect import Frontend


@dataclass(frozen=True)
class MaskScore:
    """Counts over windows and patches; scores of several clips add up.

    Attributes
    ----------
    found
        Patches that changed and were declared.
    declared, changed
        Patches declared, patches that changed.
    windows
        Number of windows.
    """

    found: int = 0
    declared: int = 0
    changed: int = 0
    windows: int = 0

    def __add__(self, other: MaskScore) -> MaskScore:
        return MaskScore(
            self.found + other.found,
            self.declared + other.declared,
            self.changed + other.changed,
            self.windows + other.windows,
        )

    @property
    def recall(self) -> float:
        """Share of the changed patches that were declared."""
        return self.found / self._n_changed()

    @property
    def ratio(self) -> float:
        """Patches declared for each that changed."""
        return self.declared / self._n_changed()

    def _n_changed(self) -> int:
        if not self.changed:
            raise UsageError("mask score: no patch changed in these clips; use others")
        return self.changed


def score_mask(declared: NDArray[np.bool_], truth: NDArray[np.bool_]) -> MaskScore:
    """Compare masks ``(n_windows, n_patches)``; windows that were not declared count as empty."""
    n = min(len(declared), len(truth))
    kept = declared[:n]
    found = int((kept & truth[:n]).sum())
    return MaskScore(found, int(kept.sum()), int(truth.sum()), len(truth))


def score_frontend(frontend: Frontend, clips: Iterable[Clip]) -> MaskScore:
    """Score of a front end over clips, each run from silence."""
    total = MaskScore()
    for clip in clips:
        declared = frontend.run(clip.stream).mask.changed
        total += score_mask(declared, clip.truth)
    return total
