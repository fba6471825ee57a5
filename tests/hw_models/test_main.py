"""The command line as a whole: files it writes, failures, streams."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hw_models
from hw_models import (
    Workload,
    estimate,
)

ROOT = Path(hw_models.__file__).parents[1]


# files


def test_html_holds_totals_rows_sources_and_pictures(
    call: Any, saved: str, pipeline: Workload, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    name = "loihi2+jetson-orin-nano"
    done = call("estimate", saved, "--device", name, "--html", path)
    report = estimate(pipeline, name)
    assert done.out == report.to_markdown() + "\n"
    page = path.read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == 5  # two of stages, two tornados, a roofline
    for row in (*report.rows, *report.times):
        assert row.term in page
    for row in report.summary().rows:
        assert all(cell in page for cell in row)
    for line in (*report.notes, *report.sources, report.boundary):
        assert html.escape(line).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml version=")]
)
def test_pictures_are_written_and_do_not_change(
    call: Any, front: str, tmp_path: Path, ending: str, magic: bytes
) -> None:
    paths = [tmp_path / f"{i}.{ending}" for i in range(2)]
    for path in paths:
        assert call("map", front, "--device", "loihi2", "--plot", path).code == 0
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second


# failures


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["estimate", "{run}", "--device", "loihi3"], 2, "did you mean 'loihi2'"),
        (["estimate", "{run}", "--device", "loihi2", "--rate", "0"], 2, "rate_hz must be positive"),
        (
            ["estimate", "{run}", "--device", "jetson-nano", "--deploy-precision", "int8"],
            2,
            "no int8; known precisions: ",
        ),
        (["estimate", "{run}"], 2, "--device"),
        (["estimate", "{run}", "--device", "loihi2", "--deploy-precision", "fp4"], 2, "fp4"),
        ([], 2, "COMMAND"),
        (["estimate", "absent.json", "--device", "loihi2"], 3, "absent.json: cannot read"),
        (["estimate", "{bad}", "--device", "loihi2"], 3, "layers[0].colour: unknown key"),
        (["estimate", "{run}", "--device", "absent.toml"], 3, "absent.toml: cannot read"),
        (["estimate", "absent", "--device", "loihi2"], 3, "no published network 'absent'"),
        (["estimate", "--device", "loihi2"], 2, "give either FILE or --totals"),
        (
            ["estimate", "{run}", "--totals", "gmacs=1,params_m=1", "--device", "loihi2"],
            2,
            "give either FILE or --totals",
        ),
        (["estimate", "--totals", "gmacs=1", "--device", "loihi2"], 2, "params_m is missing"),
        (["estimate", "--totals", "gmacs=nan,params_m=1", "--device", "loihi2"], 2, "got 'nan'"),
        (["estimate", "--totals", "colour=1", "--device", "loihi2"], 2, "got 'colour=1'"),
        (
            ["estimate", "--totals", "gmacs=1,params_m=1,op_class=x", "--device", "loihi2"],
            2,
            "op_class must be one of",
        ),
        (
            ["estimate", "{run}", "--device", "jetson-nano", "--html", "{tmp}/no/x.html"],
            3,
            "no/x.html: cannot write: No such file or directory",
        ),
        (
            ["map", "{run}", "--device", "loihi2", "--plot", "{tmp}/no/x.png"],
            3,
            "no/x.png: cannot write: No such file or directory",
        ),
        (["map", "{run}", "--device", "loihi2", "--plot", "x.bmp"], 2, "ending in .png or .svg"),
        (["map", "{run}", "--device", "jetson-nano"], 2, "only a neuromorphic chip has cores"),
        (["estimate", "{run}", "--device", "jetson-nano", "--battery-wh", "-1"], 2, "got -1.0"),
        (
            [*("estimate", "{run}", "--device", "jetson-nano", "--latency-ms", "3"), "--sleep"],
            2,
            "--latency-ms goes with neither",
        ),
        (
            ["estimate", "{run}", "--device", "loihi2", "--latency-ms", "3"],
            2,
            "latency_s can be given for a single processor only",
        ),
        (
            ["break-even", "{run}", "--a", "loihi2", "--b", "jetson-nano", "--over", "rate"],
            2,
            "cannot compare loihi2 and jetson-nano",
        ),
        (["compare", "{run}", "--device", "jetson-nano"], 2, "at least 2 reports, got 1"),
        (["validate", "--rows", "absent.csv"], 3, "absent.csv"),
        (["devices", "--check"], 2, "--check needs a NAME"),
        (["devices", "--check", "loihi3"], 2, "did you mean 'loihi2'"),
        (["devices", "--check", "--family", "system"], 2, "not allowed with argument --check"),
    ],
)
def test_failures_have_a_code_and_one_line(
    call: Any, saved: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    bad = tmp_path / "bad.json"
    layer = {"stage": "encoder", "layer": "x", "executed": {}, "colour": 1}
    bad.write_text(
        json.dumps(
            {"schema_version": 1, "name": "x", "inferences": 1, "window_ms": 1, "layers": [layer]}
        )
    )
    done = call(*(each.format(run=saved, bad=bad, tmp=tmp_path) for each in arguments))
    assert done.code == code
    assert done.out == ""
    assert message in " ".join(done.err.split())
    if "usage:" not in done.err:
        assert len(done.err.splitlines()) == 1


# as a process


def process(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hw_models", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_it_runs_as_a_module(saved: str, pipeline: Workload) -> None:
    out, err = process("estimate", saved, "--device", "jetson-nano").communicate(timeout=60)
    assert err == ""
    assert out == estimate(pipeline, "jetson-nano").to_markdown() + "\n"


def test_a_terminal_gets_tables_without_markdown(saved: str) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "hw_models", "estimate", saved, "--device", "jetson-nano"]
    environment = {**os.environ, "COLUMNS": "72", "TERM": "xterm"}
    done = subprocess.run(command, stdout=theirs, cwd=ROOT, env=environment, check=True, timeout=60)
    os.close(theirs)
    assert done.returncode == 0
    text = b""
    while chunk := _read(ours):
        text += chunk
    os.close(ours)
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", text).decode().splitlines()
    assert b"\x1b[1m" in text
    assert any(line.startswith("energy above idle ") for line in lines)
    assert not any(line.startswith("|") for line in lines)
    assert max(map(len, lines)) <= 72


def _read(descriptor: int) -> bytes:
    """What is left in a terminal; nothing once the other side is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_a_reader_that_leaves_is_no_error() -> None:
    running = process("devices", "--json")
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(timeout=60) == 0
    running.stderr.close()
