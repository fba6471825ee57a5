"""The Cloud AI 100 constants of the catalog are the fit to the development kit, and to no other."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.calibrate_cloud_ai_100 import (
    KIT,
    Run,
    fit_all,
    fit_energy,
    fit_ranges,
    law_j,
    main,
    runs_of,
)
from benchmarks.catalog_fit import ROWS
from hw_models.validate.edge import predict_edge
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.rows import EdgeRow, effective_roles, read_rows
from hw_models.validate.targets import ENERGY_GIVEN


@pytest.fixture(scope="module")
def rows() -> list[EdgeRow]:
    """Rows of these boards."""
    found = [row for row in read_rows(ROWS) if isinstance(row, EdgeRow)]
    return [row for row in found if "Cloud AI 100" in row.device]


def test_the_catalog_holds_the_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("the catalog holds the fit\n")


def test_other_boards_and_roles_change_nothing(rows: list[EdgeRow]) -> None:
    """Neither checks nor any time or energy of another board set a constant."""

    def wrong(row: EdgeRow) -> EdgeRow:
        if row.role == "calibrate" and KIT in row.device:
            return row
        values = {"latency_ms": 7.0, "throughput_per_s": 3.0, "energy_mj_per_inf": 900.0}
        return replace(row, **{name: x for name, x in values.items() if getattr(row, name)})

    others = [wrong(row) for row in rows]
    assert others != rows
    assert fit_all(others) == fit_all(rows)
    assert fit_ranges(others) == fit_ranges(rows)


def test_a_network_that_is_checked_on_the_kit_sets_nothing_there(rows: list[EdgeRow]) -> None:
    roles = effective_roles(rows)
    assert not any(roles[row.id] == "check" for row in rows if KIT in row.device)
    one = next(row for row in rows if KIT in row.device and row.role == "calibrate")
    checked = [*rows, replace(one, id="check", role="check")]
    before, after = runs_of(rows, KIT), runs_of(checked, KIT)
    gone = [run for run in before if (run.network, run.board) == (one.network, one.device)]
    assert gone
    assert len(after) == len(before) - len(gone)


def test_other_measurements_give_other_constants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks that take twice the energy, in a table of one's own, are told from the catalog."""
    with ROWS.open(newline="") as file:
        table = list(csv.reader(file))
    device, energy = (table[0].index(name) for name in ("device", "energy_mj_per_inf"))
    for cells in table[1:]:
        if KIT in cells[device] and cells[energy]:
            cells[energy] = str(2 * float(cells[energy]))
    path = tmp_path / "hungry.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    assert main(["--rows", str(path)]) == 1
    differing = [line for line in capsys.readouterr().out.splitlines() if "differs" in line]
    assert any("modes.aedk.active_w" in line for line in differing)


def test_a_table_without_the_kit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.csv"
    lines = ROWS.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if KIT not in line))
    with pytest.raises(SystemExit):
        main(["--rows", str(path)])
    assert f"{path}: no calibrate rows of a Cloud AI 100 {KIT}" in capsys.readouterr().err


def test_the_fit_finds_the_constants_that_made_the_energies(rows: list[EdgeRow]) -> None:
    made = {"active_w": 6.0, "mac_j": 0.4e-12, "element_j": 150e-12}
    runs = [replace(run, energy_j=law_j(run, made)) for run in runs_of(rows, KIT)]
    found = fit_energy(runs)
    off = [math.log(law_j(run, found) / run.energy_j) for run in runs]
    assert max(map(abs, off)) < 0.02
    assert found == pytest.approx(made, rel=0.05)


def test_the_law_is_the_one_of_the_package(rows: list[EdgeRow]) -> None:
    """One row after the other and many in flight: the script's equation is what is validated."""
    kit = [row for row in rows if KIT in row.device and row.role == "calibrate"]
    q = fit_energy(runs_of(rows, KIT))
    seen = set()
    for row, run in list(zip(kit, runs_of(rows, KIT), strict=True))[-9:]:
        energies = [each for each in predict_edge(row, samples=2) if isinstance(each, Prediction)]
        assert [each.quantity for each in energies] == [ENERGY_GIVEN]
        assert energies[0].ratio == pytest.approx(_ratio(run, q), rel=5e-3)
        seen.add((run.network, run.samples, math.isnan(run.query_s)))
    assert len(seen) == 9


def test_times_are_refused_with_the_reason(rows: list[EdgeRow]) -> None:
    measured = [row for row in rows if row.op_class != "llm"]
    assert measured
    for row in measured[::10]:
        refused = [each for each in predict_edge(row, samples=2) if isinstance(each, Refusal)]
        assert [each.reason.partition(":")[0] for each in refused] == [
            "no law of its times holds for a network left out"
        ]


@pytest.mark.parametrize(
    ("board", "device"),
    [("AEDK 20w", "cloud-ai-100@aedk"), ("Inventec Heimdall", "cloud-ai-100@box")],
)
def test_boards_have_their_own_idle_power(rows: list[EdgeRow], board: str, device: str) -> None:
    row = next(row for row in rows if row.device.endswith(f"({board})") and row.op_class == "cnn")
    found = [each for each in predict_edge(row, samples=2) if isinstance(each, Prediction)]
    assert [each.device for each in found] == [device]


def _ratio(run: Run, q: dict[str, float]) -> float:
    return law_j(run, q) / run.energy_j
