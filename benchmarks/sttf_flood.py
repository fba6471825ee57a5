"""What an adversarial flood of events can make a step cost.

    python -m benchmarks.sttf_flood [--seconds 4] [--json FILE]

The stream changes every patch in every window with a score drawn anew, which is the most that any
events can do to the policy. Cost is encoder MACs; the cap is what ``max_active`` tokens cost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.common import show
from neurovlm.core.ops import total_macs
from neurovlm.zoo.counts import count_step
from neurovlm.zoo.load import load
from neurovlm.zoo.model import SttfModel

TARGET = 1.2


def flood_costs(model: SttfModel, n_windows: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Encoder MACs of each window after the first."""
    rng = np.random.default_rng(seed)
    spec, state = model.spec, model.init_state()
    pixels, n = spec.encoder.grid.pixels, spec.encoder.grid.n_patches
    macs = []
    for _ in range(n_windows):
        counts = rng.integers(0, 25, (spec.encoder.channels, pixels, pixels)).astype(np.uint8)
        score = rng.integers(1, 25, n)
        output, state = model.step(counts, None, np.ones(n, bool), score, state)
        cost = count_step(spec, len(output.active), dense=output.dense, n_rows=output.n_rows)
        macs.append(total_macs(cost, "encoder"))
    return np.array(macs[1:], float)


def rows(model: SttfModel, n_windows: int) -> list[dict[str, Any]]:
    """As shipped, without dense steps on cuts, and with a quota of them."""
    table = []
    for name, interval in (("no dense step (as shipped)", None), ("one dense step a second", 40)):
        policy = dataclasses.replace(model.spec.policy, cut_interval=interval)
        flooded = SttfModel(dataclasses.replace(model.spec, policy=policy))
        flooded.load_state_dict(model.state_dict())
        costs = flood_costs(flooded.eval(), n_windows)
        full = [policy.max_active] * model.spec.encoder.depth
        cap = total_macs(count_step(model.spec, policy.max_active, n_rows=full), "encoder")
        second = np.convolve(costs, np.ones(40) / 40, mode="valid")
        table.append(
            {
                "policy": name,
                "worst step / cap": float(costs.max() / cap),
                "worst second / cap": float(second.max() / cap),
                "mean / cap": float(costs.mean() / cap),
                "dense steps": int((costs > 1.5 * cap).sum()),
                "windows": len(costs),
            }
        )
    return table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model, _ = load(options.model)
    table = rows(model, round(1000 * options.seconds / model.spec.window_ms))
    show(f"Flood: every patch changes in every window (target {TARGET} x cap)", table, Console())
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
