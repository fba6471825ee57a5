"""The output folder of a run, written whole or not at all.

Everything goes into a hidden folder beside the target, which is renamed when it is complete. With
``overwrite`` the old folder is kept under a hidden name until the new one stands in its place;
files in it that are not ours move over to the new one. A run that is killed leaves hidden folders
only, and the next run into the same target puts things right.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from hw_models import EnergyReport
from neurovlm.core.errors import NeurovlmError, UsageError
from neurovlm.pipeline import RunResult
from neurovlm.report.html import render_html
from neurovlm.report.partial import partial_path, remove_stale
from neurovlm.report.pictures import draw_pictures
from neurovlm.report.summary import summarise, to_json
from neurovlm.report.trace_file import write_trace

FILES = (
    "report.html",
    "summary.json",
    "workload.json",
    "trace.npz",
    "config.toml",
    "overview.png",
    "mask.png",
    "tokens.png",
    "energy.png",
)
"""Everything a run writes; ``energy.png`` only where devices were asked for."""


def check_target(out_dir: str | Path, overwrite: bool = False) -> Path:
    """The folder a run will write to, refused before the run rather than after it.

    Raises
    ------
    UsageError
        When it is a file, holds something and ``overwrite`` is not set, or cannot be written.
    """
    target = Path(out_dir).resolve()
    try:
        _recover(target)
        if target.exists() and not target.is_dir():
            raise UsageError(f"{out_dir}: is a file; give --out a folder")
        if not overwrite and target.exists() and any(target.iterdir()):
            raise UsageError(
                f"{out_dir}: the folder is not empty; use --overwrite or another --out"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = partial_path(target)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise UsageError(
            f"{out_dir}: cannot write there ({error.strerror or error}); choose another --out"
        ) from error
    return target


def write_outputs(
    result: RunResult,
    reports: Mapping[str, EnergyReport],
    out_dir: str | Path,
    overwrite: bool = False,
) -> None:
    """Write every output of a run.

    Raises
    ------
    UsageError
        As `check_target`.
    NeurovlmError
        When writing fails half way; the target is then as it was.
    """
    target = check_target(out_dir, overwrite)
    partial = partial_path(target)
    try:
        remove_stale(target)
        partial.mkdir()
        _write_all(result, reports, partial)
        _move_into_place(partial, target)
    except OSError as error:
        raise NeurovlmError(
            f"{out_dir}: writing failed ({error.strerror or error}) and was undone; free the disk "
            "or choose another --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_all(result: RunResult, reports: Mapping[str, EnergyReport], folder: Path) -> None:
    pictures = draw_pictures(result, reports)
    texts = {
        "report.html": render_html(result, reports, pictures),
        "summary.json": to_json(summarise(result, reports)) + "\n",
        "workload.json": result.workload.to_json() + "\n",
        "config.toml": result.config.to_toml(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, picture in pictures.items():
        if f"{name}.png" in FILES:
            (folder / f"{name}.png").write_bytes(picture.png)
    write_trace(result.trace, folder / "trace.npz")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _move_into_place(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = _old(target)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    _carry_over(old, target)


def _carry_over(old: Path, target: Path) -> None:
    """Move what a run did not write, then remove the rest of the old folder."""
    for entry in list(old.iterdir()):
        if entry.name not in FILES:
            entry.rename(target / entry.name)
    shutil.rmtree(old)


def _recover(target: Path) -> None:
    """Finish or undo a replacement that was killed half way."""
    old = _old(target)
    if not old.exists():
        return
    if target.exists():
        _carry_over(old, target)
    else:
        old.rename(target)
