"""Sensor size of recordings that do not say it."""

from __future__ import annotations

from collections.abc import Iterable

from neurovlm.events.io.source import Columns, Sensor

COMMON_SENSORS: tuple[Sensor, ...] = (
    (34, 34),  # N-MNIST's crop
    (128, 128),  # DVS128
    (240, 180),  # DAVIS240
    (304, 240),  # ATIS
    (320, 240),  # DVXplorer Lite
    (320, 320),  # GenX320
    (346, 260),  # DAVIS346
    (640, 480),  # Prophesee Gen3, DVXplorer
    (1280, 720),  # Prophesee Gen4
)


def smallest_sensor(parts: Iterable[Columns]) -> tuple[Sensor, str]:
    """Smallest common sensor that holds every event, and a note that says so.

    Where none does, the smallest rectangle that holds every event.
    """
    width, height = 1, 1
    for part in parts:
        if len(part.t):
            width = max(width, int(part.x.max()) + 1)
            height = max(height, int(part.y.max()) + 1)
    common = (s for s in COMMON_SENSORS if width <= s[0] and height <= s[1])
    sensor = next(common, (width, height))
    kind = "common sensor" if sensor in COMMON_SENSORS else "rectangle"
    return sensor, (
        f"no sensor size in the file: assumed {sensor[0]}x{sensor[1]}, the smallest {kind} that "
        "holds every event; --sensor WxH overrides"
    )
