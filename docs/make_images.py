"""Draw the pictures of the README: ``python docs/make_images.py``.

``overview.png`` and ``devices.png`` show the demo; ``traffic.png`` a real recording of the folder
that NEUROVLM_DATA names (static camera over a street, DAVIS346, from the ``aedat`` package, MIT).
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import neurovlm as nv
from neurovlm import viz
from neurovlm.events.io import Frame
from neurovlm.events.scenes import demo_clip
from neurovlm.report import estimate_devices
from neurovlm.report.pictures import to_png

IMAGES = Path(__file__).resolve().parent / "images"
COLOURS = 256  # enough for these pictures, and a third of the bytes


def save(name: str, drawn: Figure | Axes) -> None:
    """Write a picture with a palette."""
    image = Image.open(io.BytesIO(to_png(drawn))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


def main() -> None:
    """Draw all of them."""
    torch.set_num_threads(1)
    IMAGES.mkdir(exist_ok=True)
    pipe = nv.Pipeline.load("sttf-tiny")
    clip = demo_clip()
    assert clip.frames is not None
    frames = (Frame(int(t), rgb) for t, rgb in zip(clip.frame_t_us, clip.frames, strict=True))
    demo = pipe.run(clip.stream, frames=frames)
    save("overview.png", viz.overview(demo))
    save("devices.png", viz.devices(estimate_devices(demo)))
    if folder := os.environ.get("NEUROVLM_DATA"):
        traffic = Path(folder) / "events_recordings/davis346_traffic/davis346.aedat4"
        save("traffic.png", viz.masks(pipe.run(nv.open_recording(traffic)), 3))


if __name__ == "__main__":
    main()
