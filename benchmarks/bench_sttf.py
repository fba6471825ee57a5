"""All of STTF's targets in one table; each part is a benchmark of its own.

    python -m benchmarks.bench_sttf [--parts quality,speed,flood] [--json FILE]

Parts are run one after the other in processes of their own, so that each is timed and seeded as if
it ran alone. ``nmnist``, ``objects`` and ``real`` need NEUROVLM_DATA; DVS128 Gesture cannot be
downloaded by a program and is scored by ``neurovlm evaluate`` where it is present.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import show

Row = tuple[str, str, Any, bool | None]
"""Quantity, target, what was reached, whether that meets it."""


def quality(found: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for row in found["quality"]:
        style = f"{row['style']} scenes"
        rows += [
            (f"{style}: dense accuracy", "at least 95%", row["dense"], row["dense"] >= 0.95),
            (f"{style}: sparse / dense", "at least 0.99", row["kept"], row["kept"] >= 0.99),
            (
                f"{style}: encoder MACs saved",
                "at least 6.0",
                row["MACs saved"],
                row["MACs saved"] >= 6,
            ),
        ]
        if "boxes kept" in row:
            kept = row["boxes kept"]
            rows.append((f"{style}: mAP50 sparse / dense", "at least 0.97", kept, kept >= 0.97))
        else:
            rows.append((f"{style}: mAP50 sparse / dense", "at least 0.97", "no box head", None))
    tokens = {row["motion"]: row["tokens a window"] for row in found["tokens"]}
    rows += [
        ("tokens, moderate motion", "at most 31", tokens["gesture"], tokens["gesture"] <= 31),
        ("tokens, static", "at most 6", tokens["static"], tokens["static"] <= 6),
    ]
    lost = max(row["points lost"] for row in found["engines"])
    return [*rows, ("points lost by the worst engine", "at most 0.5", lost, lost <= 0.5)]


def speed(found: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for name, reached in found["reached"].items():
        rows.append(
            (f"engines: {name}", f"{found['target'][name]}", "see bench_engines", bool(reached))
        )
    return rows


def flood(found: list[dict[str, Any]]) -> list[Row]:
    return [
        (
            f"flood, {row['policy']}: worst step / cap",
            "at most 1.2",
            row["worst step / cap"],
            row["worst step / cap"] <= 1.2,
        )
        for row in found
    ] + [
        (
            f"flood, {row['policy']}: worst second / cap",
            "at most 1.2",
            row["worst second / cap"],
            row["worst second / cap"] <= 1.2,
        )
        for row in found
    ]


def policy(found: dict[str, Any]) -> list[Row]:
    budgets = sorted({row["budget"] for row in found["rows"]})
    rows: list[Row] = []
    for budget in budgets:
        gains = [row["gain"] for row in found["rows"] if row["budget"] == budget]
        mean = 100 * sum(gains) / len(gains)
        rows.append((f"policy over fixed, budget {budget}", "above 0 points", mean, mean > 0))
    return rows


def folds(name: str, dense: float | None, sparse: float | None) -> Callable[[Any], list[Row]]:
    """Rows of a cross-validation with its own targets."""

    def rows(found: dict[str, Any]) -> list[Row]:
        table: list[Row] = []
        for which, key, target in (("dense", "dense_%", dense), ("STTF", "sttf_%", sparse)):
            value = found[key]["mean"] / 100
            if target is not None:
                table.append((f"{name}: {which}", f"at least {target:.0%}", value, value >= target))
        kept = found["retention_%"]["value"] / 100
        return [*table, (f"{name}: STTF / dense", "at least 0.97", kept, kept >= 0.97)]

    return rows


PARTS: dict[str, tuple[list[str], Callable[[Any], list[Row]]]] = {
    "quality": (["benchmarks.sttf_quality"], quality),
    "speed": (["benchmarks.bench_engines"], speed),
    "flood": (["benchmarks.sttf_flood"], flood),
    "policy": (["benchmarks.sttf_policy"], policy),
    "nmnist": (["benchmarks.sttf_nmnist"], folds("N-MNIST", 0.93, 0.92)),
    "objects": (["benchmarks.sttf_objects"], folds("objects", None, None)),
}
PRINTS_JSON = ("nmnist", "objects")
NEEDS_DATA = ("nmnist", "objects")


def found_by(part: str) -> Any:
    """Run a part and read its figures."""
    command = [sys.executable, "-m", *PARTS[part][0]]
    if part in PRINTS_JSON:
        done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        subprocess.run([*command, "--json", str(file)], check=True)
        return json.loads(file.read_text())


def main() -> None:
    """Run the parts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    parts = options.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; known are {', '.join(PARTS)}")
    rows: list[Row] = []
    for part in parts:
        if part in NEEDS_DATA and "NEUROVLM_DATA" not in os.environ:
            rows.append((part, "", "NEUROVLM_DATA is not set", None))
            continue
        rows += PARTS[part][1](found_by(part))
    table = [
        {
            "quantity": q,
            "target": t,
            "reached": r,
            "met": {None: "-", True: "yes", False: "no"}[met],
        }
        for q, t, r, met in rows
    ]
    show("STTF", table, Console(width=110))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
