"""The run in plain values: what ``--json`` prints and ``summary.json`` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hw_models import EnergyReport, Workload, estimate
from neurovlm.pipeline import RunResult
from neurovlm.pipeline.result import package_versions
from neurovlm.sttf.boxes import Detections

SCHEMA_VERSION = 1


def estimate_devices(result: RunResult) -> dict[str, EnergyReport]:
    """Estimate the run on every device its config names, in that order.

    Raises
    ------
    hw_models.HwModelError
        For an unknown device, or a precision or rate that a device does not have.
    """
    config = result.config
    return {
        name: estimate(
            result.workload,
            name,
            rate_hz=config.rate_hz,
            deploy_as=config.deploy_precision,
            seed=config.seed,
        )
        for name in config.devices
    }


def summarise(result: RunResult, reports: Mapping[str, EnergyReport]) -> dict[str, Any]:
    """The run as one JSON object.

    Counts are totals over the recording, energies, power and latency are per inference (one
    window step). Quantities are ``{value, low, high}`` with the 5-95% interval, or None.
    """
    spiking = result.spiking
    side = result.mask.grid.side
    n_active = result.active.sum(axis=1)
    return {
        "schema_version": SCHEMA_VERSION,
        "recording": {
            "path": result.recording.path,
            "sensor": list(result.recording.sensor),
            "n_events": result.recording.n_events,
            "duration_s": result.recording.duration_s,
        },
        "windows": {"n": result.n_windows, "ms": result.config.window_ms},
        "frontend": {
            "backend": result.config.backend,
            "precision": str(result.config.precision),
            "neurons": spiking.neurons,
            "spikes": spiking.spikes,
            "synops": spiking.synops,
            "neuron_updates": spiking.neuron_updates,
        },
        "tokens": {
            "grid": [side, side],
            "mean_changed": float(result.mask.n_changed.mean()),
            "mean_active": float(n_active.mean()),
            "p95_active": float(np.percentile(n_active, 95)),
            "mean_refreshed": float(result.refreshed.sum(axis=1).mean()),
        },
        "macs": {
            **_macs(result.workload),
            "by_stage": {
                stage: macs
                for stage in result.workload.stages
                if (macs := _macs(result.workload, stage))["dense"]
            },
        },
        "predictions": [
            {
                "t_us": prediction.t_us,
                "label": prediction.label,
                "confidence": prediction.confidence,
                "caption": prediction.caption,
                "boxes": _boxes(prediction.found, result.spec.box_classes),
            }
            for prediction in result.predictions
        ],
        "devices": {name: report.to_dict() for name, report in reports.items()},
        "seed": result.config.seed,
        "versions": package_versions(),
        "workload_hash": result.workload.hash(),
    }


def to_json(summary: Mapping[str, Any]) -> str:
    """The summary as strict JSON text.

    Raises
    ------
    ValueError
        When a value is NaN or infinite.
    """
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)


def _boxes(found: Detections | None, names: Sequence[str]) -> list[dict[str, Any]] | None:
    """Boxes in pixels of the grid, best first; None where the model draws none."""
    if found is None:
        return None
    return [
        {"class": names[k], "score": float(score), "x0y0x1y1": [float(side) for side in box]}
        for box, score, k in zip(found.boxes, found.scores, found.classes, strict=True)
    ]


def _macs(workload: Workload, stage: str | None = None) -> dict[str, Any]:
    """MACs of the ANN, whole recording; the ratio is None where nothing was executed."""
    dense, executed = (workload.total(which, stage).macs for which in ("dense", "executed"))
    return {"dense": dense, "executed": executed, "ratio": dense / executed if executed else None}
