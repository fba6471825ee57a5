"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores; read when torch loads
settings.register_profile("laws", deadline=None)  # a busy machine is no counterexample
settings.load_profile("laws")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real recordings, named by NEUROVLM_DATA."""
    folder = os.environ.get("NEUROVLM_DATA")
    if not folder:
        pytest.skip("NEUROVLM_DATA is not set: no folder of real recordings")
    path = Path(folder)
    assert path.is_dir(), f"NEUROVLM_DATA names {folder}, which is not a folder"
    return path
