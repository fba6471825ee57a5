"""The fit of the Snapdragon law: reproduced, blind to check rows, and what the package costs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibrate_snapdragon as fit
from benchmarks import catalog_fit
from hw_models import estimate
from hw_models.validate.rows import EdgeRow, effective_roles, read_rows
from hw_models.workload import Workload

ROWS = [row for row in read_rows(catalog_fit.ROWS) if isinstance(row, EdgeRow)]
REFERENCE = [run for run in fit.runs_of(ROWS) if run.device == fit.REFERENCE]


def changed(tmp_path: Path, wanted: Callable[[dict[str, str]], bool], factor: float) -> Path:
    """Copy the shipped rows with some latencies multiplied."""
    with catalog_fit.ROWS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if wanted(row) and row["latency_ms"]:
            row["latency_ms"] = repr(float(row["latency_ms"]) * factor)
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_shipped_catalog_is_what_the_shipped_rows_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit.main([]) == 0
    out = capsys.readouterr().out
    assert "the catalog holds the fit" in out
    for device in ("snapdragon-865", "snapdragon-8-elite-gen-5", "qcs8550"):
        assert device in out


def test_rows_that_may_not_set_constants_do_not(tmp_path: Path) -> None:
    roles = effective_roles(ROWS)
    path = changed(tmp_path, lambda row: roles[row["id"]] != "calibrate", 3.0)
    assert fit.main(["--rows", str(path)]) == 0


def test_other_measurements_do_not_fit_the_catalog(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(tmp_path, lambda row: row["device"].startswith("QCS6490"), 1.2)
    assert fit.main(["--rows", str(path)]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.endswith("  differs")]
    assert wrong and all(line.startswith("qcs6490 ") for line in wrong)


def test_runs_that_obey_the_law_are_reproduced() -> None:
    """Times made from other constants than the priors' come back, all but what priors pull."""
    truth = {name: centre for name, (centre, _) in fit.PRIORS.items()}
    truth |= {"c": 0.4e-3, "l": 3e-6, "V": 300e9, "k.attention": 1.3}
    times = fit.total(fit.terms(REFERENCE, truth))
    runs = [replace(run, time_s=float(t)) for run, t in zip(REFERENCE, times, strict=True)]
    fitted = fit.fit_reference(runs)
    again = fit.total(fit.terms(runs, fitted))
    assert np.abs(again / times - 1).max() < 0.05
    assert fitted["c"] == pytest.approx(truth["c"], rel=0.1)


def test_a_device_twice_as_slow_is_found_twice_as_slow() -> None:
    q = fit.fit_reference(REFERENCE)
    times = {(run.network, run.precision): run.time_s for run in REFERENCE}
    slow = [replace(run, time_s=2 * run.time_s) for run in REFERENCE]
    shifts = fit.fit_shifts(slow, q, times)
    here = fit.constants(q, np.zeros(7), "int8")
    there = fit.constants(q, shifts, "int8")
    for name, power in (("launch_s", 1), ("dispatch_s", 1), ("mac_per_s", -1), ("byte_per_s", -1)):
        assert there[name] == pytest.approx(here[name] * 2.0**power, rel=1e-3)


@pytest.mark.parametrize("precision", fit.PRECISIONS)
def test_the_package_computes_the_law_that_was_fitted(precision: str) -> None:
    """``estimate`` with the catalog's rounded constants against the law with the fitted ones."""
    q = fit.fit_reference(REFERENCE)
    for row in ROWS:
        own = row.device.startswith("Snapdragon 8 Gen 3") and row.act_melems and row.n_layers
        if not own or fit.precision_of(row) != precision or not row.runtime.startswith("QNN DLC"):
            continue
        assert row.gmacs and row.params_m and row.act_melems
        macs, params = round(row.gmacs * 1e9), round(row.params_m * 1e6)
        elements = round(row.act_melems * 1e6)
        known = {"op_class": row.op_class, "n_layers": row.n_layers, "act_elements": elements}
        workload = Workload.from_totals(macs, params, **known)  # type: ignore[arg-type]
        report = estimate(workload, fit.REFERENCE, deploy_as=precision, samples=2)  # type: ignore[arg-type]
        bytes_each = {"fp16": (2, 2), "int8": (1, 1), "w8a16": (1, 2)}[precision]
        k = {"dw-cnn": q["k.depthwise"], "vit": q["k.attention"], "hybrid": q["k.attention"]}

        def of(name: str) -> float:
            return q[name] * q.get(f"{name}.{precision}", 1.0)

        memory = params * bytes_each[0] / of("B") + elements * bytes_each[1] / q["V"]
        busy = max(macs / of("R"), memory) * k.get(row.op_class, 1.0)
        expected = of("c") + row.n_layers * of("l") + busy
        assert report.latency_s is not None
        assert report.latency_s.value == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("mode", "precision"), fit.OLD_MODES.values())
def test_the_metered_engines_cost_above_idle_what_their_meter_said(
    mode: str, precision: str
) -> None:
    row = next(
        row
        for row in ROWS
        if fit.device_of(row) == fit.OLD
        and row.role == "calibrate"
        and fit.OLD_MODES.get(next((n for n in fit.OLD_MODES if n in row.runtime), ""), "")
        == (mode, precision)
    )
    assert row.gmacs and row.params_m and row.act_melems
    assert row.energy_mj_per_inf and row.latency_ms
    workload = Workload.from_totals(
        round(row.gmacs * 1e9),
        round(row.params_m * 1e6),
        op_class="cnn",
        n_layers=127,
        act_elements=round(row.act_melems * 1e6),
    )
    report = estimate(workload, f"{fit.OLD}@{mode}", deploy_as=precision, samples=2)  # type: ignore[arg-type]
    above_idle_mj = row.energy_mj_per_inf - 9.87 * row.latency_ms
    assert report.energy_active_j is not None
    assert report.energy_active_j.value * 1e3 == pytest.approx(above_idle_mj, rel=0.02)


def test_a_table_without_the_reference_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    lines = catalog_fit.ROWS.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line for line in lines if "Galaxy S24" not in line))
    with pytest.raises(SystemExit):
        fit.main(["--rows", str(path)])
    assert "no calibrate rows of snapdragon-8-gen-3" in capsys.readouterr().err
