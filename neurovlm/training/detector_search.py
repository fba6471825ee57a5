"""Seeded search for constants of the detector that is set by hand.

F stays as it is, because tokens read it: its spikes are computed once per clip and what stands
behind it runs alone. A trial changes one to three constants of the best so far and is kept when its
cost is lower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import nir
import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import GraphError
from neurovlm.events.scenes.film import Clip
from neurovlm.frontend.detect import FILTER, Frontend, read_mask
from neurovlm.frontend.detector import DetectorConfig, change_detector
from neurovlm.spiking.backends.base import get_backend
from neurovlm.spiking.graph import SpikingGraph
from neurovlm.spiking.train import SpikeTrain
from neurovlm.training.detector_scores import MaskScore, score_mask

MAX_RATIO = 1.3
EXCESS_COST = 0.35
"""What one more patch declared per changed one costs above `MAX_RATIO`, in recall."""
RATIO_COST = 0.02
SEARCHED = (
    "detector_tau_ms",
    "detector_weight",
    "detector_threshold",
    "self_weight",
    "relay_tau_ms",
    "relay_weight",
    "ring_weight",
    "hold_weight",
    "readout_tau_ms",
    "readout_in",
    "readout_threshold",
    "cap_tau_ms",
    "cap_in",
    "cap_threshold",
    "cap_weight",
)

Filtered = tuple[SpikeTrain, NDArray[np.bool_], int]
"""Spikes of F, truth, ticks per window."""


def search(
    clips: Sequence[Clip],
    trials: int,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
    start: DetectorConfig | None = None,
) -> tuple[DetectorConfig, dict[str, float]]:
    """Best constants found and what they reach: cost, recall and ratio over all clips."""
    rng = np.random.default_rng([seed, 7])
    filtered = [behind_filter(clip) for clip in clips]
    best = DetectorConfig() if start is None else start
    cost, total = rate(best, filtered)
    for trial in range(trials):
        other = vary(best, rng)
        try:
            new_cost, new_total = rate(other, filtered)
        except GraphError:
            continue  # a current that could wrap
        if new_cost < cost:
            best, cost, total = other, new_cost, new_total
            tell(f"trial {trial}: cost {cost:.4f}, recall {total.recall:.3f}, {total.ratio:.2f}")
    return best, {"cost": cost, "recall": total.recall, "ratio": total.ratio}


def behind_filter(clip: Clip) -> Filtered:
    """What the rest of the detector needs of a clip."""
    spikes = Frontend.build().run(clip.stream).trace.spikes[FILTER]
    return spikes, clip.truth, clip.window_us // 1000


def rate(config: DetectorConfig, clips: Sequence[Filtered]) -> tuple[float, MaskScore]:
    """Mean over clips of what is missed plus what is declared too much; and the score of all."""
    graph = _without_filter(config)
    backend = get_backend("fast")
    costs, total = [], MaskScore()
    for spikes, truth, window_ticks in clips:
        changed, _ = read_mask(backend.run(graph, spikes).out, window_ticks)
        score = score_mask(changed, truth)
        excess = max(score.ratio - MAX_RATIO, 0.0)
        costs.append(1 - score.recall + EXCESS_COST * excess + RATIO_COST * score.ratio)
        total += score
    return float(np.mean(costs)), total


def vary(config: DetectorConfig, rng: np.random.Generator) -> DetectorConfig:
    """One to three constants changed by some tens of percent.

    H may feed D with at most half of what makes D fire, or a change would hold itself for ever.
    """
    changes: dict[str, float | int] = {}
    for name in rng.choice(SEARCHED, rng.integers(1, 4), replace=False).tolist():
        value = getattr(config, name) * float(np.exp(rng.normal(0.0, 0.5)))
        if name.endswith("_tau_ms"):
            changes[name] = float(np.clip(round(value, 1), 1.0, 60.0))
        else:
            top = 131_071 if name.endswith("threshold") else 255
            changes[name] = int(np.clip(round(value + rng.integers(-2, 3)), 1, top))
    changed: DetectorConfig = replace(config, **changes)  # type: ignore[arg-type]
    most = int(0.5 * changed.detector_threshold / changed.detector_tau_ms)
    return replace(changed, hold_weight=min(changed.hold_weight, most))


def _without_filter(config: DetectorConfig) -> SpikingGraph:
    """The detector fed with the spikes of F."""
    whole = change_detector(config)
    gone = ("input", "input_F", FILTER)
    nodes = {name: node for name, node in whole.nir.nodes.items() if name not in gone}
    nodes["input"] = nir.Input({"input": np.array(whole.network.population(FILTER).shape)})
    edges = [(("input" if a == FILTER else a), b) for a, b in whole.nir.edges if b not in gone[1:]]
    return SpikingGraph(nir.NIRGraph(nodes, edges), whole.dynamics, "behind-filter")
