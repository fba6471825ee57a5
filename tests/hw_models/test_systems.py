from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_models import (
    Accelerator,
    CatalogError,
    EnergyReport,
    LayerOps,
    Link,
    OpKind,
    Ops,
    Placed,
    Sourced,
    System,
    UnknownDeviceError,
    Workload,
    estimate,
    estimate_many,
    link_names,
    load_device,
    with_constant,
)
from hw_models.device import ANN_STAGES
from hw_models.loader import load_file
from hw_models.ops import SPIKING_STAGES, STAGES
from hw_models.plan import make_plan

CATALOG = Path(load_file.__code__.co_filename).parent / "catalog"
VISION = ("router", "encoder", "memory", "fusion")
JETSON = "jetson-orin-nano@15w"


def link(name: str) -> Link:
    found = load_file(CATALOG / f"{name}.toml")
    assert isinstance(found, Link)
    return found


def board(name: str = JETSON) -> Accelerator:
    found = load_device(name)
    assert isinstance(found, Accelerator)
    return found


def value(report: EnergyReport, name: str) -> float:
    quantity = getattr(report, name)
    assert quantity is not None
    return float(quantity.value)


def staged() -> Workload:
    """Four stages of one layer; ran as fp32, ten inferences."""
    return Workload(
        name="staged",
        inferences=10,
        window_ms=25,
        ticks=250,
        layers=(
            LayerOps(
                "change",
                "D",
                OpKind.SPIKING,
                Ops(synops=8_000, neuron_updates=49_000, spikes=3_000),
                dense=Ops(synops=8_000, neuron_updates=49_000, spikes=7_000),
                neurons=196,
                synapses=15_876,
            ),
            LayerOps(
                "encoder",
                "mlp",
                OpKind.GEMM,
                Ops(macs=10**8, weight_bytes=10**6, write_bytes=400_000, launches=10),
                dense=Ops(macs=10**9, weight_bytes=10**6, write_bytes=900_000, launches=10),
            ),
            LayerOps(
                "decoder",
                "head",
                OpKind.GEMM,
                Ops(macs=10**7, weight_bytes=10**6, write_bytes=4_000, launches=10),
            ),
        ),
    )


def part_of(workload: Workload, *stages: str) -> Workload:
    return replace(workload, layers=tuple(x for x in workload.layers if x.stage in stages))


def terms(report: EnergyReport, term: str) -> float:
    return sum(row.amount.value for row in (*report.rows, *report.times) if row.term == term)


@pytest.mark.parametrize(
    ("name", "stages", "links"),
    [
        ("loihi2+jetson-orin-nano@15w", (SPIKING_STAGES, ANN_STAGES), ("ethernet",)),
        ("loihi2+usb+jetson-orin-nano@15w", (SPIKING_STAGES, ANN_STAGES), ("usb",)),
        (
            "loihi1+pcie+jetson-orin-nano@7w+mipi+jetson-orin-nano@15w",
            (SPIKING_STAGES, VISION, ("decoder",)),
            ("pcie", "mipi"),
        ),
        (
            "jetson-orin-nano@15w+usb+jetson-orin-nano@15w",
            ((*SPIKING_STAGES, *VISION), ("decoder",)),
            ("usb",),
        ),
    ],
)
def test_a_name_says_parts_links_and_stages(
    name: str, stages: tuple[tuple[str, ...], ...], links: tuple[str, ...]
) -> None:
    system = load_device(name)
    assert isinstance(system, System)
    assert tuple(part.stages for part in system.parts) == stages
    assert tuple(each.name for each in system.links) == links
    assert sorted(stage for part in system.parts for stage in part.stages) == sorted(STAGES)
    assert system.full_name == name
    assert load_device(system.full_name) == system
    assert all(each.title in system.boundary for each in system.links)


def test_ethernet_may_be_said() -> None:
    assert load_device("loihi2+ethernet+jetson-nano") == load_device("loihi2+jetson-nano")
    assert set(link_names()) >= {"ethernet", "usb", "pcie", "mipi"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loihi2+usbb+jetson-nano", "unknown device 'usbb', did you mean 'usb'"),
        ("usb+loihi2", "link 'usb' must stand between two devices"),
        ("loihi2+usb", "a device must follow the last link"),
        ("loihi2+usb+pcie+jetson-nano", "link 'pcie' must stand between two devices"),
        ("loihi1+loihi2+jetson-nano", "expected a neuromorphic chip, '\\+', a processor"),
        ("jetson-nano+loihi2", "expected a neuromorphic chip, '\\+', a processor"),
        ("jetson-nano+jetson-nano+jetson-nano", "any other placement is a file of family system"),
        ("loihi2+", "unknown device ''"),
    ],
)
def test_names_that_make_no_system(name: str, message: str) -> None:
    with pytest.raises(UnknownDeviceError, match=message):
        load_device(name)


@pytest.mark.parametrize("name", ["ethernet", "usb", "pcie", "mipi"])
def test_a_link_carries_spikes_at_its_own_costs(name: str) -> None:
    """Only the link differs from Ethernet; energies and times of both by hand."""
    run, wire = staged(), link(name)
    report = estimate(run, f"loihi2+{name}+{JETSON}")
    n_bytes = 3_000 / 10 * wire.bytes_per_spike.value
    assert terms(report, "link latency") == pytest.approx(wire.latency_s.value)
    time_s = sum(row.amount.value for row in report.times if row.term == "link")
    assert time_s == pytest.approx(n_bytes / wire.byte_per_s.value)
    energy_j = sum(row.amount.value for row in report.rows if row.term == "link")
    assert energy_j == pytest.approx(n_bytes * wire.energy_j_per_byte.value)


@pytest.mark.parametrize(("precision", "width"), [("fp16", 2), ("int8", 1), ("fp32", 4), ("w4", 2)])
def test_a_link_carries_activations_at_the_deployed_precision(precision: str, width: int) -> None:
    run = part_of(staged(), "encoder", "decoder")
    split = System(
        (Placed(board(), VISION), Placed(board(), ("decoder",))),
        (link("usb"),),
    )
    system = make_plan([run], split, precision, None, 0)  # type: ignore[arg-type]
    (sent,) = system.links[0].sent[0]
    assert sent.layer.layer == "mlp"
    assert sent.scale == width / 4  # it ran as fp32


def test_three_parts_are_the_sum_of_parts_and_links() -> None:
    run, usb, pcie = staged(), link("usb"), link("pcie")
    report = estimate(run, f"loihi2+usb+jetson-orin-nano@7w+pcie+{JETSON}", deploy_as="fp16")
    alone = [
        estimate(part_of(run, *stages), device, deploy_as=precision)  # type: ignore[arg-type]
        for stages, device, precision in (
            (("change",), "loihi2", None),
            (("encoder",), "jetson-orin-nano@7w", "fp16"),
            (("decoder",), JETSON, "fp16"),
        )
    ]
    spikes, activations = 300 * usb.bytes_per_spike.value, 40_000 / 2
    links_j = spikes * usb.energy_j_per_byte.value + activations * pcie.energy_j_per_byte.value
    links_s = usb.latency_s.value + spikes / usb.byte_per_s.value
    links_s += pcie.latency_s.value + activations / pcie.byte_per_s.value
    for name, of_links in (("energy_active_j", links_j), ("latency_s", links_s), ("idle_w", 0.0)):
        total = sum(value(each, name) for each in alone) + of_links
        assert value(report, name) == pytest.approx(total, rel=1e-12)
    assert report.covers == run.stages
    twin = report.dense_twin
    assert twin is not None
    dense_j = 700 * usb.bytes_per_spike.value * usb.energy_j_per_byte.value
    dense_j += 90_000 / 2 * pcie.energy_j_per_byte.value
    assert terms(twin, "link latency") == terms(report, "link latency")
    energies = [row.amount.value for row in twin.rows if row.term == "link"]
    assert sum(energies) == pytest.approx(dense_j)


def test_a_stage_may_come_back_over_the_link_and_skip_an_empty_part() -> None:
    """Change and decoder on one board, the encoder two links away: four transfers."""
    placed = (
        Placed(board(), ("change", "decoder")),
        Placed(board(), ("memory",)),
        Placed(board(), ("encoder",)),
    )
    usb, pcie = link("usb"), link("pcie")
    report = estimate(staged(), System(placed, (usb, pcie)))
    latency = 2 * (usb.latency_s.value + pcie.latency_s.value)
    assert terms(report, "link latency") == pytest.approx(latency)
    bytes_out, bytes_back = 300 * usb.bytes_per_spike.value, 40_000 / 2
    per_byte = usb.energy_j_per_byte.value + pcie.energy_j_per_byte.value
    energies = [row.amount.value for row in report.rows if row.term == "link"]
    assert sum(energies) == pytest.approx((bytes_out + bytes_back) * per_byte)


def test_nothing_crosses_where_all_runs_on_one_part() -> None:
    ann = part_of(staged(), "encoder", "decoder")
    report = estimate(ann, "loihi2+jetson-orin-nano")
    assert terms(report, "link") == terms(report, "link latency") == 0
    alone = estimate(ann, "jetson-orin-nano")
    assert value(report, "energy_active_j") == pytest.approx(value(alone, "energy_active_j"))
    assert value(report, "idle_w") > value(alone, "idle_w")


def test_many_runs_send_what_each_of_them_sends() -> None:
    name = "loihi2+usb+jetson-orin-nano"
    more = replace(
        staged().layers[0],
        executed=Ops(synops=8_000, spikes=6_000),
        dense=Ops(synops=8_000, spikes=7_000),
        padded=Ops(synops=8_000, spikes=6_000),
    )
    runs = [
        staged(),
        part_of(staged(), "encoder"),
        replace(staged(), layers=(more, *staged().layers[1:])),
    ]
    many = estimate_many(runs, name)
    for i, run in enumerate(runs):
        report = estimate(run, name)
        assert many.energy_active_j[i] == pytest.approx(value(report, "energy_active_j"))
        assert many.latency_s[i] == pytest.approx(value(report, "latency_s"))


def test_bytes_that_nobody_counted_are_said() -> None:
    run = staged()
    silent = replace(run.layers[1], executed=Ops(macs=1), dense=Ops(macs=1), padded=Ops(macs=1))
    name = "jetson-orin-nano+usb+jetson-orin-nano@7w"
    notes = estimate(replace(run, layers=(silent, run.layers[2])), name).notes
    assert any(re.match("encoder/mlp over a USB 3.0 link: .* is missing", note) for note in notes)
    assert not any("over a USB 3.0 link" in note for note in estimate(run, name).notes)
    whole = Workload.from_totals(10**9, 10**7, name="net", op_class="cnn")
    head = Workload("both", 1, 1000.0, (*whole.layers, replace(run.layers[2], ran_as="int8")))
    notes = estimate(head, name).notes
    assert any("encoder/net over a USB 3.0 link: all activations" in note for note in notes)


def test_boards_of_one_type_share_their_draws() -> None:
    """Two equal boards idle at twice the power of one in every draw, not only on average."""
    one = estimate(staged(), JETSON).idle_w
    two = estimate(staged(), f"{JETSON}+{JETSON}").idle_w
    assert one is not None and two is not None
    assert (two.low, two.high) == pytest.approx((2 * one.low, 2 * one.high), rel=1e-12)


def test_modes_share_what_the_mode_does_not_set() -> None:
    run = [part_of(staged(), "encoder")]
    slow, fast = (
        make_plan(run, load_device(f"jetson-orin-nano@{mode}"), "fp16", 200, 1).parts[0].c
        for mode in ("7w", "15w")
    )
    for name in ("byte_j", "element_j", "kinds.gemm.efficiency"):
        same = np.array_equal(slow.draws(slow[name]), fast.draws(fast[name]))
        assert same and slow.sourced[name].low < slow.sourced[name].high
    cause = {name: slow.sourced[name].shares for name in ("idle_w", "byte_j")}
    assert cause == {
        "idle_w": "jetson-orin-nano@7w.idle_w",
        "byte_j": "jetson-orin-nano.byte_j",
    }


@pytest.mark.parametrize(
    ("shares", "cause"),
    [
        ("mine", "jetson-orin-nano.mine"),
        ("-mine", "-jetson-orin-nano.mine"),
        ("our.own", "our.own"),
        ("-our.own", "-our.own"),
        ("", "jetson-orin-nano.byte_j"),
    ],
)
def test_a_cause_is_known_within_its_device_or_with_a_dot_in_all(shares: str, cause: str) -> None:
    number = Sourced(1.0, 0.5, 2.0, "assumption", "a test", "assumed", shares=shares)
    own = with_constant(board(), "byte_j", number)
    plan = make_plan([part_of(staged(), "encoder")], own, "fp16", None, 0)
    assert plan.constants.sourced[f"{JETSON}.byte_j"] == replace(number, shares=cause)


def test_a_measured_board_beside_one_of_the_catalog_keeps_its_own_numbers() -> None:
    mine = with_constant(
        board(), "modes.15w.idle_w", Sourced(1.0, 1.0, 1.0, "assumption", "a test", "measured")
    )
    placed = (Placed(mine, ("encoder",)), Placed(board(), ("decoder",)))
    report = estimate(part_of(staged(), "encoder", "decoder"), System(placed, (link("usb"),)))
    alone = estimate(part_of(staged(), "encoder"), JETSON)
    assert value(report, "idle_w") == pytest.approx(1.0 + value(alone, "idle_w"))


SYSTEM = """
family = "system"
name = "split"
title = "Two boards"
links = ["usb"]
[[parts]]
device = "jetson-orin-nano@15w"
stages = ["encoder", "change"]
[[parts]]
device = "mine.toml"
stages = ["decoder"]
"""


def write(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text((CATALOG / "jetson-orin-nano.toml").read_text())
    (folder / "system.toml").write_text(text)
    return folder / "system.toml"


def test_a_system_file_places_any_stage_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path, SYSTEM)
    system = load_device(path)
    assert isinstance(system, System)
    assert (system.full_name, system.full_title) == ("split", "Two boards")
    assert [part.stages for part in system.parts] == [("encoder", "change"), ("decoder",)]
    report = estimate(staged(), path)
    same = estimate(staged(), f"{JETSON}+usb+{JETSON}")
    assert value(report, "energy_active_j") == pytest.approx(value(same, "energy_active_j"))
    less = write(tmp_path, SYSTEM.replace('"encoder", "change"', '"encoder"'))
    left = estimate(staged(), less)
    assert left.covers == ("encoder", "decoder")
    assert [(each.stage, each.reason) for each in left.not_covered] == [
        ("change", "no part of the system runs this stage")
    ]


def test_a_device_file_may_stand_in_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, SYSTEM)
    monkeypatch.chdir(tmp_path)
    system = load_device("loihi2+usb+mine.toml")
    assert isinstance(system, System)
    assert system.full_name == f"loihi2+usb+{JETSON}"
    assert isinstance(load_device(tmp_path / "system.toml"), System)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"encoder", ', '"encodr", ', r"parts\[0\].stages: unknown stage 'encodr', did you mean"),
        ('["decoder"]', '["encoder"]', r"parts\[1\].stages: stage encoder already runs on jetson"),
        ('["decoder"]', "[]", r"parts\[1\].stages: name at least one stage"),
        ('["usb"]', "[]", "links: 2 parts need 1, got 0"),
        ('["usb"]', '["usbb"]', r"links\[0\]: unknown link 'usbb', did you mean 'usb'"),
        ('["usb"]', '["loihi2"]', r"links\[0\]: unknown link 'loihi2'"),
        ("orin-nano@15w", "orin-nano@99w", r"parts\[0\].device: .* has no power mode '99w'"),
        ("jetson-orin-nano@15w", "usb", r"parts\[0\].device: unknown device 'usb': it is a link"),
        ("mine.toml", "absent.toml", r"parts\[1\].device: .*absent.toml: cannot read"),
        ('title = "Two boards"', "colour = 1", "title: required key is missing"),
        ('title = "Two boards"', 'title = "x"\ncolour = 1', "colour: unknown key"),
    ],
)
def test_a_bad_system_file_gets_file_key_and_cure(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SYSTEM
    path = write(tmp_path, SYSTEM.replace(old, new, 1))
    with pytest.raises(CatalogError, match=message) as caught:
        load_device(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_system_is_no_device_file_and_a_link_no_device(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"family: .*, got 'system'"):
        load_file(write(tmp_path, SYSTEM))
    with pytest.raises(UnknownDeviceError, match="a link is not a device by itself"):
        load_device(CATALOG / "usb.toml")


def test_a_system_has_two_parts() -> None:
    with pytest.raises(CatalogError, match="at least 2 parts, got 1"):
        System((Placed(board(), STAGES),), ())
