"""Fast steps of the encoder on a CPU: packed weights, stacked segments, eight-bit products."""

from neurovlm.sttf.engine.engine import Engine, Run
from neurovlm.sttf.engine.pieces import Segment

__all__ = ["Engine", "Run", "Segment"]
