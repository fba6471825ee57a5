"""Events in; spikes, tokens, labels, captions and operation counts out."""

from neurovlm.pipeline.config import RunConfig, load_config, make_config
from neurovlm.pipeline.pipeline import Pipeline, StepResult
from neurovlm.pipeline.result import Prediction, RecordingInfo, RunResult, Snapshot
from neurovlm.pipeline.state import PipelineState

__all__ = [
    "Pipeline",
    "PipelineState",
    "Prediction",
    "RecordingInfo",
    "RunConfig",
    "RunResult",
    "Snapshot",
    "StepResult",
    "load_config",
    "make_config",
]
