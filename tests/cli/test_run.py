"""``run`` and ``demo``: the JSON contract, the files, reproducing a run from what it wrote."""

from __future__ import annotations

import json
import shutil
import tomllib

import numpy as np
import pytest

from hw_models import Workload
from neurovlm.report.files import FILES

TOP = (
    "schema_version recording windows frontend tokens macs predictions devices seed versions "
    "workload_hash"
)
KEYS = {
    "": TOP,
    "recording": "path sensor n_events duration_s",
    "windows": "n ms",
    "frontend": "backend precision neurons spikes synops neuron_updates",
    "tokens": "grid mean_changed mean_active p95_active mean_refreshed",
    "macs": "dense executed ratio by_stage",
}
PREDICTION = {"t_us", "label", "confidence", "caption", "boxes"}
DEVICE = {
    *("covers", "not_covered", "scope", "energy_active_mj", "energy_mj", "power_mw"),
    *("latency_ms", "realtime", "fits", "dense_twin", "notes"),
}  # an entry may say more
QUANTITIES = ("energy_active_mj", "energy_mj", "power_mw", "latency_ms")


def strict(text: str) -> dict:
    """The one JSON object in ``text``; NaN and infinities are no JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_has_exactly_the_keys_of_the_contract(finished, recording, stream):
    assert (finished.code, finished.err) == (0, "")
    summary = strict(finished.out)
    for name, keys in KEYS.items():
        part = summary[name] if name else summary
        assert set(part) == set(keys.split()), name
    assert all(set(p) == PREDICTION for p in summary["predictions"])
    assert list(summary["devices"]) == ["loihi2", "loihi2+jetson-orin-nano"]
    for device in summary["devices"].values():
        assert set(device) >= DEVICE
        for name in QUANTITIES:
            quantity = device[name]
            assert quantity is None or set(quantity) == {"value", "low", "high"}
    assert summary["recording"]["path"] == str(recording)
    assert summary["recording"]["sensor"] == [128, 128]
    assert summary["recording"]["n_events"] == len(stream)
    assert summary["windows"] == {"n": 6, "ms": 25.0}
    assert summary["frontend"]["precision"] == "float32"
    assert summary["seed"] == 3
    assert summary["tokens"]["grid"] == [14, 14]
    assert summary["macs"]["ratio"] == summary["macs"]["dense"] / summary["macs"]["executed"]
    stages = summary["macs"]["by_stage"]
    assert set(stages) == {"encoder", "fusion", "decoder"}
    for which in ("dense", "executed"):
        assert sum(stage[which] for stage in stages.values()) == summary["macs"][which]


def test_what_is_printed_is_what_is_written(finished):
    summary, folder = strict(finished.out), finished.folder
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert [p.name for p in folder.parent.iterdir()] == ["out"]
    assert strict((folder / "summary.json").read_text()) == summary
    workload = Workload.load(folder / "workload.json")
    assert workload.hash() == summary["workload_hash"]
    assert workload.total("executed").macs == summary["macs"]["executed"]
    with np.load(folder / "trace.npz") as trace:
        assert int(trace["n_neurons"]) == 196
        spikes = sum(len(trace[key]) for key in trace.files if key.endswith("tick"))
    assert spikes == summary["frontend"]["spikes"]


def test_the_written_config_repeats_the_run(call, finished, recording, tmp_path):
    config = finished.folder / "config.toml"
    again = call("run", recording, "--out", tmp_path / "b", "--json", "--config", config)
    assert strict(again.out) == strict(finished.out)
    values = tomllib.loads(config.read_text())
    assert values["detector"]["detector_threshold"] == 96
    assert values["spec"]["policy"]["max_active"] == 32


def test_overwrite_replaces_the_run_keeps_other_files_and_prints_a_table(
    call, finished, recording, model, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(finished.folder, out)
    (out / "mine.txt").write_text("precious")
    called = call("run", recording, "--model", model, "--out", out, "--overwrite")
    assert (called.code, called.err) == (0, "")
    assert (out / "mine.txt").read_text() == "precious"
    assert (out / "summary.json").read_text() != (finished.folder / "summary.json").read_text()
    said = " ".join(called.out.split())
    for words in ("6 of 25 ms", "loihi precision", "M MACs executed", "front end only"):
        assert words in said
    assert called.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "\x1b[" not in called.out  # no colours where nobody looks


@pytest.fixture(scope="module")
def options(model):
    return ["--model", model, "--device", "loihi2", "--device", "loihi2+jetson-orin-nano"]


@pytest.mark.slow
def test_start_stop_and_sensor_are_obeyed(call, recording, options, tmp_path):
    part = ["--start", "0.05", "--stop", "0.1", "--sensor", "160x128"]
    called = call("run", recording, "--out", tmp_path / "out", "--json", *options, *part)
    summary = strict(called.out)
    assert summary["windows"]["n"] == 2
    assert summary["recording"]["sensor"] == [160, 128]


@pytest.mark.slow
def test_another_rate_changes_power_not_counts(call, recording, options, tmp_path):
    def at(rate: str) -> dict:
        out = tmp_path / rate
        return strict(call("run", recording, "--out", out, "--json", *options, "--rate", rate).out)

    slow, quick = at("10"), at("40")
    assert slow["workload_hash"] == quick["workload_hash"]
    slow, quick = (s["devices"]["loihi2+jetson-orin-nano"] for s in (slow, quick))
    assert slow["energy_active_mj"] == quick["energy_active_mj"]
    assert slow["power_mw"]["value"] < quick["power_mw"]["value"]


@pytest.mark.slow
def test_demo_runs_without_a_recording(call, options, tmp_path):
    called = call("demo", "--out", tmp_path / "out", "--json", *options)
    assert (called.code, called.err) == (0, "")
    summary = strict(called.out)
    assert summary["recording"]["path"] == "demo scene"
    assert summary["windows"]["n"] == 160
    called = call("demo", "--out", tmp_path / "half", "--json", *options, "--stop", "0.5")
    assert strict(called.out)["windows"]["n"] == 20
    assert (tmp_path / "half" / "report.html").stat().st_size > 10_000
