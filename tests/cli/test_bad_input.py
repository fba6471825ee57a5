"""Every bad recording: exit code 3, one line with file and reason, nothing left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurovlm.events.stream import EventStream

HEADER = "t,x,y,p\n"
ROWS = "".join(f"{1000 * k},{k % 60 + 30},{k % 40 + 40},{k % 2}\n" for k in range(60))


def csv(name: str, text: str) -> Callable[[Path, EventStream], Path]:
    def make(folder: Path, _: EventStream) -> Path:
        path = folder / name
        path.write_text(HEADER + text)
        return path

    return make


def missing(folder: Path, _: EventStream) -> Path:
    return folder / "none.aedat4"


def directory(folder: Path, _: EventStream) -> Path:
    return folder


def empty(folder: Path, _: EventStream) -> Path:
    (folder / "empty.es").touch()
    return folder / "empty.es"


def truncated(folder: Path, stream: EventStream) -> Path:
    path = folder / "cut.npy"
    np.save(path, stream.to_tonic())
    path.write_bytes(path.read_bytes()[:-100])
    return path


def garbage(folder: Path, _: EventStream) -> Path:
    path = folder / "noise.raw"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path


def no_events(folder: Path, _: EventStream) -> Path:
    path = folder / "none.npz"
    nothing = np.zeros(0)
    np.savez(path, t=nothing, x=nothing, y=nothing, p=nothing, sensor=(128, 128))
    return path


BAD: dict[str, tuple[Callable[[Path, EventStream], Path], str]] = {
    "missing": (missing, "No such file or directory"),
    "directory": (directory, "directory|folder"),
    "empty": (empty, r"empty file \(0 bytes\)"),
    "truncated": (truncated, "truncated"),
    "garbage": (garbage, ""),
    "zero events": (no_events, "holds no events"),
    "disorder": (
        csv("back.csv", ROWS + "58000,1,1,1\n"),
        r"event 60 at 58000 us follows 59000 us.*--sort accepts up to 10 ms",
    ),
    "outside the sensor": (
        csv("wide.csv", ROWS + "70000,700,1,1\n"),
        r"event 60 at x=700, y=1 is outside the 128x128 sensor.*--sensor WxH",
    ),
    "time jump": (
        csv("jump.csv", ROWS + f"{2 * 3_600_000_000},1,1,1\n"),
        r"time jumps by 2\.0 h.*--stop 0\.059001 or --start 7200\.0",
    ),
}


@pytest.mark.parametrize("command", ["run", "simulate"])
@pytest.mark.parametrize("name", BAD)
def test_bad_recording(name, command, call, model, stream, tmp_path):
    make, expected = BAD[name]
    source = tmp_path / "source"
    source.mkdir()
    path = make(source, stream)
    out = tmp_path / "results" / "out"
    out.parent.mkdir()
    options = ["--model", model] if command == "run" else []
    called = call(command, path, "--out", out, "--sensor", "128x128", *options)
    assert called.code == 3
    assert called.message.startswith(f"{path}: ")
    assert len(called.message) > len(f"{path}: ") + 10
    assert re.search(expected, called.message), called.message
    assert called.out == ""
    assert list(out.parent.iterdir()) == []


def test_sort_accepts_small_disorder_only(call, tmp_path):
    path = csv("back.csv", ROWS + "58000,1,1,1\n")(tmp_path, None)
    called = call("simulate", path, "--out", tmp_path / "x.npz", "--sensor", "128x128", "--sort")
    assert called.code == 0
    assert np.load(tmp_path / "x.npz")["n_ticks"] >= 60
    path = csv("far.csv", ROWS + "40000,1,1,1\n")(tmp_path, None)
    called = call("simulate", path, "--out", tmp_path / "y.npz", "--sensor", "128x128", "--sort")
    assert called.code == 3
    assert "19000 us late" in called.message
    assert not (tmp_path / "y.npz").exists()


def test_wrong_extension_works_and_is_noted(call, stream, tmp_path):
    path = tmp_path / "square.aedat4"
    with path.open("wb") as file:
        np.save(file, stream.to_tonic())
    called = call("simulate", path, "--out", tmp_path / "x.npz")
    assert called.code == 0 and called.err == ""
    assert "note: " in called.out
    (note,) = (line for line in called.out.splitlines() if "aedat4" in line and "note" in line)
    assert "npy" in note


def test_shorter_than_one_window_is_padded_and_noted(call, model, stream, tmp_path):
    path = tmp_path / "short.npy"
    np.save(path, stream[:50].to_tonic())
    called = call("run", path, "--model", model, "--out", tmp_path / "out")
    assert (called.code, called.err) == (0, "")
    said = " ".join(called.out.split())
    assert "1 of 25 ms" in said
    assert "padded to one window" in said
