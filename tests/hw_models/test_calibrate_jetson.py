"""The Jetson constants of the catalog are the fits to the published rows, and to no others."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.calibrate_jetson import START, fit_all, fit_ampere, main
from benchmarks.catalog_fit import ROWS
from benchmarks.jetson_runs import AMPERE, Run, law_s, network_runs, processor, run_of
from hw_models import Workload, estimate
from hw_models.ops import ACTIVATION_BYTES, WEIGHT_BYTES
from hw_models.validate.facts import facts
from hw_models.validate.question import Network, network_of
from hw_models.validate.rows import EdgeRow, read_rows


@pytest.fixture(scope="module")
def rows() -> list[EdgeRow]:
    return [row for row in read_rows(ROWS) if isinstance(row, EdgeRow)]


def test_the_catalog_holds_the_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.endswith("the catalog holds the fit\n")


def test_rows_of_other_roles_change_nothing(rows: list[EdgeRow]) -> None:
    """Checks, and networks that are checked on the same device, may hold any number."""

    def wrong(row: EdgeRow) -> EdgeRow:
        if row.role == "calibrate" and row.device != "Jetson Xavier NX":
            return row
        times = {"latency_ms": 7.0, "throughput_per_s": 3.0, "energy_mj_per_inf": 900.0}
        return replace(row, **{name: x for name, x in times.items() if getattr(row, name)})

    assert fit_all([wrong(row) for row in rows]) == fit_all(rows)


def test_other_measurements_give_other_constants(
    rows: list[EdgeRow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Orin networks that take twice as long, in a table of one's own, are told from the catalog."""
    with ROWS.open(newline="") as file:
        table = list(csv.reader(file))
    role, device, time = (table[0].index(name) for name in ("role", "device", "latency_ms"))
    for cells in table[1:]:
        if cells[role] == "calibrate" and "Orin" in cells[device] and cells[time]:
            cells[time] = str(2 * float(cells[time]))
    path = tmp_path / "slow.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    assert main(["--rows", str(path)]) == 1
    differing = [line for line in capsys.readouterr().out.splitlines() if "differs" in line]
    assert any("kinds.cnn.efficiency.any" in line for line in differing)


def test_the_fit_finds_the_constants_that_made_the_times(rows: list[EdgeRow]) -> None:
    made = {name: 0.8 * start for name, start in START.items()}
    measured = [run for run in _calibrated(rows) if run.row.latency_ms]
    runs = [replace(run, time_s=law_s(run, made)) for run in measured]
    found = fit_ampere(runs)
    off = [math.log(law_s(run, found) / run.time_s) for run in runs]
    assert max(map(abs, off)) < 0.02
    assert found["eta"] == pytest.approx(made["eta"], rel=0.05)


def test_the_law_is_the_one_of_the_package(rows: list[EdgeRow]) -> None:
    """The script's equation with the catalog's constants gives what ``estimate`` gives."""
    q = _held("jetson-orin-nano")
    by_id = {row.id: row for row in rows}
    for name in ("JT0006", "JT0011", "JT0013"):
        row = by_id[name]
        run = run_of(row)
        assert run is not None
        network = network_of(row, facts(row), run.precision)
        assert isinstance(network, Network)
        device = f"{run.device}@{run.mode}"
        expected = estimate(network.workload, device, deploy_as=run.precision)
        assert expected.latency_s is not None
        assert law_s(run, q) == pytest.approx(expected.latency_s.value, rel=1e-9)


def test_a_decoded_token_costs_its_weight_bytes_however_long_it_takes() -> None:
    """No second power term: bytes at the catalog's energy per byte, idle power apart."""
    device = processor("jetson-orin-nano")
    token = Workload.from_totals(10**9, 10**9, op_class="decode")
    decode, counts = device.kinds["decode"], token.layers[0].executed
    assert decode.byte_j and decode.activation_share
    per_byte_j = decode.byte_j["q4k"].value
    kept = decode.activation_share["any"].value * ACTIVATION_BYTES["q4k"] * counts.write_bytes
    n_bytes = 10**9 * WEIGHT_BYTES["q4k"] + kept
    for latency_s in (None, 1.0, 2.0):
        report = estimate(token, device, deploy_as="q4k", latency_s=latency_s)
        assert report.energy_active_j is not None
        assert report.energy_active_j.value == pytest.approx(per_byte_j * n_bytes, rel=1e-9)


def test_orin_modules_share_their_architecture() -> None:
    held = [_held(name) for name in AMPERE]
    assert held[0] == held[1] == held[2]


def _calibrated(rows: list[EdgeRow]) -> list[Run]:
    return network_runs([row for row in rows if row.role == "calibrate"], AMPERE)


def _held(name: str) -> dict[str, float]:
    """Constants of the catalog by the names that the fit has for them."""
    device = processor(name)
    cnn, depthwise = device.kinds["cnn"], device.kinds["dw-cnn"]
    assert cnn.launch_share and cnn.element_share and depthwise.element_share
    keys = {"int8": "int8", "fp16": "any", "fp32": "fp32"}
    held = {f"launch.{p}": cnn.launch_share[key].value for p, key in keys.items()}
    held |= {f"plain.{p}": cnn.element_share[key].value for p, key in keys.items()}
    for precision, key in keys.items():
        held[f"depthwise.{precision}"] = depthwise.element_share[key].value
    grouped = device.kinds["grouped-cnn"].efficiency["any"].value
    etas = {"eta": cnn.efficiency["any"].value, "eta.fp32": cnn.efficiency["fp32"].value}
    return held | etas | {"eta.grouped": grouped}
