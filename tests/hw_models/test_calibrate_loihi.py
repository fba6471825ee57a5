"""The script behind derived Loihi constants: reproduces them, and from calibration rows only."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.calibrate_loihi import Constant, calibrate, main
from hw_models.validate.loihi_setups import PUBLISHED

SHIPPED = PUBLISHED / "loihi.csv"


def rewritten(path: Path, **cells: dict[str, str]) -> Path:
    """Write the calibration rows alone, with cells of some of them changed, by id."""
    with SHIPPED.open(newline="", encoding="utf-8") as source:
        rows = [each for each in csv.DictReader(source) if each["role"] == "calibrate"]
    with path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows({**each, **cells.get(each["id"], {})} for each in rows)
    return path


def test_files_state_what_calibration_rows_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    *printed, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "the catalog holds the fit"
    assert len(printed) == len(calibrate())
    assert not any("differs" in line for line in printed)


def test_no_other_row_is_used(tmp_path: Path) -> None:
    assert calibrate(rewritten(tmp_path / "rows.csv")) == calibrate()


def test_another_measurement_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A two-neuron step of 2 us moves the barrier by as much."""
    changed = rewritten(tmp_path / "rows.csv", **{"L2-2LIF-F25-D0": {"latency_ms": "0.002"}})
    assert main(changed) == 1
    assert "sync_s               computed 1.991e-06  stated 1.15e-06  <- differs" in (
        capsys.readouterr().out
    )


def test_agreement_is_rounding() -> None:
    assert Constant("loihi1", "x", 1.01, 1.0).agrees
    assert not Constant("loihi1", "x", 1.03, 1.0).agrees
