"""Fast steps of the encoder on a CPU: packed weights, stacked segments, eight-bit products."""

from neurovlm.sttf.engine.engine import ENGINES, Engine, Run, build_named
from neurovlm.sttf.engine.pieces import Segment

__all__ = ["ENGINES", "Engine", "Run", "Segment", "build_named"]
