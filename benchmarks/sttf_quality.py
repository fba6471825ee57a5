"""Tokens, accuracy and boxes of STTF beside its dense twin, same weights, subjects never seen.

    python -m benchmarks.sttf_quality [--seeds 3] [--subjects 20] [--json FILE]

A seed is another performance of the subjects with other noise. Tokens count the first dense step
and every refresh. Ratios are paired over clips, with a 95 % bootstrap interval. Engines are scored
on the same clips as the plain encoder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.common import machine, show
from benchmarks.sttf_runs import ratio_interval, run
from neurovlm.events.scenes import MOTIONS, TEST_SEEDS
from neurovlm.frontend.detect import Frontend
from neurovlm.sttf.engine import build_named
from neurovlm.training.clips import HARD, NATURAL, make_clips
from neurovlm.training.data import ClipSet
from neurovlm.training.read import box_precision, chunks, read
from neurovlm.zoo.load import load
from neurovlm.zoo.model import SttfModel

FIRST_TEST = 8000
"""Test subjects from here on, which nothing was trained on, chosen by or scored on before."""
STYLES = {"hard": HARD, "natural": NATURAL}
QUANTISED = ("packed-bf16", "packed-int8", "onnx-int8")


def clips_of(frontend: Frontend, style: str, n_subjects: int, seed: int, motion: str) -> ClipSet:
    return make_clips(
        TEST_SEEDS[FIRST_TEST : FIRST_TEST + n_subjects],
        frontend,
        with_frames=False,
        repetition=seed,
        mixture=STYLES[style],
        motion=motion,
    )


def kept(model: SttfModel, sets: list[ClipSet], style: str) -> dict[str, Any]:
    """Sparse beside dense over all seeds."""
    sparse = [read(model, clips) for clips in sets]
    dense = [read(model, clips, dense=True) for clips in sets]
    right, right_dense = (
        np.concatenate([each.right for each in readings]) for readings in (sparse, dense)
    )
    ratio, low, high = ratio_interval(right, right_dense)
    row: dict[str, Any] = {
        "style": style,
        "clips": len(right),
        "sparse": float(right.mean()),
        "dense": float(right_dense.mean()),
        "dense, lowest seed": min(each.accuracy for each in dense),
        "kept": ratio,
        "95% from": low,
        "to": high,
        "tokens": float(np.mean([each.n_active.mean() for each in sparse])),
        "MACs saved": float(np.mean([run(model, list(chunks(model, c))).saving for c in sets])),
    }
    if model.boxes is not None:
        pairs = [
            (box_precision(s, c), box_precision(d, c))
            for s, d, c in zip(sparse, dense, sets, strict=True)
        ]
        row["mAP50 sparse"], row["mAP50 dense"] = (
            float(np.mean(x)) for x in zip(*pairs, strict=True)
        )
        row["boxes kept"] = row["mAP50 sparse"] / row["mAP50 dense"]
    return row


def tokens_by_motion(
    model: SttfModel, frontend: Frontend, n_subjects: int, n_seeds: int
) -> list[dict[str, Any]]:
    """Tokens a window of every motion, natural style."""
    rows = []
    for motion in MOTIONS:
        seen = [
            read(model, clips_of(frontend, "natural", n_subjects, seed, motion)).n_active
            for seed in range(n_seeds)
        ]
        n_active = np.concatenate(seen)
        rows.append(
            {
                "motion": motion,
                "tokens a window": float(n_active.mean()),
                "P95 after the first": float(np.percentile(n_active[:, 1:], 95)),
                "dense steps a clip": float((n_active == 196).sum(1).mean()),
                "over seeds": _span([float(each.mean()) for each in seen]),
            }
        )
    return rows


def _span(values: list[float]) -> str:
    return f"{min(values):.1f}-{max(values):.1f}"


def engine_drift(model: SttfModel, clips: ClipSet) -> list[dict[str, Any]]:
    """Points of accuracy each engine loses, clip by clip through the model's own step."""
    plain = _named(model, clips, "plain")
    rows = []
    for name in QUANTISED:
        other = _named(model, clips, name)
        known = clips.label
        lost = 100 * float((plain == known).mean() - (other == known).mean())
        rows.append(
            {"engine": name, "points lost": lost, "labels equal": float((plain == other).mean())}
        )
    return rows


def _named(model: SttfModel, clips: ClipSet, engine: str) -> np.ndarray[Any, Any]:
    built = build_named(engine, model.encoder)
    given = []
    for clip in range(len(clips)):
        state, counts = model.init_state(), clips.counts[clip].dense()
        for window in range(clips.n_windows):
            output, state = model.step(
                counts[window],
                None,
                clips.changed[clip, window],
                clips.score[clip, window],
                state,
                engine=built,
            )
        given.append(int(output.probabilities.argmax()))
    return np.array(given)


def figures(model_name: str, n_subjects: int, n_seeds: int) -> dict[str, Any]:
    """All tables by name."""
    torch.set_num_threads(1)
    model, card = load(model_name)
    frontend = Frontend.build(card.detector, window_ms=card.spec.window_ms)
    quality = []
    for style in STYLES:
        sets = [clips_of(frontend, style, n_subjects, seed, "gesture") for seed in range(n_seeds)]
        quality.append(kept(model, sets, style))
    few = max(n_subjects // 4, 1)
    return {
        "machine": machine(["torch"]),
        "quality": quality,
        "tokens": tokens_by_motion(model, frontend, few, n_seeds),
        "engines": engine_drift(model, clips_of(frontend, "hard", n_subjects, 0, "gesture")),
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = figures(options.model, options.subjects, options.seeds)
    console = Console()
    for name, title in (
        ("quality", "Sparse beside dense, same weights"),
        ("tokens", "Tokens computed, of 196"),
        ("engines", "Engines beside the plain encoder"),
    ):
        show(title, found[name], console)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
