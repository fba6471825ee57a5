from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hw_models.workload
from hw_models import LayerOps, OpKind, Ops, Workload, WorkloadError

# The example of the module's docstring, so that what a reader copies is what is tested.
BY_HAND = hw_models.workload.__doc__.split("::\n\n")[1].split("\n\n``dense``")[0]

count = st.integers(0, 10**15)


@st.composite
def layers(draw: st.DrawFn, stage: str, name: str) -> LayerOps:
    if stage in ("frontend", "change"):
        executed = Ops(synops=draw(count), neuron_updates=draw(count), spikes=draw(count))
        return LayerOps(
            stage,
            name,
            OpKind.SPIKING,
            executed,
            neurons=draw(st.integers(1, 10**6)),
            synapses=draw(st.integers(0, 10**8)),
            ran_as="loihi",
        )
    executed = Ops(macs=draw(count), elements=draw(count), launches=draw(count))
    more = Ops(macs=draw(count), read_bytes=draw(count))
    kind = draw(st.sampled_from([OpKind.GEMM, OpKind.CONV, OpKind.ATTENTION]))
    return LayerOps(
        stage,
        name,
        kind,
        executed,
        padded=executed + more,
        dense=executed + more + more,
        note=draw(st.text(max_size=5)),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    stages = draw(st.lists(st.sampled_from(hw_models.workload.STAGES), max_size=4))
    return Workload(
        name=draw(st.text(max_size=10)),
        inferences=draw(st.integers(1, 10**6)),
        window_ms=draw(st.floats(0.001, 1e6)),
        layers=tuple(draw(layers(stage, f"layer {i}")) for i, stage in enumerate(stages)),
        ticks=draw(st.integers(1, 10**9)),
        deploy_as=draw(st.sampled_from([None, "fp32", "fp16", "int8"])),
        notes=tuple(draw(st.lists(st.text(max_size=5), max_size=2))),
    )


@given(workloads())
def test_json_round_trip_is_identity(workload: Workload) -> None:
    again = Workload.from_json(workload.to_json())
    assert again == workload
    assert again.hash() == workload.hash()


@given(workloads(), st.data())
def test_adding_windows_adds_every_count(first: Workload, data: st.DataObject) -> None:
    second = replace(
        first,
        inferences=data.draw(st.integers(1, 100)),
        layers=tuple(
            layer + replace(layer) if data.draw(st.booleans()) else layer for layer in first.layers
        ),
    )
    both = first + second
    assert both.inferences == first.inferences + second.inferences
    assert both.ticks == first.ticks + second.ticks
    for which in ("executed", "padded", "dense"):
        assert both.total(which) == first.total(which) + second.total(which)
    for stage in first.stages:
        assert both.total(stage=stage) == first.total(stage=stage) + second.total(stage=stage)
    assert (first + second).hash() == replace(second + first, layers=both.layers).hash()


def test_a_layer_that_one_run_lacks_is_kept() -> None:
    gemm = LayerOps("encoder", "x", OpKind.GEMM, Ops(macs=3))
    caption = LayerOps("decoder", "y", OpKind.GEMM, Ops(macs=5))
    without = Workload("w", 1, 25, (gemm,))
    with_caption = Workload("w", 1, 25, (gemm, caption))
    both = without + with_caption
    assert both.total().macs == 3 + 3 + 5
    assert both.total(stage="decoder").macs == 5


def test_workloads_of_unlike_windows_do_not_add() -> None:
    with pytest.raises(WorkloadError, match=r"window_ms differs, 25.0 and 50.0"):
        Workload("a", 1, 25, ()) + Workload("b", 1, 50, ())


def test_ten_lines_by_hand() -> None:
    workload = Workload.from_json(BY_HAND)
    assert len(BY_HAND.splitlines()) <= 10
    assert [layer.kind for layer in workload.layers] == ["spiking", "spiking", "gemm"]
    assert workload.layers[2].padded.macs == 800_000_000
    assert workload.stages == ("frontend", "change", "encoder")


def test_kind_of_a_layer_without_macs_is_elementwise() -> None:
    data = json.loads(BY_HAND)
    for key in ("kind", "dense"):
        data["layers"][2].pop(key)
    data["layers"][2]["executed"].pop("macs")
    assert Workload.from_json(json.dumps(data)).layers[2].kind is OpKind.ELEMENTWISE


def test_hash_depends_on_counts_and_not_on_how_numbers_are_written() -> None:
    workload = Workload.from_json(BY_HAND)
    assert Workload.from_json(BY_HAND.replace(": 25", ": 25.0")).hash() == workload.hash()
    assert Workload.from_json(BY_HAND.replace("90000", "90001")).hash() != workload.hash()
    assert len(workload.hash()) == 64


def test_save_and_load(tmp_path: Path) -> None:
    workload = Workload.from_json(BY_HAND)
    workload.save(tmp_path / "w.json")
    assert Workload.load(tmp_path / "w.json") == workload


def set_at(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("schema_version", value=2), "schema_version: expected 1, got 2"),
        (set_at("colour", value=1), "colour: unknown key, got 1"),
        (set_at("layers", 2, "colour", value=1), r"layers\[2\].colour: unknown key"),
        (set_at("layers", 2, "executed", "flops", value=1), r"executed.flops: unknown key"),
        (set_at("layers", 2, "executed", "macs", value="3"), r"layers\[2\].executed.macs: .* '3'"),
        (set_at("layers", 2, "executed", "macs", value=True), r"executed.macs: .*, got True"),
        (set_at("layers", 2, "executed", "macs", value=-3), "macs must be at least 0, got -3"),
        (set_at("layers", 2, "kind", value="gem"), r"layers\[2\].kind: .*, got 'gem'"),
        (set_at("layers", 0, "stage", value="eye"), "stage must be one of frontend"),
        (
            set_at("layers", 2, "dense", "macs", value=1),
            r"encoder/blocks: executed.macs = 800000000 exceeds dense.macs = 1;",
        ),
        (set_at("layers", 1, "layer", value=""), "layer needs a name"),
        (set_at("ticks", value=0), "layer change/detector has neurons, so ticks must be given"),
        (set_at("inferences", value=0), "inferences must be at least 1, got 0"),
        (set_at("window_ms", value=float("nan")), "window_ms must be positive and finite"),
        (set_at("window_ms", value=-1), "window_ms must be positive and finite, got -1.0"),
        (set_at("deploy_as", value="fp8"), "deploy_as: .*, got 'fp8'"),
        (lambda data: data.pop("name"), "name: required key is missing"),
        (lambda data: data["layers"].append(data["layers"][2]), "encoder/blocks appears twice"),
    ],
)
def test_a_bad_file_gets_one_line_with_file_and_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = json.loads(BY_HAND)
    change(data)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data))
    with pytest.raises(WorkloadError, match=message) as caught:
        Workload.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON: .*line 1, column 2"),
        (b"[]", "expected a JSON object, got a list"),
        (b"\xff\xfe\x00", "cannot read the workload: not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_workload(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match=message):
        Workload.load(path)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="No such file"):
        Workload.load(tmp_path / "absent.json")
    with pytest.raises(WorkloadError, match="cannot read the workload"):
        Workload.load(tmp_path)
