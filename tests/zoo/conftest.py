"""A small untrained model and random windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

SMALL = ModelSpec(
    encoder=EncoderConfig(dim=16, depth=2, heads=2, grid_side=7, patch=3),
    policy=PolicyConfig(max_active=12, n_refresh=3),
    head=HeadConfig(channels=4, observed_dim=8, taps=(1, 2), state_dim=8),
    decoder=DecoderConfig(dim=8, depth=2, heads=2, max_words=8),
)


@pytest.fixture
def build() -> Callable[..., SttfModel]:
    """Model with random weights."""

    def make(spec: ModelSpec = SMALL) -> SttfModel:
        torch.manual_seed(0)
        model = SttfModel(spec).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def windows() -> Callable[..., list[tuple]]:
    """``n`` windows of (counts, frame, changed, score)."""

    def make(n: int, seed: int = 0, share: float = 0.1, with_frames: bool = False) -> list[tuple]:
        rng = np.random.default_rng(seed)
        made = []
        for _ in range(n):
            changed = rng.random(49) < share
            frame = rng.integers(0, 256, (112, 112, 3), dtype=np.uint8) if with_frames else None
            counts = rng.integers(0, 4, (3, 21, 21), dtype=np.uint8)
            made.append((counts, frame, changed, changed * rng.integers(1, 20, 49)))
        return made

    return make
