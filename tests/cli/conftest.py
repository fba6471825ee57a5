"""The command line called in this process, a tiny model, and small recordings."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from neurovlm.cli import main
from neurovlm.events.scenes import moving_square
from neurovlm.events.stream import EventStream
from neurovlm.frontend.detector import DetectorConfig
from neurovlm.language.decoder import DecoderConfig
from neurovlm.sttf.head import HeadConfig
from neurovlm.sttf.vit import EncoderConfig
from neurovlm.zoo.load import ModelCard, save
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec

SPEC = ModelSpec(
    name="untrained",
    encoder=EncoderConfig(dim=16, depth=1, heads=2),
    head=HeadConfig(channels=4, observed_dim=8, taps=(1,), state_dim=8),
    decoder=DecoderConfig(dim=8, depth=1, heads=2, max_words=4),
)


@dataclass(frozen=True)
class Called:
    """What a command left: exit code, standard output and error."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of an error, without its prefix."""
        assert self.err.startswith("error: "), self.err
        assert self.err.count("\n") == 1 and self.err.endswith("\n"), self.err
        assert "Traceback" not in self.err
        return self.err.removeprefix("error: ").rstrip("\n")


Call = Callable[..., Called]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run ``neurovlm ARGUMENTS`` in this process."""

    def run(*arguments: object) -> Called:
        capfd.readouterr()
        code = exit_code(arguments)
        return Called(code, *capfd.readouterr())

    return run


def exit_code(arguments: Iterable[object]) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["neurovlm", *map(str, arguments)])
        main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model on disk."""
    torch.manual_seed(0)
    card = ModelCard(SPEC, DetectorConfig(), 0)
    return save(SttfModel(SPEC), card, tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def stream() -> EventStream:
    """Six windows of a moving square."""
    return moving_square(duration_s=0.15, seed=2).stream


@pytest.fixture(scope="session")
def recording(stream: EventStream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "square.npz"
    save_npz(path, stream)
    return path


def save_npz(path: Path, stream: EventStream) -> None:
    columns = {name: getattr(stream, name) for name in "txyp"}
    with path.open("wb") as file:  # np.savez would append .npz to other names
        np.savez(file, sensor=stream.sensor, **columns)


@dataclass(frozen=True)
class Finished(Called):
    """A run that went well, and its folder."""

    folder: Path


@pytest.fixture(scope="session")
def finished(model: Path, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``run --json`` with a setting of each kind that is not the default."""
    folder = tmp_path_factory.mktemp("runs") / "new" / "out"
    settings = ["--fit", "stretch", "--precision", "float32", "--seed", 3]
    devices = ["--device", "loihi2", "--device", "loihi2+jetson-orin-nano"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = exit_code(
            ["run", recording, "--model", model, "--out", folder, "--json", *settings, *devices]
        )
    return Finished(code, out.getvalue(), err.getvalue(), folder)


WORKLOAD = """
{"schema_version": 1, "name": "by hand", "inferences": 40, "window_ms": 25.0, "ticks": 1000,
 "layers": [
  {"stage": "frontend", "layer": "filter", "neurons": 15876, "synapses": 254016,
   "executed": {"neuron_updates": 15876000, "synops": 900000, "spikes": 60000}},
  {"stage": "change", "layer": "detector", "neurons": 196, "synapses": 15876,
   "executed": {"neuron_updates": 196000, "synops": 60000, "spikes": 900}},
  {"stage": "encoder", "layer": "blocks",
   "executed": {"macs": 800000000, "weight_bytes": 48000000, "launches": 1600},
   "dense": {"macs": 4800000000, "weight_bytes": 48000000, "launches": 1600}}]}
"""


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten lines written by hand."""
    path = tmp_path_factory.mktemp("work") / "workload.json"
    path.write_text(WORKLOAD.strip() + "\n")
    return path
