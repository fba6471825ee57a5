"""The import shim, each time in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys


def _run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_shim_is_still_needed():
    """When this fails, Lava imports by itself: delete shim.py and its call."""
    plain = _run("import lava.magma.compiler.var_model")
    assert plain.returncode != 0
    assert "ValueError: mutable default" in plain.stderr


def test_lava_imports_and_dataclasses_are_as_before():
    code = """
import dataclasses
before = dataclasses.dataclass
from neurovlm.spiking.backends.lava.shim import import_lava
import_lava()
assert dataclasses.dataclass is before
from lava.proc.lif.process import LIF
from lava.magma.core.run_configs import Loihi2SimCfg
assert "torch" not in __import__("sys").modules
"""
    done = _run(code)
    assert (done.returncode, done.stderr) == (0, "")
