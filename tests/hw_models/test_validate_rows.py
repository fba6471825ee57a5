"""Reading tables of measurements, and what their notes say."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest

import hw_models
from hw_models.errors import RowsError
from hw_models.validate.facts import facts, format_facts
from hw_models.validate.rows import (
    EDGE_COLUMNS,
    LOIHI_COLUMNS,
    EdgeRow,
    LoihiRow,
    Row,
    effective_roles,
    read_rows,
)

PUBLISHED = Path(hw_models.__file__).parent / "published"
EDGE = dict.fromkeys(EDGE_COLUMNS, "") | {"id": "a", "role": "check", "device": "Board"}
LOIHI = dict.fromkeys(LOIHI_COLUMNS, "") | {"id": "a", "role": "check", "chip": "Chip"}


def table(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = ()) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or tuple(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def edge(**cells: str) -> EdgeRow:
    row = EdgeRow(**(EDGE | dict.fromkeys(("params_m", "gmacs"), None)))  # type: ignore[arg-type]
    return replace(row, **cells)  # type: ignore[arg-type]


def loihi(**cells: str) -> LoihiRow:
    return replace(LoihiRow(**LOIHI), **cells)  # type: ignore[arg-type]


def originals() -> list[Path]:
    """Tables that the shipped ones were made of, where the machine has them."""
    folder = Path(os.environ.get("NEUROVLM_DATA", "nowhere")).parent / "hardware"
    return [path for path in folder.glob("*_measured.csv") if path.is_file()]


def test_cells_become_numbers_and_empty_cells_none(tmp_path: Path) -> None:
    cells = EDGE | {"batch": "8", "latency_ms": "3.5", "gmacs": "1e-3", "op_class": "cnn"}
    (row,) = read_rows(table(tmp_path / "t.csv", cells))
    assert isinstance(row, EdgeRow)
    assert (row.batch, row.latency_ms, row.gmacs) == (8, 3.5, 1e-3)
    assert row.energy_mj_per_inf is None
    assert (row.op_class, row.line) == ("cnn", 2)


def test_the_header_says_which_table_it_is_in_any_order_of_columns(tmp_path: Path) -> None:
    cells = LOIHI | {"neurons": "512"}
    columns = tuple(reversed(LOIHI_COLUMNS))
    (row,) = read_rows(table(tmp_path / "t.csv", cells, columns=columns))
    assert isinstance(row, LoihiRow)
    assert row.neurons == 512


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [("7-12", 7, 12), ("9.5 -> 3.8", 9.5, 3.8), ("67k-265k", 67e3, 265e3),
     ("1230-1770 (range over runs)", 1230, 1770)],
)  # fmt: skip
def test_a_range_is_no_measurement(tmp_path: Path, cell: str, low: float, high: float) -> None:
    (row,) = read_rows(table(tmp_path / "t.csv", LOIHI | {"total_mw": cell}))
    assert isinstance(row, LoihiRow)
    assert row.total_mw is None
    assert row.ranges == {"total_mw": (low, high)}


def test_an_excluded_row_may_hold_anything(tmp_path: Path) -> None:
    cells = LOIHI | {"role": "exclude", "dynamic_mw": "-6.1"}
    (row,) = read_rows(table(tmp_path / "t.csv", cells))
    assert isinstance(row, LoihiRow)
    assert row.dynamic_mw is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"latency_ms": "fast"}, "latency_ms: expected a finite number or an empty cell, got"),
        ({"latency_ms": "nan"}, "latency_ms: expected a finite number or an empty cell, got"),
        ({"latency_ms": "0"}, "latency_ms: expected a number above 0 or an empty cell, got '0'"),
        ({"gmacs": "-1"}, "gmacs: expected a number above 0 or an empty cell, got '-1'"),
        ({"batch": "1.5"}, "batch: expected a whole number or an empty cell, got '1.5'"),
        ({"latency_ms": "6-16"}, "latency_ms: expected a finite number or an empty cell, got"),
        ({"role": "test"}, "role: expected one of calibrate, check, replicate, comparator, "),
        ({"id": " "}, "id: expected a name, got an empty cell"),
    ],
)
def test_a_bad_cell_is_refused_with_its_place(
    tmp_path: Path, cells: dict[str, str], message: str
) -> None:
    path = table(tmp_path / "t.csv", EDGE | {"id": "first"}, EDGE | cells)
    with pytest.raises(RowsError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}: line 3: {message}")


def test_counts_of_a_chip_may_be_zero_but_not_negative(tmp_path: Path) -> None:
    (row,) = read_rows(table(tmp_path / "t.csv", LOIHI | {"static_mw": "0"}))
    assert isinstance(row, LoihiRow)
    assert row.static_mw == 0
    path = table(tmp_path / "t.csv", LOIHI | {"dynamic_mw": "-6.1"})
    with pytest.raises(RowsError, match="dynamic_mw: expected a number of at least 0 or an empty"):
        read_rows(path)


def test_an_id_stands_once(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", EDGE, EDGE)
    with pytest.raises(RowsError, match="line 3: id: expected an id of its own, got 'a', which li"):
        read_rows(path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    columns = tuple(name for name in EDGE_COLUMNS if name != "gmacs")
    path = table(tmp_path / "t.csv", {name: EDGE[name] for name in columns})
    with pytest.raises(RowsError, match="line 1: column 'gmacs' is missing; expected the columns"):
        read_rows(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "column 'id' is missing"), ("a,b\n1,2\n", "got a, b"),
     (",".join((*EDGE_COLUMNS, "id")), "expected each column once, got 'id' again"),
     (",".join(EDGE_COLUMNS) + "\nx,check\n", "line 2: expected 21 cells as in the header, got 2")],
)  # fmt: skip
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RowsError, match=message):
        read_rows(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="cannot read the table: No such file"):
        read_rows(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("workload", "network"),
    [
        ("ResNet50-v1.5 224 SingleStream", "ResNet50-v1.5 224"),
        ("SSD-ResNet34 1200 Offline", "SSD-ResNet34 1200"),
        ("Llama-3.2-1B decode, context 4096 (per token)", "Llama-3.2-1B decode"),
        ("Qwen3-0.6B decode at context 1024 (per token)", "Qwen3-0.6B decode"),
        ("Qwen3-0.6B prefill 512 tokens", "Qwen3-0.6B prefill"),
        ("OpenAI CLIP ViT-B/16 (image+text in one graph)", "OpenAI CLIP ViT-B/16"),
    ],
)
def test_network_of_a_workload(workload: str, network: str) -> None:
    assert edge(workload=workload).network == network


def test_a_network_fitted_and_checked_on_one_device_is_checked_only() -> None:
    rows: list[Row] = [
        edge(id="fitted", role="calibrate", workload="Net A 224 Offline"),
        edge(id="both", role="calibrate", workload="Net B 224 Offline"),
        edge(id="check", role="check", workload="Net B 224 SingleStream"),
        edge(id="elsewhere", role="calibrate", workload="Net B 224", device="Other board"),
    ]
    roles = effective_roles(rows)
    assert roles == {
        "fitted": "calibrate",
        "both": "check",
        "check": "check",
        "elsewhere": "calibrate",
    }


def test_a_repeat_has_the_role_of_what_it_repeats() -> None:
    rows: list[Row] = [
        loihi(id="one", role="calibrate", workload="Net A, 10 steps"),
        loihi(id="again", role="replicate", workload="Net A, 20 steps"),
        loihi(id="alone", role="replicate", workload="Net B"),
    ]
    assert effective_roles(rows) == {"one": "calibrate", "again": "calibrate", "alone": "check"}


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ("wall idle around run 10.10 W", {"idle_w": 10.1}),
        ("wall idle after run 5.1-6.3 W", {"idle_w": 5.7, "idle_w_low": 5.1, "idle_w_high": 6.3}),
        ("idle 5.17 W, window mean 6.57 W incl. gaps", {"idle_w": 5.17}),
        ("weights 0.38 GB; net of idle", {"weights_gb": 0.38}),
        ("1207 MB read per token, 86 GB/s", {"read_gb_per_token": 1.207}),
        ("NET energy (inference power minus idle)", {"energy": "net"}),
        (
            "clocks: GPU 931 MHz, EMC 0 MHz (0=uncapped), DLA 0 MHz, CPU 1037 MHz, 2 cores",
            {"gpu_mhz": 931, "dla_mhz": 0, "cpu_mhz": 1037, "cpu_cores": 2},
        ),
        ("idle_w=10.1; boundary=wall", {"idle_w": 10.1, "boundary": "wall"}),
        ("idle_w=9; wall idle around run 10.10 W", {"idle_w": 9}),
        ("nothing that anybody knows; x=3", {}),
    ],
)
def test_facts_of_a_processor_row(notes: str, expected: dict[str, float | str]) -> None:
    assert facts(edge(notes=notes)) == expected


def test_facts_stand_in_power_mode_and_workload_too() -> None:
    row = edge(power_mode="15W + jetson_clocks (GPU 624.75 MHz)", workload="Net decode (per token)")
    assert facts(row) == {"gpu_mhz": 624.75, "per": "token"}


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (
            "energy=attributed total (used cores + 1 x86); neurocore dynamic only: 9.291 mW = "
            "45.59 uJ per image; step 53.93 us; 11 cores used",
            {
                "energy": "attributed-total",
                "core_dynamic_mw": 9.291,
                "core_dynamic_uj": 45.59,
                "step_us": 53.93,
                "cores": 11,
            },
        ),
        ("step 150-153 us", {"step_us": 151.5, "step_us_low": 150, "step_us_high": 153}),
        ("dynamic 1.32 uJ", {"dynamic_mj": 1.32e-3}),
        ("15,539,753 neuron updates", {"neuron_updates": 15539753}),
        ("input layer spread over 8 cores", {"input_cores": 8}),
        ("sibling notebook 171 us per step", {}),
    ],
)
def test_facts_of_a_chip_row(notes: str, expected: dict[str, float | str]) -> None:
    assert facts(loihi(notes=notes)) == expected


def test_a_fact_that_is_no_number_is_refused() -> None:
    with pytest.raises(RowsError, match="line 7: notes: idle_w: expected a number, got 'low'"):
        facts(replace(edge(notes="idle_w=low"), line=7))


@pytest.mark.parametrize("path", [*PUBLISHED.glob("*.csv"), *originals()], ids=lambda p: p.name)
def test_facts_survive_being_written(path: Path) -> None:
    rows = read_rows(path)
    assert rows
    for row in rows:
        found = facts(row)
        assert facts(replace(row, notes=format_facts(found))) == found, row.id


@pytest.mark.parametrize("path", PUBLISHED.glob("*.csv"), ids=lambda path: path.name)
def test_shipped_rows_say_what_the_originals_say(path: Path) -> None:
    """Without the originals, the shipped table is compared with itself read again."""
    found = [each for each in originals() if each.name == f"{path.stem}_measured.csv"]
    there = {row.id: row for row in read_rows(found[0] if found else path)}
    shipped = read_rows(path)
    for row in shipped:
        original = there[row.id]
        assert facts(row) == facts(original), row.id
        assert replace(row, notes="") == replace(original, notes=""), row.id
    wanted = {row.id for row in there.values() if row.role in ("calibrate", "check", "replicate")}
    assert wanted <= {row.id for row in shipped}


def test_shipped_notes_are_facts_only() -> None:
    for path in PUBLISHED.glob("*.csv"):
        for row in read_rows(path):
            for part in filter(None, row.notes.split("; ")):
                name, _, value = part.partition("=")
                assert str(facts(row)[name]).removesuffix(".0") == value, (row.id, part)
