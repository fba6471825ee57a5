"""A small untrained model behind the real front end, and short procedural streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neurovlm.events.scenes import moving_square
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.language.decoder import DecoderConfig
from neurovlm.pipeline import Pipeline, RunConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.policy import PolicyConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

SMALL = ModelSpec(
    name="small",
    encoder=EncoderConfig(dim=16, depth=2, heads=2),
    policy=PolicyConfig(max_active=24, n_refresh=4),
    head=HeadConfig(channels=4, observed_dim=8, taps=(1, 3), state_dim=8),
    decoder=DecoderConfig(dim=8, depth=1, heads=2, max_words=6),
)
DETECTOR = DetectorConfig(detector_threshold=90)  # not the default, so that a mix-up shows


@pytest.fixture(scope="session")
def build() -> Callable[..., SttfModel]:
    """Model with random weights, large enough that every window moves the probabilities."""

    def make(spec: ModelSpec = SMALL) -> SttfModel:
        torch.manual_seed(0)
        model = SttfModel(spec).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture(scope="session")
def pipeline(build: Callable[..., SttfModel]) -> Pipeline:
    return Pipeline(build(), RunConfig(caption_every=4), DETECTOR)


@pytest.fixture(scope="session")
def model_path(build: Callable[..., SttfModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of `pipeline` on disk, with its detector."""
    return save(build(), ModelCard(SMALL, DETECTOR, 0), tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def stream() -> EventStream:
    """Ten windows of a moving square with sensor noise."""
    return moving_square(duration_s=0.25, noise_hz=1.0, seed=1).stream


@pytest.fixture(scope="session")
def paused(stream: EventStream) -> EventStream:
    """Four windows of motion, eight of nothing, six of motion."""
    cut = int(stream.t[0]) + 100_000
    early, late = stream.between(0, cut), stream.between(cut, int(stream.t[-1]) + 1)
    moved = EventStream(late.t + np.int64(200_000), late.x, late.y, late.p, late.sensor)
    return EventStream.join([early, moved])
