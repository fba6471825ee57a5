"""Each command prints what the library returns."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import hw_models
from hw_models import (
    LayerOps,
    OpKind,
    Ops,
    Workload,
    battery_life,
    break_even,
    compare,
    device_names,
    duty_cycle,
    estimate,
    load_device,
)
from hw_models.__main__ import main
from hw_models.chip import NeuromorphicChip
from hw_models.contract import check_device, record_of
from hw_models.core_map import core_map
from hw_models.published import load_published, published_workloads
from hw_models.sourced import sourced_items
from hw_models.template import template

ROOT = Path(hw_models.__file__).parents[1]


# estimate


def test_json_is_what_the_library_returns(call: Any, saved: str, pipeline: Workload) -> None:
    names = ["loihi2", "jetson-orin-nano@7w"]
    devices = [word for name in names for word in ("--device", name)]
    done = call("estimate", saved, *devices, "--rate", 20, "--deploy-precision", "int8", "--json")
    assert done.record["schema_version"] == 1
    assert done.record["workload_hash"] == pipeline.hash()
    assert list(done.record["devices"]) == names
    for name in names:
        report = estimate(pipeline, name, rate_hz=20, deploy_as="int8")
        found = done.record["devices"][name]
        for key, value in report.to_dict().items():
            assert found[key] == value
        assert found["rate_hz"] == 20
        assert sum(row["energy_mj"]["value"] for row in found["rows"]) == pytest.approx(
            found["energy_mj"]["value"]
        )
        assert sum(row["time_ms"]["value"] for row in found["times"]) == pytest.approx(
            found["latency_ms"]["value"]
        )
        assert sum(each["value"] for each in found["by_stage_mj"].values()) == pytest.approx(
            found["energy_mj"]["value"]
        )


def test_redirected_it_is_the_markdown_report(call: Any, saved: str, pipeline: Workload) -> None:
    done = call("estimate", saved, "--device", "jetson-nano")
    assert (done.code, done.err) == (0, "")
    assert done.out == estimate(pipeline, "jetson-nano").to_markdown() + "\n"
    assert call("estimate", saved, "--device", "jetson-nano", "--markdown").out == done.out


def test_several_devices_share_a_table_with_front_ends_last(call: Any, saved: str) -> None:
    out = call("estimate", saved, "--device", "loihi2", "--device", "jetson-nano").out
    names = [line.split(" | ")[0].strip("| ") for line in out.splitlines()[4:6]]
    assert names == ["jetson-nano", "loihi2 (front end only)"]


def test_totals_stand_for_a_file(call: Any) -> None:
    totals = "gmacs=4.1, params_m=25.6,op_class=vit,n_layers=120,act_melems=11,batch=2,name=net"
    record = call("estimate", "--totals", totals, "--device", "jetson-nano", "--json").record
    workload = Workload.from_totals(
        4_100_000_000,
        25_600_000,
        name="net",
        op_class="vit",
        n_layers=120,
        act_elements=11_000_000,
        batch=2,
    )
    assert record["workload_hash"] == workload.hash()


def test_published_networks_are_known_by_name(call: Any) -> None:
    name = published_workloads()[0]
    record = call("estimate", name, "--device", "jetson-agx-orin", "--json").record
    assert record["workload_hash"] == load_published(name).hash()


def test_a_measured_latency_is_followed(call: Any, saved: str) -> None:
    arguments = ("estimate", saved, "--device", "jetson-nano", "--json")
    record = call(*arguments, "--latency-ms", 12.5).record["devices"]["jetson-nano"]
    assert record["latency_ms"] == pytest.approx({"value": 12.5, "low": 12.5, "high": 12.5})


def test_seed_and_samples_reach_the_draws(call: Any, saved: str, pipeline: Workload) -> None:
    options = ("--samples", 50, "--seed", 7, "--json")
    record = call("estimate", saved, "--device", "jetson-nano", *options).record
    expected = estimate(pipeline, "jetson-nano", samples=50, seed=7).to_dict()
    assert record["devices"]["jetson-nano"]["energy_mj"] == expected["energy_mj"]
    assert expected != estimate(pipeline, "jetson-nano").to_dict()


def test_battery_life_stands_beside_the_estimate(call: Any, saved: str, pipeline: Workload) -> None:
    arguments = ("estimate", saved, "--device", "jetson-nano", "--rate", 2, "--battery-wh", 50)
    duty = duty_cycle(pipeline, "jetson-nano", rate_hz=2)
    life = battery_life(duty.power_w, 50)
    found = call(*arguments, "--json").record["devices"]["jetson-nano"]["duty_cycle"]
    assert found["battery_h"] == pytest.approx(asdict(life))
    assert found["power_mw"] == duty.power_w.scaled(1e3)
    assert f"| battery of 50 Wh lasts | {life.value:.3g} h (" in call(*arguments).out


# devices


def test_devices_lists_every_name(call: Any) -> None:
    listed = call("devices", "--json").record["devices"]
    assert list(listed) == list(device_names())
    text = call("devices").out
    alone = [name for name in listed if "+" not in name and "@" not in name]
    assert [line.split()[1] for line in text.splitlines()[4 : 4 + len(alone)]] == alone
    for name in alone:
        assert load_device(name).boundary in text


def test_families_are_filtered(call: Any) -> None:
    listed = call("devices", "--family", "neuromorphic", "--json").record["devices"]
    assert listed
    assert all(isinstance(load_device(name), NeuromorphicChip) for name in listed)
    systems = call("devices", "--family", "system").out
    assert "| loihi2+jetson-nano |" in systems


@pytest.mark.parametrize("name", ["loihi2", "jetson-orin-nano@7w"])
def test_a_device_shows_every_constant_with_its_source(call: Any, name: str) -> None:
    device = load_device(name)
    expected = dict(sourced_items(device))
    entry = call("devices", name, "--json").record["devices"][name]
    found = {each["key"]: each for each in entry["constants"]}
    assert set(found) == set(expected)
    text = call("devices", name).out
    for key, number in expected.items():
        assert {k: found[key][k] for k in asdict(number)} == asdict(number)
        assert f"| {number.source}: {number.locator} |" in text
    assert sum(entry["basis"].values()) == len(expected)


def test_a_system_shows_its_links_too(call: Any) -> None:
    out = call("devices", "loihi2+jetson-nano").out
    for key in ("loihi2.constants.synop_j", "jetson-nano.byte_j", "ethernet.latency_s"):
        assert f"| {key} |" in out


def test_a_template_is_written_once_and_passes_the_contract(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert call("devices", "--template", "accelerator", path).code == 0
    text = path.read_text(encoding="utf-8")
    assert call("devices", "--template", "accelerator").out == text
    again = call("devices", "--template", "accelerator", path)
    assert (again.code, again.out) == (3, "")
    assert "exists already" in again.err
    found = call("devices", "--check", path, "--json").record["devices"][str(path)]
    assert found == record_of(check_device(path))
    assert found["passes"] is True
    assert call("devices", path, "--json").record["devices"][str(path)]["family"] == "accelerator"


def test_a_device_that_breaks_the_contract_fails_with_its_findings(
    call: Any, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    text = template("accelerator")
    start = text.index("byte_j")
    path.write_text(text[:start] + text[start:].replace("value =", "value = 1e9 #", 1))
    done = call("devices", "--check", path, "--json")
    assert (done.code, done.err) == (3, "")
    assert json.loads(done.out)["devices"][str(path)]["passes"] is False
    shown = call("devices", "--check", path, "jetson-nano")
    assert shown.code == 3
    assert f"{path} does not pass" in shown.out
    assert "jetson-nano passes" in shown.out


# compare


def test_compare_shows_the_library_s_comparison(call: Any, saved: str, pipeline: Workload) -> None:
    names = ["jetson-nano", "loihi2+jetson-nano"]
    devices = [word for name in names for word in ("--device", name)]
    expected = compare([estimate(pipeline, name) for name in names])
    assert call("compare", saved, *devices).out == expected.to_markdown() + "\n"
    record = call("compare", saved, *devices, "--json").record
    assert record["ratios"] == [asdict(each) for each in expected.ratios()]
    assert list(record["devices"]) == names


def test_unlike_coverage_is_refused_with_the_reason(call: Any, saved: str) -> None:
    done = call("compare", saved, "--device", "loihi2", "--device", "jetson-nano")
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(
        "hw_models: cannot compare loihi2 and jetson-nano: coverage differs, frontend+change and "
        "frontend+change+encoder+decoder"
    )


# map


def test_map_gives_every_core_and_the_verdict(call: Any, saved: str, pipeline: Workload) -> None:
    chip = load_device("loihi2")
    assert isinstance(chip, NeuromorphicChip)
    record = call("map", saved, "--device", "loihi2+jetson-nano", "--json").record
    assert record["cores"] == [asdict(core) for core in core_map(pipeline, chip)]
    assert record["fits"] is True
    assert record["n_cores"] == sum(layer["n_cores"] for layer in record["layers"])
    assert {each["stage"] for each in record["not_mapped"]} == {"encoder", "decoder"}
    text = call("map", saved, "--device", "loihi2").out
    assert f"- {record['reason']}" in text
    assert "- encoder: " in text


def test_map_shows_axons_as_shares_of_their_limits(call: Any, tmp_path: Path) -> None:
    """10 neurons that hear 1,000 take 1,000 input axons; each of the 1,000 reaches one core."""
    layers = (
        LayerOps("frontend", "F", OpKind.SPIKING, Ops(), neurons=1000),
        LayerOps("change", "D", OpKind.SPIKING, Ops(), neurons=10, synapses=10_000),
    )
    path = tmp_path / "two.json"
    Workload("two", 1, 25, layers, ticks=25).save(path)
    chip = load_device("loihi1")
    assert isinstance(chip, NeuromorphicChip)
    assert chip.limits.axons_in is not None and chip.limits.axons_out is not None
    first, second = call("map", path, "--device", "loihi1", "--json").record["layers"]
    assert first["axon_out_share"] == 1000 / chip.limits.axons_out.value
    assert second["axon_in_share"] == 1000 / chip.limits.axons_in.value
    out = call("map", path, "--device", "loihi1").out
    (row,) = (line.split(" | ") for line in out.splitlines() if line.startswith("| change/D |"))
    assert row[4] == f"{second['axon_in_share']:.0%}"


def test_map_says_what_does_not_fit(call: Any, tmp_path: Path, pipeline: Workload) -> None:
    wide = replace(pipeline.layers[2], synapses=196 * 200_000)
    path = tmp_path / "wide.json"
    Workload("wide", 40, 25, (*pipeline.layers[:2], wide), ticks=1000).save(path)
    record = call("map", path, "--device", "loihi2", "--json").record
    assert record["fits"] is False
    assert record["shortfalls"][0]["layer"] == "change/D"
    out = call("map", path, "--device", "loihi2").out
    assert record["reason"] in out
    (row,) = (line for line in out.splitlines() if line.startswith("| change/D |"))
    assert row.endswith("| does not fit |")


# break-even


@pytest.mark.parametrize(
    ("over", "name"), [("rate", "rate"), ("event-rate", "event_rate"), ("activity", "activity")]
)
def test_break_even_is_the_library_s_answer(
    call: Any, saved: str, pipeline: Workload, over: str, name: Any
) -> None:
    ends = {"rate": (0.5, 500), "event-rate": (100, 1e6), "activity": (0.1, 0.9)}[over]
    done = call(
        *("break-even", saved, "--a", "jetson-nano", "--b", "jetson-orin-nano", "--over", over),
        *("--low", ends[0], "--high", ends[1], "--samples", 100, "--json"),
    )
    found = break_even(
        pipeline,
        "jetson-nano",
        "jetson-orin-nano",
        over=name,
        low=ends[0],
        high=ends[1],
        samples=100,
    )
    assert done.record == {"schema_version": 1, **found.to_dict()}


def test_break_even_says_the_answer_first(call: Any, front: str) -> None:
    arguments = ("break-even", front, "--a", "jetson-nano", "--b", "loihi2", "--over", "rate")
    record = call(*arguments, "--json").record
    assert record["x"][0] == pytest.approx(40 * 1e-3)
    assert record["x"][-1] == pytest.approx(40 * 10)
    out = call(*arguments).out
    assert out.splitlines()[4] == f"- {record['verdict']}"
    for note in record["notes"]:
        assert f"- {note}" in out


# validate


def test_validate_predicts_rows_of_a_file(call: Any, tmp_path: Path) -> None:
    shipped = ROOT / "hw_models/published/edge.csv"
    lines = shipped.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines[:4]) + "\n", encoding="utf-8")
    record = call("validate", "--rows", path, "--json").record
    assert record["schema_version"] == 1
    ids = {line.split(",")[0] for line in lines[1:4]}
    assert {e["id"] for e in [*record["predictions"], *record["not_predicted"]]} <= ids


# never a silent zero


def test_stages_that_no_model_covers_are_named(
    call: Any, tmp_path: Path, pipeline: Workload
) -> None:
    path = tmp_path / "ann.json"
    Workload("ann", 1, 25, pipeline.layers[3:]).save(path)
    out = call("estimate", path, "--device", "loihi2").out
    assert "| energy above idle | - | - |" in out
    for stage in ("encoder", "decoder"):
        assert f"- not covered: {stage}: " in out
    record = call("estimate", path, "--device", "loihi2", "--json").record["devices"]["loihi2"]
    assert record["energy_active_mj"] is None
    assert record["rows"] == []
    done = call("map", path, "--device", "loihi2")
    assert (done.code, done.out) == (2, "")
    assert "loihi2 runs nothing of 'ann' that takes cores: encoder: " in done.err


def test_a_kind_that_a_device_does_not_know_is_refused(
    call: Any, tmp_path: Path, saved: str
) -> None:
    shipped = (ROOT / "hw_models/catalog/snapdragon-8-gen-3.toml").read_text(encoding="utf-8")
    device = load_device("snapdragon-8-gen-3")
    assert OpKind.ATTENTION in device.kinds  # type: ignore[union-attr]
    lines = shipped.splitlines()
    start = lines.index("[kinds.attention]")
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("["))
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines[:start] + lines[end:]), encoding="utf-8")
    done = call("estimate", saved, "--device", path)
    assert (done.code, done.out) == (2, "")
    assert "no constants for layers of kind attention" in done.err


@pytest.mark.parametrize(
    ("option", "lacking", "cure"),
    [
        ("--plot", ["matplotlib"], "--plot needs matplotlib: pip install matplotlib"),
        ("--html", ["jinja2"], "--html needs jinja2: pip install jinja2"),
    ],
)
def test_a_missing_library_is_named_with_its_cure(
    option: str,
    lacking: list[str],
    cure: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "hw_models.faces.output.find_spec", lambda name: None if name in lacking else found(name)
    )
    out = tmp_path / ("x.png" if option == "--plot" else "x.html")
    code = main(["estimate", "e2vid", "--device", "jetson-nano", option, str(out)])
    assert code == 4
    assert capsys.readouterr().err == f"hw_models: {cure}\n"
    assert not out.exists()


def test_a_terminal_without_rich_gets_markdown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = ["estimate", "e2vid", "--device", "jetson-nano"]
    assert main([*question, "--markdown"]) == 0
    markdown = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(question) == 0
    assert capsys.readouterr().out != markdown
    monkeypatch.setattr("hw_models.faces.output.find_spec", lambda _name: None)
    assert main(question) == 0
    assert capsys.readouterr().out == markdown
