"""The shipped contract suite: the catalog keeps it, and a device that breaks a law is found out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import hw_models
from hw_models import Accelerator, EnergyReport, Interval, load_device, write_template
from hw_models.accelerator import KindConstants, PowerMode, SpikingKernel
from hw_models.chip import ChipConstants, ChipLimits
from hw_models.contract import (
    LAWS,
    Finding,
    behaviour,
    check_device,
    device_test,
    part_of,
    passes,
    record_of,
)
from hw_models.contract.windows import window_of
from hw_models.device import Link
from hw_models.errors import CatalogError, OutputError, UnknownDeviceError
from hw_models.page import to_markdown
from hw_models.sourced import with_constant
from hw_models.template import FAMILIES, template

ROOT = Path(hw_models.__file__).parents[1]
CATALOG = sorted((ROOT / "hw_models" / "catalog").glob("*.toml"))
SYSTEMS = (
    "loihi2+jetson-orin-nano",
    "loihi1+usb+snapdragon-8-gen-3",
    "jetson-orin-nano@7w+pcie+snapdragon-865",
)


def laws_broken(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.law for finding in findings if finding.severity == "error"}


@pytest.mark.parametrize("device", [*CATALOG, *SYSTEMS], ids=lambda d: getattr(d, "stem", d))
def test_every_shipped_device_keeps_every_law(device: str | Path) -> None:
    findings = check_device(device)
    assert passes(findings), "\n".join(map(str, findings))
    assert "filled in" not in {finding.law for finding in findings}


test_a_device_as_its_owner_tests_it = device_test("loihi1")


def test_a_test_of_a_device_fails_on_the_law_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(template("link").replace("{ value = 1e-9, low", "{ value = 1000.0, low"))
    test = device_test(path)
    with pytest.raises(AssertionError, match="energy_j_per_byte: expected 0 <= low"):
        test("loads")
    test("plausible")  # was not asked: a file that cannot be loaded breaks one law


@pytest.mark.parametrize("family", FAMILIES)
def test_a_template_passes_as_it_is_and_says_what_is_a_guess(family: str, tmp_path: Path) -> None:
    path = write_template(family, tmp_path / f"my-{family}.toml")
    assert path.read_text() == template(family)
    findings = check_device(path)
    assert passes(findings)
    guesses = [finding.where for finding in findings if finding.law == "filled in"]
    assert len(guesses) == template(family).count('"placeholder: ')
    assert {finding.law for finding in findings} <= {"filled in"}


def test_templates_are_no_more_than_a_person_can_read() -> None:
    for family in FAMILIES:
        lines = template(family).splitlines()
        assert len(lines) < 100
        records = [line for line in lines if "= { value" in line]
        assert all('basis = "assumed"' in line for line in records)


@pytest.mark.parametrize(
    ("family", "name", "error", "message"),
    [
        ("accelerators", "a.toml", CatalogError, "did you mean 'accelerator'\\?; there are neuro"),
        ("link", "a.txt", OutputError, "a.txt: a device file ends in .toml"),
        ("link", "there.toml", OutputError, "there.toml: exists already; give another name"),
        ("link", "no/a.toml", OutputError, "a.toml: cannot write: No such file"),
    ],
)
def test_a_template_overwrites_nothing(
    family: str, name: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "there.toml").write_text("mine")
    with pytest.raises(error, match=message):
        write_template(family, tmp_path / name)
    assert (tmp_path / "there.toml").read_text() == "mine"


def test_unknown_names_raise_and_broken_files_are_findings(tmp_path: Path) -> None:
    with pytest.raises(UnknownDeviceError, match="unknown device 'toaster'"):
        check_device("toaster")
    for name in ("absent.toml", "broken.toml"):
        (tmp_path / "broken.toml").write_text("family = ")
        (finding,) = check_device(tmp_path / name)
        assert (finding.law, finding.severity) == ("loads", "error")
        assert finding.where == str(tmp_path / name)
        assert "device file" in finding.message or "not TOML" in finding.message


def test_checking_a_device_needs_no_pytest() -> None:
    code = (
        "import sys\nfrom hw_models.contract import check_device, passes\n"
        "assert passes(check_device('jetson-nano'))\n"
        "assert not {'pytest', 'matplotlib', 'rich', 'scipy', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def changed(device: str, key: str, **change: Any) -> Any:
    """Return a catalog device with one number changed."""
    loaded = load_device(device)
    number = loaded
    for part in key.split("."):
        number = number[part] if isinstance(number, dict) else getattr(number, part)
    return with_constant(loaded, key, replace(number, **change))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("device", "key", "change", "law", "message"),
    [
        (
            "loihi1",
            "constants.synop_j",
            {"value": 23.6, "low": 23.6, "high": 35.5},
            "plausible",
            r"expected 1e-13 to 1e-07 in SI .*, got 23.6; if that is in p-units, write 2.36e-11",
        ),
        ("loihi1", "constants.leak_w_per_chip", {"high": 4e4}, "plausible", "got 40000"),
        (
            "jetson-nano",
            "modes.10w.mac_per_s.fp16",
            {"low": 0.4, "value": 0.4, "high": 0.4},
            "plausible",
            "expected 100000 to 1e\\+16 .* got 0.4",
        ),
        (
            "jetson-nano",
            "modes.10w.mac_per_s.fp16",
            {"high": 9e15, "value": 9e15},
            "plausible",
            "mac_per_s x mac_j \\+ active_w is",
        ),
        ("jetson-nano", "kinds.cnn.time_factor.any", {"low": 0.0}, "plausible", "got 0$"),
        ("loihi1", "constants.synop_j", {"source": "me"}, "cited", "'me' is in no references.bib"),
        (
            "loihi1",
            "constants.synop_j",
            {"source": "assumption", "basis": "measured"},
            "cited",
            "says measured, but its source is an assumption",
        ),
    ],
)
def test_a_number_out_of_line_is_found(
    device: str, key: str, change: dict[str, Any], law: str, message: str
) -> None:
    findings = check_device(changed(device, key, **change))
    found = [each for each in findings if each.law == law and each.where.startswith(key)]
    assert found, findings
    assert re.search(message, found[0].message), found[0]
    assert not passes(findings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 1e-6, "value": 1.0, "high": 1.0}, "spans a factor of 1e\\+06"),
        ({"low": 0.9, "value": 0.9, "high": 0.9, "basis": "assumed"}, "is assumed and has no"),
    ],
)
def test_a_doubtful_range_is_a_warning(change: dict[str, Any], message: str) -> None:
    findings = check_device(changed("loihi1", "constants.x86_busy", **change))
    (found,) = (each for each in findings if each.law == "doubted")
    assert re.search(message, found.message)
    assert passes((found,))


def test_what_a_device_lacks_is_said() -> None:
    nano = load_device("jetson-nano")
    assert isinstance(nano, Accelerator)
    kinds = {kind: own for kind, own in nano.kinds.items() if kind not in ("gemm", "vit")}
    findings = check_device(replace(nano, kinds=kinds, boundary="module", name="Jetson+Nano"))
    assert laws_broken(findings) == {"described"}
    said = "\n".join(map(str, findings))
    assert "kinds: no constants for gemm, vit: workloads with such layers are refused" in said
    assert "name: expected small letters" in said
    assert "boundary: say in words what idle power" in said


def test_a_mode_without_the_usual_precision_is_said_and_still_tried() -> None:
    nano = load_device("jetson-nano")
    assert isinstance(nano, Accelerator)
    mode = nano.modes["10w"]
    rates = {name: rate for name, rate in mode.mac_per_s.items() if name != nano.deploy_as}
    findings = check_device(replace(nano, modes={"10w": replace(mode, mac_per_s=rates)}))
    assert passes(findings)
    (found,) = (each for each in findings if each.law == "complete")
    assert re.search("has no fp16, the precision of deploy_as", found.message)


def test_one_rate_for_all_precisions_is_enough() -> None:
    nano = load_device("jetson-nano")
    assert isinstance(nano, Accelerator)
    mode = nano.modes["10w"]
    rate = mode.mac_per_s["fp16"]
    device = replace(nano, modes={"10w": replace(mode, mac_per_s={"any": rate})})
    assert passes(check_device(device))
    none = replace(nano, modes={"10w": replace(mode, mac_per_s={})})
    assert laws_broken(check_device(none)) == {"works"}


def _times(name: str, factor: float) -> Callable[[EnergyReport], EnergyReport]:
    def tamper(report: EnergyReport) -> EnergyReport:
        quantity = getattr(report, name)
        return replace(report, **{name: Interval(**quantity.scaled(factor))})

    return tamper


def _cheap_twin(report: EnergyReport) -> EnergyReport:
    twin = report.dense_twin
    return replace(report, dense_twin=twin and _times("latency_s", 1e-3)(twin))


def _outside(report: EnergyReport) -> EnergyReport:
    assert report.latency_s is not None
    return replace(report, latency_s=replace(report.latency_s, high=0.0))


def _infinite(report: EnergyReport) -> EnergyReport:
    assert report.power_w is not None
    return replace(report, power_w=replace(report.power_w, high=float("inf")))


def _never_nothing(report: EnergyReport) -> EnergyReport:
    floor = Interval(1e-6, 1e-6, 1e-6)
    return report if report.rows[1:] else replace(report, energy_active_j=floor)


@pytest.mark.parametrize(
    ("tamper", "law"),
    [
        (_times("energy_j", 1.01), "rows add up"),
        (_times("power_w", 1.01), "definitions"),
        (_cheap_twin, "dense costs more"),
        (_outside, "intervals hold"),
        (_infinite, "works"),
        (_never_nothing, "idle alone"),
        (lambda report: replace(report, boundary=" "), "says what it rests on"),
        (lambda report: replace(report, covers=()), "says what it rests on"),
    ],
)
def test_an_estimate_that_breaks_a_law_is_found(
    tamper: Callable[[EnergyReport], EnergyReport], law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert law in LAWS
    honest = behaviour.estimate
    monkeypatch.setattr(behaviour, "estimate", lambda *a, **k: tamper(honest(*a, **k)))
    assert law in laws_broken(check_device("loihi1"))


def test_results_that_do_not_repeat_or_grow_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = behaviour.estimate
    calls = []

    def drifting(*arguments: Any, **options: Any) -> EnergyReport:
        calls.append(1)
        return _times("latency_s", 1 + 0.01 * len(calls) ** 2)(honest(*arguments, **options))

    monkeypatch.setattr(behaviour, "estimate", drifting)
    assert {"linear", "intervals hold", "survives saving"} <= laws_broken(check_device("loihi1"))


def test_costs_that_fall_or_grow_with_narrower_numbers_are_found() -> None:
    slow = changed("jetson-orin-nano", "modes.15w.mac_per_s.int8", low=1e8, value=1e8)
    broken = check_device(slow)
    assert {each.where for each in broken if each.law == "int8 is not slower"} == {
        "jetson-orin-nano@15w"
    }


def test_more_work_for_less_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = behaviour.estimate_many

    def first_is_dear(workloads: Any, *arguments: Any, **options: Any) -> Any:
        many = honest(workloads, *arguments, **options)
        many.latency_s[0] *= 10
        return many

    monkeypatch.setattr(behaviour, "estimate_many", first_is_dear)
    assert laws_broken(check_device("loihi1")) == {"more costs more"}


def test_a_refusal_must_name_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any, **options: Any) -> Any:
        raise hw_models.EstimateError("no")

    monkeypatch.setattr(behaviour, "estimate_many", refuses)
    nano = load_device("jetson-nano")
    subject = behaviour.Subject(nano, hw_models.Workload("nothing", 1, 1.0, ()))
    said = [each.message for each in behaviour.every_precision(subject, subject.report())]
    assert "probe at fp16 is refused without its name: no" in said
    assert "nothing can be estimated at any precision" in said


def test_every_quantity_of_a_device_has_a_window_of_its_unit() -> None:
    """What has a unit in its name must not fall back to the window of counts."""
    counts = window_of("limits.chips")
    for record in (ChipConstants, PowerMode, KindConstants, SpikingKernel, Link):
        for field in fields(record):
            if re.search(r"_(j|s|w|hz|per_s|j_per_byte|s_per_spike|w_per_chip)$", field.name):
                assert window_of(field.name, "link") != counts, field.name
    assert all(window_of(f"limits.{field.name}") == counts for field in fields(ChipLimits))


@pytest.mark.parametrize(
    ("key", "inside", "outside"),
    [
        ("constants.synop_j", (1e-13, 1e-7), (1e-14, 1e-6)),
        ("modes.15w.idle_w", (1e-6, 1e3), (1e-7, 1e4)),
        ("modes.15w.mac_per_s.int8", (1e6, 1e15), (40, 1e18)),
        ("kinds.gemm.efficiency.fp16", (0.01, 1.0), (35.0, 1e-6)),
        ("constants.sync_s", (1e-8, 1e-2), (10.0, 1e-10)),
    ],
)
def test_windows(key: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    window = window_of(key)
    assert all(window.low <= value <= window.high for value in inside)
    assert not any(window.low <= value <= window.high for value in outside)


def test_findings_as_text_and_records(tmp_path: Path) -> None:
    path = write_template("link", tmp_path / "my-link.toml")
    findings = check_device(path)
    record = record_of(findings)
    assert json.loads(json.dumps(record)) == record
    assert record["passes"] is True
    assert record["findings"][0]["where"] == "bytes_per_spike"
    text = to_markdown([part_of("my-link", findings)])
    assert "my-link passes: 0 errors, 4 warnings" in text
    assert text.count("placeholder") == 1  # one row for all that say the same
    assert "energy_j_per_byte" in text
    assert "passes: 0 errors, 0 warnings" in to_markdown([part_of("loihi1", ())])


def test_own_references_serve_own_numbers(tmp_path: Path) -> None:
    path = write_template("link", tmp_path / "my-link.toml")
    text = path.read_text().replace('source = "assumption"', 'source = "meter-2026"')
    path.write_text(text.replace('basis = "assumed"', 'basis = "measured"'))
    (finding,) = check_device(path)
    assert (finding.law, finding.severity) == ("loads", "error")
    assert "bytes_per_spike.source" in finding.message
    entry = "@misc{meter-2026,\n  author={Me}, title={My {USB} log},\n year=2026"
    bib = tmp_path / "references.bib"
    bib.write_text(entry + "}\n")
    said = [str(each) for each in check_device(path) if each.law == "cited"]
    assert len(said) == 1
    assert "meter-2026 has no url, doi or note" in said[0]
    bib.write_text(entry + ',\n note = "bench.csv"}\n')
    assert {each.law for each in check_device(path)} == {"filled in"}
