"""``run`` on a video: its frames are shown, its events simulated, and the report says so."""

from __future__ import annotations

import json
import sys

import av
import numpy as np
import pytest


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A quarter of a second of a bright square that moves over a wall."""
    path = tmp_path_factory.mktemp("film") / "square.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for k in range(6):
            image = np.full((144, 192, 3), 60, np.uint8)
            image[60:90, 60 + 6 * k : 84 + 6 * k] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_film_is_run_like_a_recording(call, film, model, tmp_path):
    folder = tmp_path / "out"
    options = ["--model", model, "--json", "--device", "loihi2", "--seed", 3]
    called = call("run", film, "--out", folder, *options)
    assert (called.code, called.err) == (0, "")
    summary = json.loads(called.out)
    assert summary["recording"]["path"] == str(film)
    assert summary["recording"]["sensor"] == [171, 128]
    assert summary["windows"]["n"] == 10
    assert 1 < summary["tokens"]["mean_changed"] < 40, "the square, not the wall"
    report = (folder / "report.html").read_text()
    assert "events are simulated from a video of 192x144 pixels at 20 frames per second" in report
    assert "seed 3" in report, "the camera's seed is that of the run"


def test_a_damaged_film_is_one_line(call, film, model, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(film.read_bytes()[:600])
    called = call("run", path, "--model", model, "--out", tmp_path / "out")
    assert called.code == 3
    assert called.message.startswith(f"{path}: cannot be decoded as video")
    assert not (tmp_path / "out").exists()


def test_without_pyav_the_cure_is_named(call, film, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    called = call("run", film, "--model", model, "--out", tmp_path / "out")
    assert called.code == 4
    assert 'pip install "neurovlm[video]"' in called.message
