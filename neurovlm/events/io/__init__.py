"""Read event-camera recordings of ten formats in bounded memory."""

from neurovlm.events.io.frames import Frame
from neurovlm.events.io.recording import Recording, open_recording, read

__all__ = ["Frame", "Recording", "open_recording", "read"]
