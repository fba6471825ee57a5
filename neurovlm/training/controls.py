"""Controls: what a label can be guessed from without watching the order of things.

Scenes are honest only if these do badly; their limits stand beside every score.
"""

from __future__ import annotations

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
    counts = clips.counts[:, :, :2].sum(axis=(3, 4), dtype=np.int64)  # (n, T, 2)
    total = counts.sum(axis=1)
    return np.log1p(np.concatenate([counts.reshape(len(clips), -1), total], axis=1))


def image_features(clips: ClipSet) -> NDArray[np.float64]:
    """Log of the time-summed OFF and ON images, pooled to 42 x 42, ``(n, 2 * 42 * 42)``."""
    n, _, _, height, width = clips.counts.shape
    images = np.stack([clip[:, :2].sum(axis=0, dtype=np.int64) for clip in clips.counts])
    pooled = images.reshape(n, 2, height // POOL, POOL, width // POOL, POOL).sum(axis=(3, 5))
    return np.log1p(pooled.reshape(n, -1))


def linear_accuracy(
    train: tuple[NDArray[np.float64], NDArray[np.int64]],
    test: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> float:
    """Test accuracy of multinomial logistic regression, the best over `STRENGTHS`.

    The regularisation that suits the test set best is taken: a control may not be weak.
    """
    linear_model = require("sklearn.linear_model", "the linear control")
    mean, spread = train[0].mean(axis=0), train[0].std(axis=0) + 1e-6
    x, x_test = (train[0] - mean) / spread, (test[0] - mean) / spread
    scores = []
    for strength in STRENGTHS:
        classifier = linear_model.LogisticRegression(C=strength, max_iter=200, tol=1e-3)
        scores.append(classifier.fit(x, train[1]).score(x_test, test[1]))
    return float(max(scores))
