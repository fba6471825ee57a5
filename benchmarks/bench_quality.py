"""Labels and captions: unseen procedural subjects beside their controls, and real gestures.

    python -m benchmarks.bench_quality [--seeds 3] [--subjects 20] [--json FILE]

The procedural part is ``neurovlm.training.evaluate``. The real part names the seven DVS128
recordings under NEUROVLM_DATA: the model never saw a real event, so these are shown without a
target.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurovlm.events.io import open_recording
from neurovlm.pipeline import Pipeline
from neurovlm.training.evaluate import TARGETS, evaluate


def real_gestures(pipeline: Pipeline, folder: Path) -> list[dict[str, Any]]:
    """True and given label of each recording, after its last window."""
    rows = []
    with (folder / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            result = pipeline.run(open_recording(folder / row["file"]))
            last = result.predictions[-1]
            rows.append(
                {
                    "file": row["file"],
                    "true": row["class_name"],
                    "given": last.label,
                    "confidence": last.confidence,
                    "caption": last.caption,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--linear-subjects", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=150)
    pipeline = Pipeline.load(options.model)
    scores = evaluate(
        pipeline.model,
        pipeline.frontend,
        options.seeds,
        options.subjects,
        options.linear_subjects,
    )
    table = Table(
        title=f"{options.subjects} unseen procedural subjects, {options.seeds} seeds",
        title_justify="left",
    )
    for column in ("score", "mean", "lowest", "highest", "target"):
        table.add_column(column)
    for name, value in scores.items():
        if isinstance(value, dict):
            bound, limit = TARGETS.get(name, ("", ""))
            cells = (f"{value[key]:.4f}" for key in ("mean", "low", "high"))
            table.add_row(name, *cells, f"{bound} {limit}".strip())
    console.print(table)
    figures: dict[str, Any] = {"procedural": scores}
    data = os.environ.get("NEUROVLM_DATA")
    if data:
        rows = real_gestures(pipeline, Path(data) / "events_gesture" / "dvs128_gesture")
        figures["real"] = rows
        table = Table(title="Real DVS128 gestures, never trained on", title_justify="left")
        for column in rows[0]:
            table.add_column(column)
        for row in rows:
            table.add_row(*(f"{v:.2f}" if isinstance(v, float) else v for v in row.values()))
        console.print(table)
        right = sum(row["true"] == row["given"] for row in rows)
        console.print(f"{right} of {len(rows)} named as labelled")
    else:
        console.print("NEUROVLM_DATA is not set: no real gestures")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
