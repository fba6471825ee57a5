"""One short run of the whole pipeline with untrained weights, estimated on the usual devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hw_models import EnergyReport
from neurovlm.events.io import Frame
from neurovlm.events.scenes import moving_square
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.pipeline import Pipeline, RunConfig, RunResult
from neurovlm.report import estimate_devices
from neurovlm.sttf.boxes import BoxConfig
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec


@pytest.fixture(scope="session")
def result() -> RunResult:
    torch.manual_seed(0)
    pipeline = Pipeline(
        SttfModel(ModelSpec(boxes=BoxConfig(n_classes=3))).eval(),
        RunConfig(caption_every=4, seed=5),
        DetectorConfig(),
    )
    clip = moving_square(duration_s=0.25, seed=1)
    grey = np.full((128, 128), 90, np.uint8)
    return pipeline.run(clip.stream, frames=[Frame(clip.start_us + 50_000, grey)])


@pytest.fixture(scope="session")
def reports(result: RunResult) -> dict[str, EnergyReport]:
    return estimate_devices(result)
