"""What each part of STTF is worth: the same weights with parts taken away or added.

    python -m benchmarks.sttf_ablations [--seeds 3] [--subjects 10] [--json FILE]

Every variant is a changed config of the same trained weights, run on the same clips of subjects
never seen; a seed is another performance of theirs with other noise. "drift" is the mean squared
distance of the remembered tokens to those of a dense step in the last window, in units of a
token's mean energy. The weights were trained with keys and values remembered and with a rolling
refresh, so variants without them are not given the chance to adapt.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.common import machine, show
from benchmarks.sttf_clips import MASKS, batches_of_subjects
from benchmarks.sttf_runs import Outcome, ratio_interval, run
from neurovlm.events.scenes import TEST_SEEDS
from neurovlm.training.batch import Batch
from neurovlm.zoo.load import load
from neurovlm.zoo.model import SttfModel, with_spec
from neurovlm.zoo.spec import ModelSpec

FIRST_TEST = 6000
"""Test subjects from here on, which nothing else was scored on."""
NO_REFRESH = {"n_refresh": 0, "idle_refresh": 0}

Change = dict[str, dict[str, Any]]


def ladder(n_patches: int) -> dict[str, Change]:
    """Parts added one after the other, then variants of the whole; fields of the spec."""
    everything = {"max_active": n_patches, **NO_REFRESH, "fixed": True}
    plain: Change = {"encoder": {"gate_tau": None}, "policy": {}}
    return {
        "dense": {**plain, "policy": everything},
        "active tokens only": {
            "encoder": {"gate_tau": None, "remember": "nothing"},
            "policy": NO_REFRESH,
        },
        "+ token memory": {
            "encoder": {"gate_tau": None, "remember": "tokens"},
            "policy": NO_REFRESH,
        },
        "+ keys and values": {**plain, "policy": NO_REFRESH},
        "+ rolling refresh (STTF)": plain,
        "STTF, refresh 2": {**plain, "policy": {"n_refresh": 2}},
        "STTF, refresh 8": {**plain, "policy": {"n_refresh": 8}},
        "STTF, refresh 16": {**plain, "policy": {"n_refresh": 16}},
        "STTF, mask dilated by 1": {**plain, "policy": {"dilate": 1}},
        "STTF, mask held for 2": {**plain, "policy": {"hold": 2}},
        "STTF, always the whole cap": {**plain, "policy": {"fixed": True}},
        "STTF, gates 0.1": {"encoder": {"gate_tau": 0.1}},
        "STTF, gates 0.3": {"encoder": {"gate_tau": 0.3}},
        "STTF, gates 0.5": {"encoder": {"gate_tau": 0.5}},
        "STTF, gates 0.3, gated merge": {"encoder": {"gate_tau": 0.3, "merge": True}},
        "STTF, attention by age": {"encoder": {"gate_tau": None, "key_bias": True}},
    }


def changed(model: SttfModel, change: Change) -> SttfModel:
    """The same weights under a changed spec; parts without weights start as they are built."""
    parts = {
        name: dataclasses.replace(getattr(model.spec, name), **fields)
        for name, fields in change.items()
    }
    spec: ModelSpec = dataclasses.replace(model.spec, thresholds=None, **parts)
    return with_spec(model, spec)


def table(
    model: SttfModel, clips: Callable[[str, int], list[Batch]], n_seeds: int
) -> list[dict[str, Any]]:
    """One row per variant and per source of the mask.

    ``clips(mask, seed)`` gives the test clips as seen with that mask.
    """
    spiking = [clips("hand", seed) for seed in range(n_seeds)]
    variants = ladder(model.spec.encoder.grid.n_patches)
    dense = [run(changed(model, variants["dense"]), batches) for batches in spiking]
    rows = []
    for name, change in variants.items():
        variant = changed(model, change)
        rows.append(row(name, [run(variant, batches) for batches in spiking], dense))
    sttf = changed(model, variants["+ rolling refresh (STTF)"])
    for mask in MASKS[1:]:
        outcomes = [run(sttf, clips(mask, seed)) for seed in range(n_seeds)]
        rows.append(row(f"STTF, mask: {mask}", outcomes, dense))
    return rows


def row(name: str, outcomes: Sequence[Outcome], dense: Sequence[Outcome]) -> dict[str, Any]:
    """Mean over seeds, spread between them, retention with its interval."""
    right = np.concatenate([each.right for each in outcomes])
    kept, low, high = ratio_interval(right, np.concatenate([each.right for each in dense]))
    accuracy = [each.right.mean() for each in outcomes]
    return {
        "variant": name,
        "accuracy %": round(100 * float(np.mean(accuracy)), 1),
        "over seeds": f"{100 * min(accuracy):.1f}-{100 * max(accuracy):.1f}",
        "any-time %": round(100 * float(np.mean([o.any_time.mean() for o in outcomes])), 1),
        "kept": f"{kept:.3f} ({low:.3f}-{high:.3f})",
        "drift": float(np.mean([each.drift for each in outcomes])),
        "tokens": float(np.mean([each.tokens.mean() for each in outcomes])),
        "MACs saved": float(np.mean([each.saving for each in outcomes])),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, card = load(options.model)
    subjects = TEST_SEEDS[FIRST_TEST : FIRST_TEST + options.subjects]

    def clips(mask: str, seed: int) -> list[Batch]:
        return batches_of_subjects(model, card.detector, subjects, repetition=seed, mask=mask)

    rows = table(model, clips, options.seeds)
    show("Parts of STTF, same weights, subjects never seen", rows, Console())
    if options.json:
        found = {"machine": machine(["torch"]), "rows": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
