"""The JSON object that others script against."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import hw_models
from neurovlm.report import estimate_devices, summarise, to_json

KEYS = {
    "recording": {"path", "sensor", "n_events", "duration_s"},
    "windows": {"n", "ms"},
    "frontend": {"backend", "precision", "neurons", "spikes", "synops", "neuron_updates"},
    "tokens": {"grid", "mean_changed", "mean_active", "p95_active", "mean_refreshed"},
    "macs": {"dense", "executed", "ratio", "by_stage"},
}
DEVICE_KEYS = {
    "covers",
    "not_covered",
    "scope",
    "energy_active_mj",
    "energy_mj",
    "power_mw",
    "latency_ms",
    "realtime",
    "fits",
    "dense_twin",
    "notes",
}
QUANTITIES = ("energy_active_mj", "energy_mj", "power_mw", "latency_ms")


def strict(text):
    """Parse JSON without the NaN and Infinity that Python's parser lets through."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def summary(result, reports):
    return strict(to_json(summarise(result, reports)))


def test_the_keys_are_those_of_the_contract(summary):
    assert set(summary) == {
        "schema_version",
        *KEYS,
        "predictions",
        "devices",
        "seed",
        "versions",
        "workload_hash",
    }
    assert summary["schema_version"] == 1
    assert {part: set(summary[part]) for part in KEYS} == KEYS
    for prediction in summary["predictions"]:
        assert set(prediction) == {"t_us", "label", "confidence", "caption", "boxes"}


def test_every_device_has_the_keys_and_quantities_of_the_contract(summary, result):
    assert list(summary["devices"]) == list(result.config.devices)
    for device in summary["devices"].values():
        assert set(device) >= DEVICE_KEYS
        for name in QUANTITIES:
            assert set(device[name]) == {"value", "low", "high"}
            assert device[name]["low"] <= device[name]["value"] <= device[name]["high"]
    alone = summary["devices"]["loihi2"]
    assert {each["stage"] for each in alone["not_covered"]} >= {"encoder", "decoder"}
    assert all(each["reason"] for each in alone["not_covered"])


def test_tokens_count_the_first_frame_and_the_refreshes(summary, result):
    n_active = result.active.sum(axis=1)
    tokens = summary["tokens"]
    assert n_active[0] == 196
    assert tokens["grid"] == [14, 14]
    assert tokens["mean_active"] == pytest.approx(sum(map(int, n_active)) / len(n_active))
    assert tokens["p95_active"] == np.percentile(n_active, 95)
    assert tokens["mean_changed"] == pytest.approx(result.mask.changed.sum() / result.n_windows)
    assert tokens["mean_refreshed"] == pytest.approx(result.refreshed.sum() / result.n_windows)


def test_macs_are_those_of_the_ann_and_sum_over_the_stages(summary, result):
    macs = summary["macs"]
    by_layer = [layer for layer in result.workload.layers if not layer.is_spiking]
    assert macs["executed"] == sum(layer.executed.macs for layer in by_layer)
    assert macs["dense"] == sum(layer.dense.macs for layer in by_layer)
    assert macs["ratio"] == pytest.approx(macs["dense"] / macs["executed"])
    for which in ("dense", "executed"):
        assert sum(stage[which] for stage in macs["by_stage"].values()) == macs[which]
    assert set(macs["by_stage"]).isdisjoint({"frontend", "change"})


def test_front_end_counts_sum_over_the_populations(summary, result):
    counts = summary["frontend"]
    trains = result.trace.spikes.values()
    assert counts["spikes"] == sum(len(train) for train in trains)
    assert counts["neurons"] == sum(train.n_neurons for train in trains)
    assert counts["neuron_updates"] == counts["neurons"] * result.trace.n_ticks
    assert (counts["backend"], counts["precision"]) == ("fast", "loihi")


def test_sensor_seed_versions_and_hash(summary, result):
    assert summary["recording"]["sensor"] == [128, 128]
    assert summary["windows"] == {"n": result.n_windows, "ms": 25.0}
    assert summary["seed"] == 5
    assert summary["versions"]["numpy"] == np.__version__
    assert summary["workload_hash"] == result.workload.hash()


def test_a_run_without_macs_has_no_ratio(result):
    spiking = tuple(layer for layer in result.workload.layers if layer.is_spiking)
    bare = replace(result, workload=replace(result.workload, layers=spiking))
    assert summarise(bare, {})["macs"] == {
        "dense": 0,
        "executed": 0,
        "ratio": None,
        "by_stage": {},
    }


def test_nan_is_refused_rather_than_written(result):
    summary = summarise(result, {})
    summary["tokens"]["mean_active"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        to_json(summary)


def test_devices_follow_rate_precision_and_seed_of_the_config(result):
    config = replace(
        result.config, devices=("jetson-nano",), rate_hz=10.0, deploy_precision="fp32", seed=3
    )
    report = estimate_devices(replace(result, config=config))["jetson-nano"]
    assert (report.rate_hz, report.deploy_as, report.seed) == (10.0, "fp32", 3)


def test_an_unknown_device_is_named(result):
    config = replace(result.config, devices=("abacus",))
    with pytest.raises(hw_models.UnknownDeviceError, match="abacus"):
        estimate_devices(replace(result, config=config))
