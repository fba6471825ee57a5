"""The command as a process of its own: streams, terminal, and what a kill leaves."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurovlm.events.stream import EventStream

COMMAND = [sys.executable, "-m", "neurovlm"]
PATIENCE_S = 120.0


def test_a_pipe_gets_one_json_object_and_an_empty_stderr(finished, recording, tmp_path):
    arguments = ["run", recording, "--config", finished.folder / "config.toml", "--json"]
    child = subprocess.run(
        [*COMMAND, *map(str, arguments), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert json.loads(child.stdout) == json.loads(finished.out)


@pytest.fixture
def long_recording(stream: EventStream, tmp_path: Path) -> Path:
    """Motion, then ten minutes in which nothing moves: enough windows to be killed in."""
    t = np.append(stream.t, stream.t[-1] + 600_000_000)
    last = len(stream) - 1
    columns = {name: getattr(stream, name)[[*range(len(stream)), last]] for name in "xyp"}
    path = tmp_path / "long.npz"
    np.savez(path, t=t, sensor=stream.sensor, **columns)
    return path


def read_until(terminal: int, words: bytes) -> bytes:
    """What a terminal shows until ``words`` stand on it."""
    shown, deadline = b"", time.monotonic() + PATIENCE_S
    while words not in shown:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, f"the terminal shows only {shown!r}"
        shown += os.read(terminal, 4096)
    return shown


def test_a_terminal_shows_progress_and_a_killed_run_leaves_all_as_it_was(
    call, model, recording, long_recording, tmp_path
):
    out = tmp_path / "results" / "out"
    out.mkdir(parents=True)
    (out / "summary.json").write_text("the run before")
    arguments = ["run", long_recording, "--model", model, "--out", out, "--overwrite"]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    try:
        shown = read_until(ours, b" windows")
    finally:
        child.send_signal(signal.SIGKILL)
        printed, _ = child.communicate(timeout=PATIENCE_S)
        os.close(ours)
    assert child.returncode == -signal.SIGKILL
    assert b"\x1b[" in shown and printed == b""
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert (out / "summary.json").read_text() == "the run before"
    again = call("run", recording, "--model", model, "--out", out, "--overwrite", "--json")
    assert again.code == 0
    assert json.loads((out / "summary.json").read_text()) == json.loads(again.out)


DIES = """
import os, signal, sys
import neurovlm.report.files as files
files.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from neurovlm.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("function", ["_move_into_place", "_carry_over"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_run_killed_while_it_puts_its_files_in_place(
    function, existing, call, model, recording, tmp_path
):
    """Whatever the moment, the target holds an old run or a new one, never a mixture."""
    out = tmp_path / "results" / "out"
    options = ["--model", model, "--out", out, "--overwrite", "--json"]
    if existing:
        assert call("run", recording, *options).code == 0
        (out / "mine.txt").write_text("precious")
    arguments = ["run", recording, *options, "--window-ms", 50]
    child = subprocess.run(
        [sys.executable, "-c", DIES.format(function=function), *map(str, arguments)],
        capture_output=True,
        timeout=PATIENCE_S,
    )
    carried = function == "_carry_over"
    assert child.returncode == (0 if carried and not existing else -signal.SIGKILL)
    if existing or carried:
        summary = json.loads((out / "summary.json").read_text())
        assert summary["windows"]["ms"] == (50 if carried else 25)
    else:
        assert not out.exists()
    visible = [p.name for p in out.parent.iterdir() if not p.name.startswith(".")]
    assert visible == (["out"] if existing or carried else [])
    again = call("run", recording, *options)
    assert again.code == 0
    assert json.loads((out / "summary.json").read_text()) == json.loads(again.out)
    if existing:
        assert (out / "mine.txt").read_text() == "precious"
