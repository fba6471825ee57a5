"""The bibliography: every source of the catalog stands in it and can be looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hw_models
from hw_models import CatalogError
from hw_models.loader import Reference, load_file, load_references, references
from hw_models.sourced import sourced_items

PACKAGE = Path(hw_models.__file__).parent
FILES = sorted((PACKAGE / "catalog").glob("*.toml"))
BIBLIOGRAPHIES = sorted(PACKAGE.rglob("*.bib"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_source_of_a_device_is_an_entry(path: Path) -> None:
    used = {number.source for _, number in sourced_items(load_file(path))}
    assert used
    assert used <= set(references())


@pytest.mark.parametrize("path", BIBLIOGRAPHIES, ids=lambda path: path.parent.name)
def test_every_entry_is_read_and_says_who_what_when_and_where(path: Path) -> None:
    entries = load_references(path)
    assert len(entries) == len(re.findall(r"^@", path.read_text(), flags=re.MULTILINE))
    for key, entry in entries.items():
        assert entry.author and entry.title, key
        assert re.fullmatch(r"(19|20)\d\d|n\.d\.", entry.year), key
        assert entry.locator or key == "assumption", key
        assert not entry.url or re.match(r"https?://\S+$", entry.url), key
        assert not entry.doi or re.match(r"10\.\d{4,}/\S+$", entry.doi), key
        assert "doi" not in entry.note, f"{key}: a doi has a field of its own"


def test_assumptions_give_their_reason_where_they_stand() -> None:
    """An assumption has no place to look it up, so its locator is a reason, not a number."""
    for path in FILES:
        for key, number in sourced_items(load_file(path)):
            if number.source == "assumption":
                assert re.search(r"[a-z]{2}", number.locator), f"{path.stem}: {key}"
                assert number.basis not in ("measured", "simulated"), f"{path.stem}: {key}"


@pytest.mark.parametrize(
    "text",
    [
        "@misc{a-2026,\n  author = {Me},\n  title = {On {USB}},\n  year={2026},\n  doi={10.1/x}\n}",
        '@misc{a-2026, author = "Me", title = "On USB", year = 2026, doi = "10.1/x"}',
        "@Misc{ a-2026,\n  Author={Me}, Title={{On\n    USB}},\n  YEAR=2026, doi = {10.1/x},\n}\n",
        "% a note with @\n@misc{a-2026,author={Me},title={On {{U}SB}},year=2026,doi={10.1/x}}",
    ],
)
def test_bibtex_as_people_and_managers_write_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "references.bib"
    path.write_text(text)
    expected = Reference("a-2026", "Me", "On USB", "2026", doi="10.1/x")
    assert load_references(path) == {"a-2026": expected}
    assert str(expected) == "[a-2026] Me (2026). On USB. doi 10.1/x."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@misc{a, author = {Me}, year = 2026}", r"references\.bib: a: field title is missing"),
        ("@misc{a, author = {}, title = {x}, year = 1}", "a: field author is missing"),
        (2 * "@misc{a, author={M}, title={T}, year=2026}\n", "a: appears twice; rename one"),
        (b"\xff", "cannot read the bibliography: not UTF-8 text"),
    ],
)
def test_bad_bibliographies(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "references.bib"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogError, match=message):
        load_references(path)
