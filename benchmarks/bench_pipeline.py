"""Whole pipeline: MACs and time of sparse against dense, real time, peak memory.

    python -m benchmarks.bench_pipeline [--json FILE] [--rounds 30]

Correctness comes first: a sparse step with every token active must equal the dense step. Dense
and sparse are timed in turn within one run, one thread, medians. Peak memory is that of the
command ``neurovlm run`` on each recording under NEUROVLM_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.common import in_turn, show
from neurovlm.core.ops import total_macs
from neurovlm.counting.ledger import Ledger
from neurovlm.events.scenes import TEST_SEEDS, render_clip, subject_from_seed
from neurovlm.pipeline import Pipeline
from neurovlm.sttf.block import Rows
from neurovlm.zoo.counts import count_step
from neurovlm.zoo.model import SttfModel

RECORDINGS = ("*.aedat", "*.aedat4", "*.es", "*.raw", "*.bs2", "*.dat")
ACTIVE = (8, 16, 31, 64, 98)


def tokens(model: SttfModel, rounds: int) -> list[dict[str, Any]]:
    """MAC and time ratios of the encoder at k active tokens."""
    n = model.spec.encoder.grid.n_patches
    rng = np.random.default_rng(0)
    counts = torch.tensor(rng.poisson(0.3, (1, 3, 126, 126)), dtype=torch.uint8)
    every = torch.arange(n)[None]
    encoder = model.encoder
    with torch.no_grad():
        inputs = (counts, None)
        memory = encoder.dense(inputs)
        full, _ = encoder.step(inputs, Rows(every, None), memory)
        error = (full.tokens - memory.tokens).abs().max() / memory.tokens.abs().max()
        assert error <= 1e-5, f"all active differs from dense by {error:.1e}"
        rows = []
        for k in ACTIVE:
            active = Rows(torch.tensor(np.sort(rng.choice(n, k, replace=False)))[None], None)
            with Ledger(model) as sparse_macs:
                encoder.step(inputs, active, memory)
            with Ledger(model) as dense_macs:
                encoder.dense(inputs)
            closed = total_macs(count_step(model.spec, k), "encoder")
            assert sparse_macs.total == closed, (sparse_macs.total, closed)
            times = in_turn(
                {
                    "dense": partial(encoder.dense, inputs),
                    "sparse": partial(encoder.step, inputs, active, memory),
                },
                rounds,
            )
            rows.append(
                {
                    "active": k,
                    "mac_ratio": dense_macs.total / sparse_macs.total,
                    "time_ratio": times["dense"] / times["sparse"],
                    "dense_ms": times["dense"] * 1e3,
                    "sparse_ms": times["sparse"] * 1e3,
                }
            )
    return rows


def real_time(pipeline: Pipeline) -> dict[str, float]:
    """A 2 s, 128 x 128 recording through the whole pipeline, and its dense twin."""
    clip = render_clip(3, subject_from_seed(TEST_SEEDS[0]), duration_s=2.0, seed=0)
    runs = {
        "sttf": lambda: pipeline.run(clip.stream),
        "dense": lambda: pipeline.run(clip.stream, dense=True),
    }
    pipeline.run(clip.stream.between(0, 200_000))  # compile
    times = in_turn(runs, 3)
    result = pipeline.run(clip.stream)
    duration_s = result.recording.duration_s
    return {
        "events": result.recording.n_events,
        "duration_s": duration_s,
        "sttf_s": times["sttf"],
        "dense_s": times["dense"],
        "real_time_factor": duration_s / times["sttf"],
        "mean_active": float(result.active.sum(axis=1).mean()),
        "mac_ratio": result.mac_ratio,
    }


def recordings(folder: Path) -> list[dict[str, Any]]:
    """``neurovlm run`` on every recording, and on one member of every zip of recordings."""
    found = sorted({path for pattern in RECORDINGS for path in folder.rglob(pattern)})
    rows = [
        {"path": str(path.relative_to(folder)), **command(["run", str(path)])} for path in found
    ]
    for archive in sorted(folder.rglob("*.zip")):
        with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as members:
            first = next(name for name in members.namelist() if name.endswith((".bs2", ".csv")))
            path = members.extract(first, scratch)
            rows.append({"path": f"{archive.name}/{first}", **command(["run", path])})
    return rows


def command(arguments: list[str]) -> dict[str, Any]:
    """Run the command line in a child; wall seconds, peak MiB, and what ``--json`` printed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        log = Path(scratch) / "stdout"
        start = time.perf_counter()
        with log.open("wb") as stdout:
            child = subprocess.Popen(
                [sys.executable, "-m", "neurovlm", *arguments, "--out", str(out), "--json"],
                stdout=stdout,
            )
            _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        assert os.waitstatus_to_exitcode(status) == 0, f"{arguments} failed"
        summary = json.loads(log.read_text())
    return {
        "wall_s": wall,
        "peak_mib": usage.ru_maxrss / 1024,
        "duration_s": summary["recording"]["duration_s"],
        "n_events": summary["recording"]["n_events"],
        "mean_changed": summary["tokens"]["mean_changed"],
        "mean_active": summary["tokens"]["mean_active"],
        "mac_ratio": summary["macs"]["ratio"],
        "last": summary["predictions"][-1]["caption"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--model", default="sttf-tiny")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=150)
    pipeline = Pipeline.load(options.model)
    figures: dict[str, Any] = {"encoder": tokens(pipeline.model, options.rounds)}
    show("Encoder, k active of 196 tokens, one thread", figures["encoder"], console)
    figures["real_time"] = real_time(pipeline)
    show("2 s, 128 x 128, events to captions, one thread", [figures["real_time"]], console)
    figures["demo"] = command(["demo"])
    show("neurovlm demo, a process of its own", [figures["demo"]], console)
    folder = os.environ.get("NEUROVLM_DATA")
    if folder:
        figures["recordings"] = recordings(Path(folder))
        show("neurovlm run, a process each", figures["recordings"], console)
    else:
        console.print("NEUROVLM_DATA is not set: no real recordings")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
