"""The pictures of a run as PNG, each drawn once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hw_models import EnergyReport
from neurovlm import viz
from neurovlm.pipeline import RunResult


@dataclass(frozen=True)
class Picture:
    """A PNG with its words.

    Attributes
    ----------
    alt
        What is to be seen, for those who cannot see it.
    caption
        How to read it.
    """

    png: bytes
    alt: str
    caption: str


def draw_pictures(result: RunResult, reports: Mapping[str, EnergyReport]) -> dict[str, Picture]:
    """Pictures by name, in the order of the report; those of devices only if there are reports."""
    pictures = dict(_of_run(result))
    if reports:
        pictures |= _of_devices(reports)
    return pictures


def to_png(drawn: Figure | Axes) -> bytes:
    """PNG of a figure, or of the figure an axes is on."""
    figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
    assert figure is not None  # an axes that was drawn on is on a figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _of_run(result: RunResult) -> Iterator[tuple[str, Picture]]:
    yield (
        "overview",
        Picture(
            to_png(viz.overview(result)),
            "Overview of the run: snapshots, spikes, tokens and label probabilities.",
            "The run at a glance.",
        ),
    )
    yield (
        "mask",
        Picture(
            to_png(viz.masks(result, 4, 2)),
            f"Snapshots of the recording with the changed patches outlined; on average "
            f"{result.mask.n_changed.mean():.1f} of {result.mask.grid.n_patches} changed.",
            "Snapshots spread over the recording. Outlined patches are computed in that window, "
            "all other tokens come from the token memory.",
        ),
    )
    trains = result.trace.spikes
    counts = ", ".join(f"{name} {len(train):,}" for name, train in trains.items())
    yield (
        "raster",
        Picture(
            to_png(viz.rasters(result)),
            f"Rasters of the spiking front end. Spikes by population: {counts}.",
            "Spikes of the support filter F (one neuron per pixel), the detector D and its "
            "read-out H (one neuron per patch each), neurons row by row.",
        ),
    )
    n_active = result.active.sum(axis=1)
    yield (
        "tokens",
        Picture(
            to_png(viz.tokens_over_time(result)),
            f"Tokens per window over time: {n_active.mean():.1f} computed on average, "
            f"{int(result.dense.sum())} dense steps.",
            "Patches the detector calls changed, and tokens computed: the changed ones under the "
            "cap plus the refreshed ones.",
        ),
    )
    last = result.predictions[-1]
    yield (
        "labels",
        Picture(
            to_png(viz.label_probabilities(result)),
            f"Probability of each label over time; at the end {last.label} with "
            f"{last.confidence:.0%}.",
            "What the label head makes of it, window by window.",
        ),
    )
    if result.sightings:
        yield (
            "boxes",
            Picture(
                to_png(viz.sightings(result)),
                f"Windows with boxes around {', '.join(result.spec.box_classes)}.",
                "Where the box head puts things, with its score in per cent. It looks when a "
                "caption is decoded, that is, only after something changed.",
            ),
        )
    yield (
        "macs",
        Picture(
            to_png(viz.macs_dense_vs_sttf(result)),
            f"MACs per window by stage: a dense model would run {result.mac_ratio:.1f} times as "
            "many.",
            "Multiply-accumulates of the ANN, counted. The spiking front end is not among them: "
            "its synops and neuron updates are counted apart.",
        ),
    )


def _of_devices(reports: Mapping[str, EnergyReport]) -> dict[str, Picture]:
    costs = "; ".join(
        f"{name} {report.energy_active_j.value * 1e3:.3g} mJ"
        for name, report in reports.items()
        if report.energy_active_j is not None
    )
    pictures = {
        "devices": Picture(
            to_png(viz.devices(reports)),
            f"Estimated energy above idle per inference: {costs}.",
            "Bars are estimates, lines their 5-95% intervals. A hatched bar covers the spiking "
            "stages only and must not be ranked against the others.",
        ),
        "energy": Picture(
            to_png(viz.energy_by_stage(reports)),
            "Estimated energy per inference by stage and device, on a logarithmic scale.",
            "Below the dotted line stands what belongs to no stage; idle is what the device draws "
            "between and during inferences while it does nothing.",
        ),
    }
    if any(not report.front_end_only for report in reports.values()):
        pictures["twin"] = Picture(
            to_png(viz.energy_dense_vs_sttf(reports)),
            "Estimated energy above idle per inference of the run beside its dense twin.",
            "The dense twin computes every token in every window, behind the same front end.",
        )
    return pictures
