"""The subcommand: files in, tables, JSON, Markdown and a picture out."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import pytest

from hw_models.errors import EstimateError, OutputError, RowsError
from hw_models.plot.validation import plot_validation
from hw_models.uncertainty import Interval
from hw_models.validate import command
from hw_models.validate.edge import predict_edge
from hw_models.validate.outcome import Prediction, Refusal
from hw_models.validate.rows import EDGE_COLUMNS, LOIHI_COLUMNS, EdgeRow, LoihiRow
from hw_models.validate.targets import LATENCY, TARGETS

PLAIN = dict.fromkeys(EDGE_COLUMNS, "") | {"role": "check", "op_class": "cnn", "source": "Paper"}


def stub(row: EdgeRow, *, samples: int, seed: int) -> tuple[Prediction | Refusal, ...]:
    """Predict 10 ms for every latency, on one device."""
    if row.latency_ms is None:
        return (Refusal("nothing was measured"),)
    found = Interval(10e-3, 8e-3, 12e-3)
    return (Prediction(LATENCY, row.latency_ms / 1e3, found, "s", "jetson-x@15w", "int8"),)


def loihi_stub(row: LoihiRow, *, samples: int, seed: int) -> tuple[Prediction | Refusal, ...]:
    return (Refusal(f"asked for {row.chip}"),)


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = write(tmp_path / "shipped.csv", {"id": "s", "role": "calibrate", "workload": "Old"})
    monkeypatch.setattr(command, "SHIPPED", (shipped,))
    monkeypatch.setattr(command, "predict_edge", stub)
    monkeypatch.setattr(command, "predict_loihi", loihi_stub)


def write(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = EDGE_COLUMNS) -> Path:
    plain = {name: PLAIN.get(name, "") for name in columns}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(plain | row for row in rows)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    latencies = {"a": "10", "b": "9", "c": "20"}
    measured = [
        {"id": name, "workload": f"Net {name}", "latency_ms": ms} for name, ms in latencies.items()
    ]
    others = [
        {"id": "none", "workload": "Net d"},
        {"id": "old", "workload": "Old", "latency_ms": "1000"},
        {"id": "fit", "role": "calibrate", "workload": "Net e", "latency_ms": "10"},
        {"id": "bad", "role": "exclude", "workload": "Net f", "latency_ms": "x"},
    ]
    return write(tmp_path / "rows.csv", *measured, *others)


def run(*arguments: str) -> str:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    namespace = parser.parse_args(["validate", *arguments])
    text = namespace.run(namespace)
    assert isinstance(text, str)
    return text


def test_json_is_one_object_with_every_row(rows: Path) -> None:
    found = json.loads(run("--rows", str(rows), "--json"))
    assert found["schema_version"] == 1
    assert found["files"] == ["rows.csv"]
    by_id = {each["id"]: each for each in found["predictions"]}
    assert set(by_id) == {"a", "b", "c", "old", "fit"}
    assert by_id["c"]["ratio"] == pytest.approx(0.5)
    assert not by_id["c"]["inside"]
    assert by_id["old"]["role"] == "fitted"
    assert [each["id"] for each in found["not_predicted"]] == ["none"]
    jetson = next(each for each in found["targets"] if each["name"].startswith("Jetson latency"))
    assert jetson["check"]["rows"] == 3
    assert jetson["check"]["worst"] == pytest.approx(2.0)
    assert jetson["check"]["inside"] == pytest.approx(2 / 3)
    assert jetson["fitted_not_a_check"]["rows"] == 2
    mean_error = (0 + 1 / 9 + 0.5) / 3
    assert jetson["check"]["mean_error"] == pytest.approx(mean_error)
    assert jetson["verdict"] == "missed: mean error 20.4%"
    assert found["by"]["device"][0]["name"] == "latency: jetson-x@15w"


def test_text_shows_every_target_and_why_rows_are_missing(rows: Path) -> None:
    text = run("--rows", str(rows), "--markdown")
    for target in TARGETS:
        assert target.name in text
    assert "no check rows here" in text
    assert "fitted networks (not a check)" not in text
    assert "nothing was measured" in text
    assert "67% of 3 check rows" in text
    assert "1 row is not scored, wholly or in part: their network set constants" in text
    assert "by device" in text
    short = run("--rows", str(rows), "--markdown", "--short")
    assert "verdict" in short
    assert "by device" not in short


def test_without_checks_calibration_is_shown_as_such(tmp_path: Path) -> None:
    row = {"id": "a", "role": "calibrate", "workload": "Net", "latency_ms": "10"}
    text = run("--rows", str(write(tmp_path / "fit.csv", row)), "--markdown")
    lines = [line for line in text.splitlines() if "fitted networks (not a check)" in line]
    assert len(lines) == 1
    assert "| 1 | 1 | 1.00 | 0% |" in lines[0]
    assert "no check rows (target 80% to 97%): no check rows here" in text


def test_markdown_tables_are_rectangular(rows: Path) -> None:
    lines = run("--rows", str(rows), "--markdown").splitlines()
    tables = [line for line in lines if line.startswith("|")]
    widths = {}
    for line in tables:
        if line.startswith("|---"):
            continue
        widths.setdefault(line.count("|"), []).append(line)
    assert sorted(widths) == [3, 11, 13]
    assert any("missed" in line for line in tables)


def test_the_default_is_what_is_shipped() -> None:
    assert json.loads(run("--json"))["files"] == ["shipped.csv"]


def test_rows_of_chips_go_to_the_chip_model_and_others_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "chips.csv",
        {"id": "a", "chip": "Intel Loihi 2"},
        {"id": "b", "chip": "IBM TrueNorth"},
        columns=LOIHI_COLUMNS,
    )
    found = json.loads(run("--rows", str(path), "--json"))
    assert [each["reason"] for each in found["not_predicted"]] == [
        "asked for Intel Loihi 2",
        "no device for 'IBM TrueNorth' in the catalog",
    ]


@pytest.mark.parametrize("options", [("--samples", "1"), ("--seed", "-1")])
def test_bad_sampling_is_refused_once(rows: Path, options: tuple[str, str]) -> None:
    with pytest.raises(EstimateError, match="must be at least"):
        run("--rows", str(rows), *options)


def test_a_bad_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.csv", {"id": "a", "latency_ms": "-3"})
    with pytest.raises(RowsError, match="line 2: latency_ms: expected a number above 0"):
        run("--rows", str(path))


def test_a_bad_note_is_refused_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "predict_edge", predict_edge)
    path = write(tmp_path / "bad.csv", {"id": "a", "notes": "idle_w=much"})
    with pytest.raises(RowsError, match=r"bad\.csv: line 2: notes: idle_w: expected a number"):
        run("--rows", str(path))


def test_a_picture_is_written_and_a_bad_path_refused(rows: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    run("--rows", str(rows), "--json", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="cannot write"):
        run("--rows", str(rows), "--plot", str(tmp_path / "none" / "picture.png"))


def test_the_picture_holds_each_scored_prediction(rows: Path) -> None:
    summary = command.validate([rows])
    ax = plot_validation(summary, unit="s")
    (bars,) = ax.containers
    measured, value = bars.lines[0].get_data()  # type: ignore[attr-defined]
    assert sorted(measured) == pytest.approx([9, 10, 20])
    assert list(value) == pytest.approx([10] * 3)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    empty = plot_validation(summary, unit="J")
    assert [text.get_text() for text in empty.texts] == ["no check rows to draw"]
