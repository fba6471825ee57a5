"""RunResult: what a run of the pipeline leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from hw_models import Workload
from neurovlm.core.mask import ChangeMask
from neurovlm.counting.spiking_ops import SpikingTotals, spiking_totals
from neurovlm.pipeline.config import RunConfig
from neurovlm.spiking.trace import Trace
from neurovlm.sttf.boxes import Detections
from neurovlm.zoo.spec import ModelSpec

_PACKAGES = ("neurovlm", "numpy", "torch", "nir", "numba", "snntorch", "lava-nc")


@dataclass(frozen=True)
class RecordingInfo:
    """Where the events came from.

    Attributes
    ----------
    path
        File, or what made the events.
    sensor
        ``(width, height)``.
    notes
        What was assumed or found odd while reading.
    """

    path: str
    format: str
    sensor: tuple[int, int]
    n_events: int
    duration_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """Label and caption at the end of one window.

    Attributes
    ----------
    t_us
        End of the window, counted from the first event.
    confidence
        Probability of the label.
    caption_confidence
        Geometric mean of the probabilities of the caption's words.
    repeated
        Whether caption and boxes are the last ones again, because too little had changed to
        decode anew.
    found
        Boxes around ``spec.box_classes``; None where the model draws none.
    """

    t_us: int
    label: str
    confidence: float
    caption: str
    caption_confidence: float
    repeated: bool = False
    found: Detections | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One window kept whole, for pictures.

    Attributes
    ----------
    window
        Index of the window.
    counts
        uint8 ``(3, pixels, pixels)``: OFF events, ON events, filter spikes.
    frame
        uint8 RGB ``(224, 224, 3)``, or None.
    found
        Boxes where they were asked for in this window, else None.
    """

    window: int
    counts: NDArray[np.uint8]
    frame: NDArray[np.uint8] | None
    found: Detections | None = None


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run over one recording.

    Attributes
    ----------
    mask
        Changed patches and scores per window.
    active, refreshed
        bool ``(n_windows, n_patches)``: tokens computed, and those of them that were only due.
        The first, dense window is in them.
    dense
        bool ``(n_windows,)``: dense steps.
    probabilities
        float32 ``(n_windows, n_labels)``.
    events
        int64 ``(n_windows, n_patches)``: input spikes per patch.
    predictions
        One per caption.
    snapshots
        At most sixteen windows, evenly spaced.
    sightings
        At most sixteen of the windows in which boxes were found, evenly spaced; none where the
        model draws none.
    trace
        Spikes of every population; the input is counted, not kept.
    workload
        Operation counts of the whole recording.
    """

    recording: RecordingInfo
    config: RunConfig
    spec: ModelSpec
    mask: ChangeMask
    active: NDArray[np.bool_]
    refreshed: NDArray[np.bool_]
    dense: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    events: NDArray[np.int64]
    predictions: tuple[Prediction, ...]
    snapshots: tuple[Snapshot, ...]
    sightings: tuple[Snapshot, ...]
    trace: Trace
    workload: Workload

    @property
    def n_windows(self) -> int:
        """Number of window steps, each one inference."""
        return len(self.mask)

    @property
    def spiking(self) -> SpikingTotals:
        """Sums over the spiking front end."""
        return spiking_totals(self.trace)

    @property
    def n_repeated(self) -> int:
        """Captions that were repeated instead of decoded."""
        return sum(prediction.repeated for prediction in self.predictions)

    @property
    def mac_ratio(self) -> float:
        """Dense over executed MACs of the ANN, whole recording."""
        executed = self.workload.total("executed").macs
        return self.workload.total("dense").macs / executed if executed else float("inf")

    def __repr__(self) -> str:
        return (
            f"RunResult({self.recording.path}: {self.n_windows} windows, "
            f"{self.active.sum(axis=1).mean():.1f} of {self.mask.grid.n_patches} tokens computed, "
            f"{self.predictions[-1].caption!r})"
        )

    def _repr_html_(self) -> str:
        last = self.predictions[-1]
        active = self.active.sum(axis=1)
        rows = {
            "recording": f"{self.recording.path}, {self.recording.n_events:,} events, "
            f"{self.recording.duration_s:.2f} s",
            "front end": f"{self.config.backend}, {self.config.precision}, "
            f"{self.spiking.spikes:,} spikes, {self.spiking.synops:,} synops",
            "tokens per window": f"{self.mask.n_changed.mean():.1f} changed, "
            f"{active.mean():.1f} computed of {self.mask.grid.n_patches}",
            "MACs dense / executed": f"{self.mac_ratio:.2f}",
            "last label": f"{last.label} ({last.confidence:.0%})",
            "last caption": last.caption,
        }
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th><td>{escape(v)}</td></tr>"
            for k, v in rows.items()
        )
        return f"<table>{cells}</table>"


def package_versions() -> dict[str, str]:
    """Versions of what took part, for files and reports; absent packages are left out."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
