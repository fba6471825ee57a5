"""Pictures of results: functions that take a result and return what they drew on."""

from neurovlm.viz.boxes import boxes
from neurovlm.viz.energy import (
    devices,
    energy_by_stage,
    energy_dense_vs_sttf,
    macs_dense_vs_sttf,
)
from neurovlm.viz.neurons import membrane, rates, work
from neurovlm.viz.overview import masks, overview, rasters, sightings
from neurovlm.viz.spikes import agreement, raster
from neurovlm.viz.tokens import label_probabilities, mask_over_frame, tokens_over_time

__all__ = [
    "agreement",
    "boxes",
    "devices",
    "energy_by_stage",
    "energy_dense_vs_sttf",
    "label_probabilities",
    "macs_dense_vs_sttf",
    "mask_over_frame",
    "masks",
    "membrane",
    "overview",
    "raster",
    "rasters",
    "rates",
    "sightings",
    "tokens_over_time",
    "work",
]
