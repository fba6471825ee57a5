"""``hw_models`` stands alone: importing it loads no framework, no simulator, no neurovlm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hw_models

ROOT = Path(hw_models.__file__).parents[1]
FOREIGN = ("torch", "neurovlm", "snntorch", "lava", "nir", "numba", "brian2", "norse", "scipy")
OF_FACES = ("matplotlib", "rich", "jinja2")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_import_loads_nothing_foreign() -> None:
    loaded = loaded_after("import hw_models, hw_models.__main__")
    assert "hw_models" in loaded
    assert loaded.isdisjoint((*FOREIGN, *OF_FACES))


def test_an_answer_as_text_loads_no_face_library() -> None:
    call = "hw_models.__main__.main(['devices', 'loihi2', '--json'])"
    loaded = loaded_after(f"import hw_models.__main__\n{call}")
    assert "argparse" in loaded
    assert loaded.isdisjoint((*FOREIGN, *OF_FACES))


def test_this_test_can_fail() -> None:
    assert "numba" in loaded_after("import hw_models, numba")


def test_import_leaves_logging_and_warnings_alone() -> None:
    code = (
        "import logging, warnings\nbefore = list(warnings.filters)\nimport hw_models\n"
        "assert not logging.getLogger().handlers\nassert logging.getLogger().level == 30\n"
        "assert hw_models.device_names()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
