"""Names of what is not finished yet, so that a killed run is told from a finished one."""

from __future__ import annotations

import glob
import secrets
import shutil
import time
from pathlib import Path

STALE_S = 3600.0
"""Writing takes seconds: a partial file or folder this old is left over from a killed run."""


def partial_path(target: Path) -> Path:
    """A new hidden name beside ``target``, on the same file system, so that it can be renamed."""
    return target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")


def remove_stale(target: Path) -> None:
    """Remove what killed runs left beside ``target``."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.partial-*"):
        if time.time() - path.stat().st_mtime > STALE_S:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
