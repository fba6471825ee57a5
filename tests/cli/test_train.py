"""``train`` and ``evaluate``: recordings in, a model, its history and its scores out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurovlm.zoo.load import load

RECIPE = """
variants = 1
[spec]
name = "bars"
[spec.encoder]
dim = 8
depth = 1
heads = 1
[spec.head]
channels = 2
observed_dim = 8
taps = [1]
state_dim = 8
[spec.decoder]
dim = 8
depth = 1
heads = 2
[[stages]]
steps = 2
check_every = 1
first_window = 1
augmentation = { batch_size = 4, n_windows = 4, max_shift = 0 }
"""


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Two classes of five recordings each: a bar of events on the left or on the right."""
    for label, low in (("left", 20), ("right", 90)):
        folder = tmp_path / "bars" / label
        folder.mkdir(parents=True)
        for k in range(5):
            rng = np.random.default_rng([low, k])
            t = np.sort(rng.integers(0, 150_000, 2000))
            x, y, p = rng.integers(low, low + 8, 2000), rng.integers(40, 80, 2000), t % 2
            lines = [f"{a},{b},{c},{d}" for a, b, c, d in zip(t, x, y, p, strict=True)]
            (folder / f"{k}.csv").write_text("\n".join(["t[us],x@128,y@128,p", *lines]) + "\n")
    return tmp_path / "bars"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "bars.toml"
    path.write_text(RECIPE)
    return path


def test_a_folder_of_recordings_becomes_a_model_and_the_model_is_scored(
    call, bars, recipe, tmp_path
):
    out = tmp_path / "model"
    done = call("train", "--recipe", recipe, "--data", bars, "--out", out, "--seed", 1)
    assert done.code == 0, done.err
    assert done.err == ""  # no progress bar where there is no terminal
    path = Path(done.out.strip())
    model, card = load(path)
    assert card.spec.labels == ("left", "right")
    assert model.boxes is None
    history = [json.loads(line) for line in (out / "bars.history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history] == [1, 2]

    again = call("train", "--recipe", recipe, "--data", bars, "--out", tmp_path / "2", "--seed", 1)
    assert Path(again.out.strip()).read_bytes() == path.read_bytes()

    done = call("evaluate", path, "--data", bars, "--out", tmp_path / "scores", "--json")
    assert done.code == 0, done.err
    scores = json.loads(done.out)["recordings"]
    assert {"accuracy", "dense_accuracy", "retention", "mean_active"} <= set(scores)
    written = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert written["recordings"] == scores
    assert written["history"] == history
    pictures = {picture.name for picture in (tmp_path / "scores").glob("*.png")}
    assert pictures == {"confusion_recordings.png", "history.png"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--recipe", "none"],
            2,
            "no recipe 'none'; known are sttf-tiny, gated, ",
        ),
        (["--device", "tpu"], 2, "--device must be cpu or cuda, got 'tpu'"),
        (["--detector", "best"], 2, "detector must be one of hand, learned, got 'best'"),
        (["--data", "cifar:x"], 2, "--data: no set 'cifar'"),
        (["--data", "nowhere"], 3, "nowhere"),
        (["--resume"], 3, "checkpoint.pt: cannot read the checkpoint"),
        (["--teacher", "huge"], 2, "no model 'huge'"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    call, bars, recipe, tmp_path, arguments, code, message
):
    base = ["--recipe", recipe, "--data", bars, "--out", tmp_path / "out"]
    done = call("train", *base, *arguments)
    assert done.code == code
    assert message in done.message


def test_a_model_that_is_not_there_is_not_scored(call):
    done = call("evaluate", "nothing.safetensors")
    assert done.code == 3
    assert "nothing" in done.message
