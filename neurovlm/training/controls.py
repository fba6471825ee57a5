"""Controls: what a label can be guessed from without watching the order of things.

Scenes are honest only if these do badly; their limits stand beside every score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.optional import require
from neurovlm.training.data import ClipSet

COUNT_LIMIT = 0.40
"""Linear classifier on event counts must stay below this."""
IMAGE_LIMIT = 0.70
"""Linear classifier on the time-summed event image must stay below this."""
SHUFFLE_LIMIT = 0.70
"""The model itself on shuffled windows must stay below this."""

POOL = 3  # pixels; 126 x 126 -> 42 x 42 keeps the hand's shape and makes the fit well-posed
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)


def count_features(clips: ClipSet) -> NDArray[np.float64]:
    """Log event counts ``(n, 2 T + 2)``: OFF and ON in each window and in the whole clip."""
    rows = []
    for clip in clips.counts:
        counts = clip.dense()[:, :2].sum(axis=(2, 3), dtype=np.int64)  # (T, 2)
        rows.append(np.concatenate([counts.ravel(), counts.sum(axis=0)]))
    return np.log1p(np.stack(rows))


def image_features(clips: ClipSet) -> NDArray[np.float64]:
    """Log of the time-summed OFF and ON images, pooled to 42 x 42, ``(n, 2 * 42 * 42)``."""
    rows = []
    for clip in clips.counts:
        images = clip.dense()[:, :2].sum(axis=0, dtype=np.int64)
        side = images.shape[-1] // POOL
        rows.append(images.reshape(2, side, POOL, side, POOL).sum(axis=(2, 4)).ravel())
    return np.log1p(np.stack(rows))


@dataclass(frozen=True, eq=False)
class LinearControl:
    """Multinomial logistic regressions on standardised features, one per strength."""

    classifiers: tuple[Any, ...]

    @classmethod
    def fit(cls, features: NDArray[np.float64], label: NDArray[np.int64]) -> LinearControl:
        """Fit all strengths on training clips."""
        models = require("sklearn.linear_model", "the linear control")
        scaling = require("sklearn.preprocessing", "the linear control")
        pipelines = require("sklearn.pipeline", "the linear control")
        return cls(
            tuple(
                pipelines.make_pipeline(
                    scaling.StandardScaler(),
                    models.LogisticRegression(C=strength, max_iter=300, tol=1e-3),
                ).fit(features, label)
                for strength in STRENGTHS
            )
        )

    def accuracy(self, features: NDArray[np.float64], label: NDArray[np.int64]) -> float:
        """Accuracy of the strength that suits these clips best: a control may not be weak."""
        return float(max(model.score(features, label) for model in self.classifiers))
