"""The run as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from hw_models import EnergyReport, Interval
from neurovlm.pipeline import Prediction, RunResult
from neurovlm.pipeline.result import package_versions
from neurovlm.report.pictures import Picture
from neurovlm.report.table import WORDS, coverage_gaps, interval_text, run_rows, significant


@dataclass(frozen=True)
class Said:
    """A label and caption with the time over which they stayed the same."""

    start_s: float
    stop_s: float
    label: str
    confidence: float
    caption: str


def render_html(
    result: RunResult,
    reports: Mapping[str, EnergyReport],
    pictures: Mapping[str, Picture],
) -> str:
    """The page as text; pictures are embedded, nothing is loaded from elsewhere."""
    whole = [report for report in reports.values() if not report.front_end_only]
    parts = [report for report in reports.values() if report.front_end_only]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"milli": _milli, "span": _span, "word": WORDS.__getitem__}
    source = resources.files("neurovlm.report").joinpath("template.html.jinja")
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        result=result,
        name=Path(result.recording.path).name,
        rows=run_rows(result),
        last=result.predictions[-1],
        n_active=float(result.active.sum(axis=1).mean()),
        n_tokens=result.mask.grid.n_patches,
        said=merge_predictions(result.predictions),
        whole=whole,
        parts=parts,
        reports=[*whole, *parts],
        gaps=coverage_gaps,
        pictures=pictures,
        embed=lambda picture: base64.b64encode(picture.png).decode("ascii"),
        config=result.config.to_toml(),
        versions=package_versions(),
        workload_hash=result.workload.hash(),
    )


def merge_predictions(predictions: Sequence[Prediction]) -> list[Said]:
    """Predictions that say the same as the one before are drawn together; the last counts."""
    said: list[Said] = []
    start_s = 0.0
    for prediction in predictions:
        stop_s = prediction.t_us * 1e-6
        same = said and (said[-1].label, said[-1].caption) == (
            prediction.label,
            prediction.caption,
        )
        first_s = said.pop().start_s if same else start_s
        said.append(
            Said(first_s, stop_s, prediction.label, prediction.confidence, prediction.caption)
        )
        start_s = stop_s
    return said


def _milli(quantity: Interval | None) -> str:
    return "-" if quantity is None else significant(quantity.value * 1e3, 3)


def _span(quantity: Interval | None) -> str:
    return "" if quantity is None else interval_text(quantity, 1e3)
