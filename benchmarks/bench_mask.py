"""Masks of both change detectors against the truth.

    python -m benchmarks.bench_mask [--subjects 40] [--json FILE]

Three tables: procedural gestures of subjects that nothing was trained on or chosen by, per level of
background noise; a scene in which nothing moves; the second half of real static-camera videos
(NEUROVLM_DATA), whose truth is the change of their pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import machine, show
from neurovlm.events.scenes import TEST_SEEDS, static_scene
from neurovlm.events.scenes.film import Clip
from neurovlm.frontend.detect import DETECTORS, Frontend
from neurovlm.training.detector_clips import procedural_clips, training_noise, video_clip
from neurovlm.training.detector_scores import MaskScore, score_mask

FIRST_SUBJECT = 3000
NOISE_LEVELS_HZ = (0.0, 0.5, 1.0, 2.0, 5.0)
VIDEOS = ("vtest.avi", "one-by-one-person-detection.mp4")
TARGET = {"recall": 0.98, "ratio": 1.3}


def scored(frontend: Frontend, clips: Iterable[Clip]) -> tuple[MaskScore, list[MaskScore]]:
    """Score of all clips together and of each."""
    scores = [score_mask(frontend.run(clip.stream).mask.changed, clip.truth) for clip in clips]
    return sum(scores, MaskScore()), scores


def row_of(name: str, detector: str, total: MaskScore, scores: list[MaskScore]) -> dict[str, Any]:
    return {
        "clips": name,
        "detector": detector,
        "recall": total.recall,
        "lowest recall": min(score.recall for score in scores),
        "declared per changed": total.ratio,
        "declared per window": total.declared / total.windows,
        "changed per window": total.changed / total.windows,
    }


def procedural(frontends: dict[str, Frontend], n_subjects: int) -> list[dict[str, Any]]:
    """Rows per noise level, over all levels, and over the noise that clips have by default."""
    seeds = TEST_SEEDS[FIRST_SUBJECT : FIRST_SUBJECT + n_subjects]
    rows = []
    for detector, frontend in frontends.items():
        every: list[MaskScore] = []
        for level in NOISE_LEVELS_HZ:
            clips = procedural_clips(seeds, [level] * n_subjects)
            total, scores = scored(frontend, clips)
            rows.append(row_of(f"{level:g} Hz/pixel", detector, total, scores))
            every += scores
        rows.append(row_of("all levels", detector, sum(every, MaskScore()), every))
        total, scores = scored(frontend, procedural_clips(seeds, training_noise(n_subjects, 0)))
        rows.append(row_of("0 and 0.1-5 Hz/pixel", detector, total, scores))
    return rows


def nothing_moves(frontends: dict[str, Frontend]) -> list[dict[str, Any]]:
    """Patches declared per window of a wall, which are all wrong; and what a run costs."""
    rows = []
    for level in (1.0, 5.0):
        clip = static_scene(noise_hz=level, duration_s=2.0)
        for detector, frontend in frontends.items():
            frontend.run(clip.stream)
            start = time.perf_counter()
            result = frontend.run(clip.stream)
            spent_s = time.perf_counter() - start
            synops = sum(count.synops for count in result.trace.connections)
            rows.append(
                {
                    "noise": f"{level:g} Hz/pixel",
                    "detector": detector,
                    "false patches per window": float(result.mask.changed.sum(1).mean()),
                    "synops per tick": synops / result.trace.n_ticks,
                    "times faster than real time": clip.stream.duration_us * 1e-6 / spent_s,
                }
            )
    return rows


def videos(frontends: dict[str, Frontend], folder: Path) -> list[dict[str, Any]]:
    """Rows for the second half of each video, a frame per window, 1 Hz/pixel of noise."""
    rows = []
    for name in VIDEOS:
        clip = video_clip(folder / name, (0.5, 1.0))
        for detector, frontend in frontends.items():
            total, scores = scored(frontend, [clip])
            rows.append(row_of(name, detector, total, scores))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    console = Console(width=150)
    frontends: dict[str, Frontend] = {name: Frontend.build(detector=name) for name in DETECTORS}
    figures: dict[str, Any] = {
        "machine": machine(("numpy", "numba")),
        "target": TARGET,
        "procedural": procedural(frontends, options.subjects),
        "static": nothing_moves(frontends),
    }
    show(f"{options.subjects} unseen procedural subjects", figures["procedural"], console)
    show("Nothing moves", figures["static"], console)
    data = os.environ.get("NEUROVLM_DATA")
    if data:
        figures["video"] = videos(frontends, Path(data) / "video_static_camera")
        show("Static-camera video, second half", figures["video"], console)
    else:
        console.print("NEUROVLM_DATA is not set: no real video")
    both = [row for row in figures["procedural"] if row["clips"] == "all levels"]
    for row in both:
        reached = row["recall"] >= TARGET["recall"] and (
            row["declared per changed"] <= TARGET["ratio"]
        )
        console.print(f"{row['detector']}: target {'reached' if reached else 'missed'}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
