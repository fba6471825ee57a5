from __future__ import annotations

import re
from pathlib import Path

import pytest

import hw_models
from hw_models import CatalogError, Sourced, System, UnknownDeviceError, device_names, load_device
from hw_models.loader import load_file, load_references, references
from hw_models.sourced import sourced_items

PACKAGE = Path(hw_models.__file__).parent
CATALOG = sorted((PACKAGE / "catalog").glob("*.toml"))
LOIHI1 = (PACKAGE / "catalog" / "loihi1.toml").read_text()


def test_the_promised_devices_are_there() -> None:
    promised = {
        "loihi1",
        "loihi2",
        "jetson-nano",
        "jetson-orin-nano",
        "jetson-orin-nano@7w",
        "jetson-orin-nano@15w",
        "snapdragon-8-gen-3",
        "loihi2+jetson-orin-nano",
    }
    assert promised <= set(device_names())


def test_every_listed_name_loads() -> None:
    for name in device_names():
        assert load_device(name).full_name.startswith(name.split("@")[0].split("+")[0])


def test_modes_and_systems() -> None:
    assert load_device("jetson-orin-nano").full_name == "jetson-orin-nano@15w"
    system = load_device("loihi2+jetson-orin-nano@7w")
    assert isinstance(system, System)
    assert system.full_name == "loihi2+jetson-orin-nano@7w"


def test_every_source_in_the_bibliography_is_used_and_has_its_fields() -> None:
    used = {number.source for path in CATALOG for _, number in sourced_items(load_file(path))}
    assert used == set(references())


@pytest.mark.parametrize("path", CATALOG, ids=lambda path: path.stem)
def test_no_number_escapes_its_citation(path: Path) -> None:
    """Every numeric literal of a device file stands inside a cited record."""
    cited = len(list(sourced_items(load_file(path))))
    records = re.findall(
        r"\{ value = .*?, source = .*?, locator = .*?, basis = .*? \}", path.read_text()
    )
    assert len(records) == cited
    outside = re.sub(r"\{ value = .* \}", "", path.read_text())
    outside = re.sub(r"#.*|\"[^\"]*\"|\[[^\]]*\]|^[\w.]+\s*=", "", outside, flags=re.M)
    assert not re.search(r"\d", outside)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loihi3", "unknown device 'loihi3', did you mean 'loihi2'\\?; known: cloud-ai-100, "),
        ("Jetson-Nano", "did you mean 'jetson-nano'"),
        ("toaster", "unknown device 'toaster'; known: cloud-ai-100, jetson-agx-orin, "),
        ("ethernet", "unknown device 'ethernet': it is a link, to stand between two devices"),
        ("jetson-orin-nano@10w", "has no power mode '10w', did you mean '15w'\\?; known: 15w, "),
        ("loihi2@15w", "device 'loihi2' has no power mode '15w'; known: none"),
        ("jetson-nano+loihi2", "expected a neuromorphic chip, '\\+', a processor"),
        ("loihi1+loihi2", "expected a neuromorphic chip, '\\+', a processor"),
        ("jetson-nano+jetson-nano+jetson-nano", "expected a neuromorphic chip"),
        ("loihi2+jetson-nona", "did you mean 'jetson-nano'"),
        ("", "unknown device ''"),
    ],
)
def test_unknown_names_list_what_is_known(name: str, message: str) -> None:
    with pytest.raises(UnknownDeviceError, match=message):
        load_device(name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('family = "neuromorphic"', 'family = "toaster"', "family: expected one of neuromorphic"),
        ('title = "Intel Loihi 1"', "", "title: required key is missing"),
        ('title = "Intel Loihi 1"', 'title = "x"\ncolour = 1', "colour: unknown key, got 1"),
        (
            "low = 23.6e-12",
            "low = 30e-12",
            r"constants.synop_j: expected 0 <= low <= value <= high",
        ),
        ("low = 23.6e-12", "low = -1", r"constants.synop_j: expected 0 <= low"),
        ("value = 23.6e-12", "value = nan", r"constants.synop_j: expected 0 <= low"),
        ("value = 23.6e-12", 'value = "23.6e-12"', r"constants.synop_j.value: .*'23.6e-12'"),
        ('basis = "measured"', 'basis = "guessed"', r"limits.chips.basis: .*, got 'guessed'"),
        ('source = "davies2018"', 'source = "me"', r"source: expected a key of references.bib"),
        ("high = 35.5e-12, ", "", r"constants.synop_j.high: required key is missing"),
        ('locator = "Nahuku32 board"', 'locator = ""', "source and locator must not be empty"),
        ("[limits]", "[limits", "not TOML"),
    ],
)
def test_a_bad_device_file_gets_file_key_and_expectation(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in LOIHI1
    path = tmp_path / "mine.toml"
    path.write_text(LOIHI1.replace(old, new, 1))
    with pytest.raises(CatalogError, match=message) as caught:
        load_device(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_mode_that_does_not_exist_cannot_be_the_default(tmp_path: Path) -> None:
    text = (PACKAGE / "catalog" / "jetson-nano.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('mode = "10w"', 'mode = "20w"'))
    with pytest.raises(CatalogError, match="mode '20w' is not among the modes 10w"):
        load_device(path)


def test_own_device_with_own_references(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(LOIHI1.replace('source = "davies2018"', 'source = "me"'))
    bib = tmp_path / "references.bib"
    bib.write_text("@misc{me,\n author = {Me},\n title = {Mine},\n year = {2026}\n}\n")
    assert load_device(path).full_name == "loihi1"
    bib.write_text("@misc{me,\n author = {Me},\n year = {2026}\n}\n")
    with pytest.raises(CatalogError, match=r"references\.bib: me: field title is missing"):
        load_device(path)


def test_a_missing_device_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot read the device file: No such file"):
        load_device(tmp_path / "absent.toml")


def test_sourced_refuses_an_unknown_basis() -> None:
    with pytest.raises(CatalogError, match="basis must be one of measured"):
        Sourced(1, 1, 1, "a", "b", "felt")  # type: ignore[arg-type]


def test_references_read_as_citations() -> None:
    assert str(references()["davies2018"]).startswith("[davies2018] Davies et al. (2018). Loihi: ")
    assert load_references(PACKAGE / "references.bib") == references()
