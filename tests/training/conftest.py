"""Small clips and models for training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.training.data import ClipSet, SparseCounts
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

SMALL = ModelSpec(
    encoder=EncoderConfig(dim=16, depth=1, heads=2),
    head=HeadConfig(channels=2, observed_dim=8, taps=(1,), state_dim=8),
    decoder=DecoderConfig(dim=8, depth=1, heads=2),
)
SLOTS = (
    {"action": "turn", "side": "right", "direction": "clockwise", "speed": "slowly"},
    {"action": "clap", "speed": "quickly"},
)


@pytest.fixture
def build() -> Callable[..., SttfModel]:
    """Untrained small model."""

    def make(seed: int = 0, spec: ModelSpec = SMALL) -> SttfModel:
        torch.manual_seed(seed)
        return SttfModel(spec)

    return make


@pytest.fixture
def clips() -> Callable[..., ClipSet]:
    """Random clips: two classes that differ in which half of the view is busy."""

    def make(n: int = 8, n_windows: int = 6, seed: int = 0, with_frames: bool = False) -> ClipSet:
        rng = np.random.default_rng(seed)
        kind = np.arange(n) % 2
        busy = np.zeros((n, 1, 14, 14), bool)
        busy[kind == 0, :, :, :4] = True
        busy[kind == 1, :, :, 8:12] = True
        changed = (rng.random((n, n_windows, 14, 14)) < 0.3) & busy
        pixels = changed.repeat(9, -2).repeat(9, -1)[:, :, None]
        counts = pixels * rng.integers(0, 4, (n, n_windows, 3, 126, 126))
        frames = rng.integers(0, 256, (n, n_windows // 2, 224, 224, 3), dtype=np.uint8)
        colour = {"colour": "red"}
        return ClipSet(
            counts=tuple(SparseCounts.from_dense(c) for c in counts.astype(np.uint8)),
            changed=changed.reshape(n, n_windows, 196),
            score=(changed * rng.integers(1, 9, changed.shape))
            .reshape(n, n_windows, 196)
            .astype(np.uint8),
            frames=frames if with_frames else None,
            slots=tuple(colour | SLOTS[k] for k in kind),
            label=np.where(kind == 0, 3, 0),
        )

    return make
