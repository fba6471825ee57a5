"""Simulate spiking vision-language pipelines and count what they cost in hardware.

>>> import neurovlm as nv  # doctest: +SKIP
>>> result = nv.Pipeline.load("sttf-tiny").run(nv.read("hand.aedat4"))  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovlm.core.mask import ChangeMask
    from neurovlm.events.io import open_recording, read
    from neurovlm.events.stream import EventStream
    from neurovlm.frontend.detector import DetectorConfig, change_detector
    from neurovlm.frontend.patch_lif import patch_lif
    from neurovlm.pipeline import Pipeline, RunResult
    from neurovlm.spiking.backends.base import get_backend
    from neurovlm.spiking.graph import SpikingGraph
    from neurovlm.spiking.quantise import quantise
    from neurovlm.spiking.trace import probe
    from neurovlm.spiking.train import SpikeTrain

_EXPORTS = {
    "ChangeMask": "neurovlm.core.mask",
    "DetectorConfig": "neurovlm.frontend.detector",
    "EventStream": "neurovlm.events.stream",
    "Pipeline": "neurovlm.pipeline",
    "RunResult": "neurovlm.pipeline",
    "SpikeTrain": "neurovlm.spiking.train",
    "SpikingGraph": "neurovlm.spiking.graph",
    "change_detector": "neurovlm.frontend.detector",
    "get_backend": "neurovlm.spiking.backends.base",
    "open_recording": "neurovlm.events.io",
    "patch_lif": "neurovlm.frontend.patch_lif",
    "probe": "neurovlm.spiking.trace",
    "quantise": "neurovlm.spiking.quantise",
    "read": "neurovlm.events.io",
}

__all__ = [
    "ChangeMask",
    "DetectorConfig",
    "EventStream",
    "Pipeline",
    "RunResult",
    "SpikeTrain",
    "SpikingGraph",
    "change_detector",
    "get_backend",
    "open_recording",
    "patch_lif",
    "probe",
    "quantise",
    "read",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import neurovlm`` stays light."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'neurovlm' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
