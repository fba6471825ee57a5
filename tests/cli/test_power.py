"""``power`` on a workload written by hand, and ``devices``."""

from __future__ import annotations

import json

import pytest

from hw_models import Workload, device_names, estimate


def test_a_workload_of_ten_lines_is_costed(call, workload):
    assert len(workload.read_text().splitlines()) <= 10
    called = call("power", workload, "--device", "loihi2+jetson-orin-nano", "--json")
    assert (called.code, called.err) == (0, "")
    summary = json.loads(called.out)
    assert set(summary) == {"schema_version", "workload_hash", "devices"}
    counted = Workload.load(workload)
    assert summary["workload_hash"] == counted.hash()
    expected = estimate(counted, "loihi2+jetson-orin-nano").to_dict()
    assert summary["devices"] == {"loihi2+jetson-orin-nano": json.loads(json.dumps(expected))}


def test_options_reach_the_estimate(call, workload):
    options = ["--device", "jetson-orin-nano@7w", "--rate", "5", "--deploy-precision", "int8"]
    called = call("power", workload, *options, "--seed", "4", "--json")
    report = json.loads(called.out)["devices"]["jetson-orin-nano@7w"]
    counted = Workload.load(workload)
    expected = estimate(counted, "jetson-orin-nano@7w", rate_hz=5, deploy_as="int8", seed=4)
    assert report == json.loads(json.dumps(expected.to_dict()))


def test_the_table_shows_the_usual_devices_and_what_they_rest_on(call, workload):
    called = call("power", workload)
    said = " ".join(called.out.split())
    for words in ("jetson-orin-nano", "snapdragon-8-gen-3", "loihi2", "rests most on", "estimates"):
        assert words in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"schema_version": 1}', ""),
        ('{"schema_version": 9}', "schema_version: expected 1, got 9"),
    ],
)
def test_a_bad_workload_is_a_bad_file(text, expected, call, tmp_path):
    path = tmp_path / "w.json"
    path.write_text(text)
    called = call("power", path)
    assert called.code == 3
    assert called.message.startswith(f"{path}: ")
    assert expected in called.message
    assert call("power", tmp_path / "none.json").code == 3
    assert call("power", tmp_path).code == 3


def test_a_device_of_your_own_that_is_broken_is_a_bad_file(call, workload, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("family = 3\n")
    called = call("power", workload, "--device", path)
    assert called.code == 3
    assert str(path) in called.message


def test_devices_are_listed_with_modes_and_systems(call):
    called = call("devices", "--json")
    assert (called.code, called.err) == (0, "")
    listed = json.loads(called.out)["devices"]
    assert list(listed) == list(device_names())
    assert {"loihi1", "loihi2", "jetson-orin-nano@7w", "loihi2+snapdragon-8-gen-3"} <= set(listed)
    text = call("devices").out
    assert all(name in text for name in listed if "+" not in name and "@" not in name)
    assert "chip+processor is a system" in text
