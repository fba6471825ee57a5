"""What the STTF benchmarks share: a model over clips, what it named, computed and spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovlm.core.ops import total_macs
from neurovlm.sttf.counts import encoder_counts
from neurovlm.sttf.uncertainty import drift
from neurovlm.training.batch import Batch
from neurovlm.training.thresholds import Seen, watch
from neurovlm.zoo.model import SttfModel

FIRST_WINDOW = 16
"""Labels of the any-time accuracy count from here on: 0.4 s."""
RESAMPLES = 10_000


@dataclass(frozen=True, eq=False)
class Outcome:
    """One model over n clips of T windows.

    Attributes
    ----------
    right
        bool ``(n,)``, label right after the last window.
    any_time
        ``(n,)``, share of the windows from `FIRST_WINDOW` on in which the label is right.
    tokens
        ``(n, T)``, patches computed, the first dense step included.
    macs
        Encoder MACs a window, gates and policy included; mean over all windows and clips.
    dense_macs
        The same if all tokens were computed in every window.
    drift
        Mean drift of the remembered tokens in the last window, see
        `neurovlm.sttf.uncertainty.drift`.
    """

    right: NDArray[np.bool_]
    any_time: NDArray[np.float64]
    tokens: NDArray[np.float64]
    macs: float
    dense_macs: float
    drift: float

    @property
    def saving(self) -> float:
        """Dense MACs over executed ones."""
        return self.dense_macs / self.macs


@torch.no_grad()
def run(model: SttfModel, batches: Sequence[Batch], budget: float | None = None) -> Outcome:
    """Run ``model`` over clips side by side."""
    seen = [watch(model, batch, budget) for batch in batches]
    label = [batch.label for batch in batches]
    given = [
        each.logits.argmax(-1) == truth[:, None] for each, truth in zip(seen, label, strict=True)
    ]
    hits = torch.cat(given).numpy()
    depth = model.spec.encoder.depth
    tokens = torch.cat([each.active for each in seen]).double().numpy() / depth
    return Outcome(
        right=hits[:, -1],
        any_time=hits[:, FIRST_WINDOW:].mean(1),
        tokens=tokens,
        macs=_macs(model, seen) / tokens.size,
        dense_macs=float(total_macs(encoder_counts(model.spec.encoder, 0, dense=True))),
        drift=float(
            torch.cat([_drift(model, *pair) for pair in zip(seen, batches, strict=True)]).mean()
        ),
    )


def _drift(model: SttfModel, seen: Seen, batch: Batch) -> Tensor:
    last = batch.counts.shape[1] - 1
    whole = model.encoder.dense((batch.counts[:, last], batch.frame(last)))
    return drift(seen.state.memory, whole)


def _macs(model: SttfModel, seen: Sequence[Seen]) -> float:
    """Encoder MACs of all windows: closed forms are linear in tokens and rows, so sums will do."""
    config = dataclasses.replace(model.spec.encoder)
    n = config.grid.n_patches
    depth = config.depth
    n_dense = sum(int((each.active == n * depth).sum()) for each in seen)
    dense = total_macs(encoder_counts(config, 0, dense=True))
    sparse = [each.active != n * depth for each in seen]
    active = sum(int(each.active[mask].sum()) for each, mask in zip(seen, sparse, strict=True))
    rows = sum(float(each.rows[mask].sum()) for each, mask in zip(seen, sparse, strict=True))
    one_row = total_macs(encoder_counts(config, 1, n_rows=[1] * depth))
    no_row = total_macs(encoder_counts(config, 1, n_rows=[0] * depth))
    per_row = (one_row - no_row) / depth
    return n_dense * dense + active / depth * no_row + rows * per_row


def ratio_interval(
    sparse: NDArray[Any], dense: NDArray[Any], seed: int = 0
) -> tuple[float, float, float]:
    """Mean of ``sparse`` over mean of ``dense``, with its paired 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(sparse), size=(RESAMPLES, len(sparse)))
    ratios = sparse[chosen].mean(1) / dense[chosen].mean(1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(sparse.mean() / dense.mean()), float(low), float(high)


def difference_interval(
    ours: NDArray[Any], theirs: NDArray[Any], seed: int = 0
) -> tuple[float, float, float]:
    """Mean of ``ours - theirs`` with its paired 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    difference = ours.astype(np.float64) - theirs
    chosen = rng.integers(len(difference), size=(RESAMPLES, len(difference)))
    low, high = np.quantile(difference[chosen].mean(1), (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)
