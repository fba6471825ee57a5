"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hw_models
from hw_models import Workload, device_names, estimate

ROOT = Path(hw_models.__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hw_models", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, pipeline: Workload) -> str:
    path = tmp_path_factory.mktemp("cli") / "run.json"
    pipeline.save(path)
    return str(path)


def test_json_is_what_the_library_returns(saved: str, pipeline: Workload) -> None:
    names = ["loihi2", "jetson-orin-nano@7w"]
    done = run(
        "estimate",
        saved,
        "--device",
        names[0],
        "--device",
        names[1],
        "--rate",
        "20",
        "--deploy-precision",
        "int8",
        "--json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert record["workload_hash"] == pipeline.hash()
    expected = {
        name: estimate(pipeline, name, rate_hz=20, deploy_as="int8").to_dict() for name in names
    }
    assert record["devices"] == expected


def test_text_is_the_markdown_report(saved: str, pipeline: Workload) -> None:
    done = run("estimate", saved, "--device", "jetson-nano")
    assert done.returncode == 0
    assert done.stdout == estimate(pipeline, "jetson-nano").to_markdown() + "\n"


def test_devices_lists_every_name() -> None:
    assert list(json.loads(run("devices", "--json").stdout)["devices"]) == list(device_names())
    lines = run("devices").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(device_names())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["estimate", "{run}", "--device", "loihi3"], 2, "did you mean 'loihi2'"),
        (["estimate", "{run}", "--device", "loihi2", "--rate", "0"], 2, "rate_hz must be positive"),
        (
            ["estimate", "{run}", "--device", "jetson-nano", "--deploy-precision", "int8"],
            2,
            "no int8; known precisions: fp16, fp32",
        ),
        (["estimate", "{run}"], 2, "--device"),
        (["estimate", "{run}", "--device", "loihi2", "--deploy-precision", "fp4"], 2, "fp4"),
        ([], 2, "COMMAND"),
        (["estimate", "absent.json", "--device", "loihi2"], 3, "absent.json: cannot read"),
        (["estimate", "{bad}", "--device", "loihi2"], 3, "layers[0].colour: unknown key"),
        (["estimate", "{run}", "--device", "absent.toml"], 3, "absent.toml: cannot read"),
    ],
)
def test_failures_have_a_code_and_one_line(
    saved: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    bad = tmp_path / "bad.json"
    layer = {"stage": "encoder", "layer": "x", "executed": {}, "colour": 1}
    bad.write_text(
        json.dumps(
            {"schema_version": 1, "name": "x", "inferences": 1, "window_ms": 1, "layers": [layer]}
        )
    )
    done = run(*(each.format(run=saved, bad=bad) for each in arguments))
    assert done.returncode == code
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if "usage:" not in done.stderr:
        assert len(done.stderr.splitlines()) == 1
