"""What the pictures need of a run; `neurovlm.pipeline.RunResult` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hw_models import Workload
from neurovlm.core.mask import ChangeMask
from neurovlm.spiking.trace import Trace

if TYPE_CHECKING:  # a picture needs no torch
    from neurovlm.sttf.boxes import Detections


class Snapshot(Protocol):
    """One window kept whole."""

    @property
    def window(self) -> int:
        """Index of the window."""

    @property
    def counts(self) -> NDArray[np.uint8]:
        """OFF events, ON events and more: ``(channels, pixels, pixels)``."""

    @property
    def frame(self) -> NDArray[np.uint8] | None:
        """RGB ``(height, width, 3)``, or None."""

    @property
    def found(self) -> Detections | None:
        """Boxes in this window where they were asked for."""


class Policy(Protocol):
    """Limits of the active set."""

    @property
    def max_active(self) -> int:
        """Hard cap on tokens computed in a sparse step."""


class Spec(Protocol):
    """Names and limits of the model that ran."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""

    @property
    def box_classes(self) -> tuple[str, ...]:
        """Names of what boxes are drawn around."""

    @property
    def policy(self) -> Policy:
        """Limits of the active set."""


class Run(Protocol):
    """One run over one recording."""

    @property
    def mask(self) -> ChangeMask:
        """Changed patches per window."""

    @property
    def active(self) -> NDArray[np.bool_]:
        """Tokens computed, ``(n_windows, n_patches)``."""

    @property
    def refreshed(self) -> NDArray[np.bool_]:
        """Those of them that were only due, ``(n_windows, n_patches)``."""

    @property
    def dense(self) -> NDArray[np.bool_]:
        """Dense steps, ``(n_windows,)``."""

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """``(n_windows, n_labels)``."""

    @property
    def snapshots(self) -> Sequence[Snapshot]:
        """Some windows, in order of time."""

    @property
    def sightings(self) -> Sequence[Snapshot]:
        """Some of the windows with boxes, in order of time."""

    @property
    def spec(self) -> Spec:
        """The model."""

    @property
    def trace(self) -> Trace:
        """Spikes of every population."""

    @property
    def workload(self) -> Workload:
        """Operation counts."""


def window_edges_s(run: Run) -> NDArray[np.float64]:
    """Edges of the windows in seconds from the first event, ``(n_windows + 1,)``."""
    return np.arange(len(run.mask) + 1, dtype=np.float64) * (run.workload.window_ms * 1e-3)
