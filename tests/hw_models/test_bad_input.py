"""What people get wrong in files and calls is refused in one line: file, key, value, cure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_models import (
    Accelerator,
    CatalogError,
    ComparisonError,
    EstimateError,
    LayerOps,
    NeuromorphicChip,
    OpKind,
    Ops,
    Sourced,
    Workload,
    WorkloadError,
    compare,
    estimate,
    load_device,
    with_constant,
)
from hw_models.template import template

IDLE = "idle_w     = { value = 3, low = 1, high = 8, "
BYTE = "byte_j     = { value = 80e-12, low = 30e-12, high = 200e-12, "
A_NUMBER = r"\{ value, low, high, source, locator, basis \}"


@pytest.mark.parametrize(
    ("family", "old", "new", "message"),
    [
        # units and keys
        (
            "accelerator",
            "idle_w     =",
            "idle_mw =",
            r"modes.default.idle_mw: unknown key, did you mean 'idle_w'\?$",
        ),
        ("accelerator", IDLE, IDLE + 'unit = "W", ', "modes.default.idle_w.unit: unknown key, got"),
        (
            "accelerator",
            IDLE,
            IDLE.replace("value = 3,", 'value = "3 W",'),
            r"idle_w.value: expected a number in SI units, without quotes .*, got '3 W'$",
        ),
        (
            "neuromorphic",
            "synop_j  ",
            "synopj   ",
            r"constants.synopj: unknown key, did you mean 'synop_j'\? \(and 1 more\)$",
        ),
        ("system", "\nstages =", "\nstage =", r"parts\[0\].stage: unknown key, did you mean 'stag"),
        # incomplete numbers
        (
            "accelerator",
            f'{BYTE}source = "assumption", ',
            BYTE,
            f"byte_j.source: required key is missing; a number is {A_NUMBER}$",
        ),
        ("link", "low = 20e-6, ", "", f"latency_s.low: required key .* number is {A_NUMBER}$"),
        (
            "accelerator",
            "notes = [] ",
            "byte_j = 80e-12\nnotes = [] ",
            "not TOML: Cannot overwrite",
        ),
        # numbers out of order
        (
            "accelerator",
            BYTE,
            BYTE.replace("30e-12", "90e-12"),
            "byte_j: expected 0 <= low <= value <= high, got low 9e-11, value 8e-11, high 2e-10$",
        ),
        ("accelerator", BYTE, BYTE.replace("value = 80e-12", "value = nan"), "got .* value nan"),
        ("accelerator", BYTE, BYTE.replace("200e-12", "inf"), "byte_j: expected 0 .* high inf$"),
        ("accelerator", BYTE, BYTE.replace("200e-12", "true"), "byte_j.high: .*, got True$"),
        ("accelerator", BYTE, BYTE.replace("30e-12", "-1"), "byte_j: expected 0 <= low .*low -1"),
        # what the equations divide by
        (
            "accelerator",
            "low = 20e9, high = 40e9",
            "low = 0, high = 40e9",
            r"modes.default: byte_per_s.any: low must be above 0, got 0$",
        ),
        (
            "accelerator",
            "{ value = 0.4, low = 0.15",
            "{ value = 0.4, low = 0",
            "kinds.conv: efficiency.any: low must be above 0, got 0$",
        ),
        ("link", "low = 0.5e8", "low = 0", "byte_per_s: low must be above 0, got 0$"),
        (
            "neuromorphic",
            "{ value = 128, low = 128",
            "{ value = 128, low = 0.5",
            "limits: cores_per_chip: low must be at least 1, got 0.5$",
        ),
        # names
        (
            "accelerator",
            "mac_per_s.int8",
            "mac_per_s.int4",
            "mac_per_s.int4: expected .* got 'int4', did you mean 'int8'",
        ),
        ("accelerator", 'deploy_as = "int8"', 'deploy_as = "fp8"', "deploy_as: expected 'fp32'"),
        (
            "accelerator",
            "[kinds.conv]",
            "[kinds.conv3d]",
            r"kinds.conv3d: expected .*, got 'conv3d', did you mean 'conv'\?$",
        ),
        ("accelerator", 'combine = "max"', 'combine = "min"', "decode.combine: expected 'sum', "),
        ("accelerator", 'law = "per-layer"', 'law = "layers"', "law: expected 'per-layer' or 'net"),
        ("accelerator", 'mode = "default"', 'mode = "fast"', "'fast' is not among the modes def"),
        ("link", 'basis = "assumed"', 'basis = "guess"', "basis: expected 'measured', .* 'guess'"),
        ("link", 'source = "assumption"', 'source = "me"', "source: expected a key of references"),
        ("link", 'family = "link"', 'family = "wire"', "family: expected one of neuromorphic"),
        # systems
        (
            "system",
            '"loihi2"',
            '"loihi3"',
            r"parts\[0\].device: unknown device 'loihi3', did you mean 'loihi2'\?; known: ",
        ),
        ("system", '"ethernet"', '"ethernot"', r"links\[0\]: unknown link 'ethernot', did you me"),
        ("system", '"change"]', '"chang"]', r"parts\[0\].stages: unknown stage 'chang', did you "),
        ("system", 'links = ["ethernet"]', "links = []", "links: 2 parts need 1, got 0$"),
        ("system", '["router", ', '["change", ', "stage change already runs on loihi2$"),
    ],
)
def test_a_device_file(family: str, old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert old in template(family)
    path.write_text(template(family).replace(old, new, 1))
    with pytest.raises(CatalogError, match=message) as caught:
        load_device(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


Edit = Callable[[dict[str, Any]], Any]
RECORD = {
    "schema_version": 1,
    "name": "mine",
    "inferences": 2,
    "window_ms": 25,
    "ticks": 10,
    "layers": [
        {
            "stage": "encoder",
            "layer": "a",
            "kind": "gemm",
            "executed": {"macs": 10, "launches": 1},
            "dense": {"macs": 20, "launches": 1},
        }
    ],
}


def executed(**counts: Any) -> Edit:
    return lambda record: record["layers"][0]["executed"].update(counts)


def first_layer(**values: Any) -> Edit:
    return lambda record: record["layers"][0].update(values)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (executed(macs=-1), r"layers\[0\].executed: macs must be at least 0, got -1$"),
        (executed(macs=30), "layer encoder/a: executed.macs = 30 exceeds dense.macs = 20; exec"),
        (first_layer(padded={"macs": 9, "launches": 1}), "executed.macs = 10 exceeds padded.macs"),
        (first_layer(padded={"macs": 21, "launches": 1}), "padded.macs = 21 exceeds dense.macs"),
        (executed(macs=1.5), r"layers\[0\].executed.macs: expected a whole number, got 1.5$"),
        (executed(macs=math.nan), "executed.macs: expected a whole number, got nan$"),
        (executed(macs=math.inf), "executed.macs: expected a whole number, got inf$"),
        (executed(macs="10 GMAC"), "executed.macs: expected a whole number, got '10 GMAC'$"),
        (executed(gmacs=1), r"executed.gmacs: unknown key, got 1, did you mean 'macs'\?$"),
        (lambda record: record.update(window_s=1), "window_s: unknown .* mean 'window_ms'"),
        (lambda record: record.update(window_ms=math.nan), "window_ms must be positive .* nan$"),
        (lambda record: record.update(window_ms=-math.inf), "window_ms must be positive .* -inf$"),
        (lambda record: record.update(inferences=0), "inferences must be at least 1, got 0$"),
        (lambda record: record.update(ticks=math.inf), "ticks: expected a whole number, got inf$"),
        (lambda record: record.update(deploy_as="int4"), "deploy_as: .* did you mean 'int8'"),
        (lambda record: record.update(schema_version=2), "schema_version: expected 1, got 2$"),
        (lambda record: record["layers"].append(record["layers"][0]), "encoder/a appears twice$"),
        (first_layer(kind="lstm"), r"layers\[0\].kind: expected 'spiking', 'gemm', .*, got 'lstm'"),
        (first_layer(kind="attn"), r"layers\[0\].kind: .*, got 'attn', did you mean 'attention'"),
        (first_layer(stage="enc"), "stage must be one of frontend, .*, got 'enc'$"),
        (first_layer(ran_as="fp8"), "ran_as must be one of fp64, .*, got 'fp8'$"),
        (first_layer(delta_density=math.nan), "delta_density must be 0 to 1, .*, got nan$"),
        (first_layer(delta_density=1.2), "delta_density must be 0 to 1, .*, got 1.2$"),
        (first_layer(synapses=-1), "neurons and synapses must be at least 0, got 0, -1$"),
        (first_layer(assumed=["mac"]), "assumed must name some of macs, .*, got 'mac'$"),
        (first_layer(executed=5), r"layers\[0\].executed: expected a table of keys, got 5$"),
    ],
)
def test_a_workload_file(edit: Edit, message: str, tmp_path: Path) -> None:
    record = json.loads(json.dumps(RECORD))
    edit(record)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record))  # writes NaN and Infinity as Python reads them
    with pytest.raises(WorkloadError, match=message) as caught:
        Workload.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_key_twice_in_a_workload_is_refused_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RECORD).replace('"macs": 10', '"macs": 10, "macs": 12', 1))
    with pytest.raises(WorkloadError, match=r"run\.json: key 'macs' appears twice in one object"):
        Workload.load(path)


@given(
    key=st.sampled_from(("macs", "launches", "read_bytes", "elements")),
    value=st.one_of(
        st.integers(max_value=-1),
        st.floats().filter(lambda x: not (math.isfinite(x) and x == int(x) and x >= 0)),
        st.text(max_size=3),
        st.none(),
        st.booleans(),
    ),
)
def test_no_count_but_a_whole_number_of_at_least_0_gets_in(key: str, value: Any) -> None:
    record = json.loads(json.dumps(RECORD))
    record["layers"][0]["executed"][key] = value
    with pytest.raises(WorkloadError, match=key):
        Workload.from_json(json.dumps(record))


@given(
    ends=st.lists(st.floats(), min_size=3, max_size=3).filter(
        lambda x: not 0 <= x[0] <= x[1] <= x[2] < math.inf
    )
)
def test_no_number_but_an_ordered_finite_one_gets_in(ends: list[float]) -> None:
    low, value, high = ends
    with pytest.raises(CatalogError, match="expected 0 <= low <= value <= high"):
        Sourced(value, low, high, "assumption", "test", "assumed")


def one_layer(kind: OpKind, **counts: int) -> Workload:
    return Workload("mine", 1, 25.0, (LayerOps("encoder", "a", kind, Ops(**counts)),))


def nano() -> Accelerator:
    device = load_device("jetson-nano")
    assert isinstance(device, Accelerator)
    return device


@pytest.mark.parametrize("kind", [OpKind.GEMM, OpKind.CONV, OpKind.VIT, OpKind.DECODE])
def test_a_kind_that_the_device_does_not_know(kind: OpKind) -> None:
    device = nano()
    kinds = {name: own for name, own in device.kinds.items() if name != kind}
    message = f"jetson-nano@10w: no constants for layers of kind {kind}; it knows attention, "
    with pytest.raises(EstimateError, match=message):
        estimate(one_layer(kind, macs=10), replace(device, kinds=kinds))


def test_a_precision_that_the_device_does_not_have() -> None:
    with pytest.raises(EstimateError, match="no w4; known precisions: fp16, fp32"):
        estimate(one_layer(OpKind.GEMM, macs=10), "jetson-nano", deploy_as="w4")


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none(rate_hz: float) -> None:
    with pytest.raises(EstimateError, match="rate_hz must be positive and finite, got"):
        estimate(one_layer(OpKind.GEMM, macs=10), "jetson-nano", rate_hz=rate_hz)


@pytest.mark.parametrize("latency_s", [0.0, -1.0, math.nan, math.inf])
def test_a_latency_that_is_none(latency_s: float) -> None:
    with pytest.raises(EstimateError, match="latency_s must be positive and finite, got"):
        estimate(one_layer(OpKind.GEMM, macs=10), "jetson-nano", latency_s=latency_s)


def test_what_does_not_fit_gets_a_verdict_and_figures() -> None:
    """Twice the neurons of the whole board: the report says so, and costs as many chips."""
    chip = load_device("loihi2")
    assert isinstance(chip, NeuromorphicChip)
    limits = chip.limits
    board = limits.chips.value * limits.cores_per_chip.value * limits.neurons_per_core.value
    neurons = 2 * int(board)
    layer = LayerOps(
        "change", "huge", OpKind.SPIKING, Ops(neuron_updates=neurons, spikes=9), neurons=neurons
    )
    report = estimate(Workload("huge", 1, 25.0, (layer,), ticks=1), "loihi2")
    assert report.fits is False
    assert report.energy_j is not None and report.energy_j.value > 0
    assert any("cores" in note and "chips" in note for note in report.notes)
    assert "| fits | no |" in report.to_markdown()


def test_reports_that_say_different_things_are_not_compared(pipeline: Workload) -> None:
    known = estimate(pipeline, "jetson-nano")
    device = nano()
    mode = replace(device.modes["10w"], idle_w=None)
    unknown = estimate(pipeline, replace(device, modes={"10w": mode}))
    alone = estimate(pipeline, "loihi2")
    faster = estimate(pipeline, "jetson-nano", rate_hz=7)
    for other, message in (
        (unknown, "scope differs, device and active; compare energy_active_j, or give idle_w"),
        (alone, r"coverage differs, .*; complete the one to a system, as a\+b"),
        (faster, "rate_hz differs, 40.0 and 7.0; estimate both at one rate_hz"),
    ):
        with pytest.raises(ComparisonError, match=f"cannot compare jetson-nano and .*{message}"):
            compare([known, other])


def test_a_constant_that_is_not_there() -> None:
    one = Sourced(1, 1, 1, "assumption", "test", "assumed")
    with pytest.raises(CatalogError, match=r"modes\.20w\.idle_w: there is no '20w'"):
        with_constant(nano(), "modes.20w.idle_w", one)
