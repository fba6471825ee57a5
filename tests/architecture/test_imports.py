"""What importing a package loads, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

SIMULATORS = ("snntorch", "lava", "norse", "brian2", "tonic")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def test_the_probe_sees_what_is_loaded() -> None:
    assert "torch" in loaded_by("import torch")


@pytest.mark.parametrize("module", ["torch", "numba", "nir", "matplotlib", *SIMULATORS])
def test_hw_models_is_light(module: str) -> None:
    assert module not in loaded_by("import hw_models")


def test_neurovlm_is_lazy() -> None:
    loaded = loaded_by("import neurovlm, neurovlm.events, neurovlm.core")
    assert not loaded & {"torch", *SIMULATORS}


def test_pipeline_loads_no_simulator() -> None:
    assert not loaded_by("import neurovlm.pipeline") & set(SIMULATORS)


def test_the_library_leaves_logging_alone() -> None:
    code = (
        "import logging; before = list(logging.root.handlers), logging.root.level;"
        "import neurovlm.pipeline, hw_models;"
        "assert (list(logging.root.handlers), logging.root.level) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
