from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from hw_models import ComparisonError, Workload, compare, estimate

CONTRACT = {
    "covers",
    "not_covered",
    "scope",
    "boundary",
    "energy_active_mj",
    "energy_mj",
    "power_mw",
    "latency_ms",
    "realtime",
    "fits",
    "dense_twin",
    "notes",
    "dominant",
    "basis",
    "sources",
}


@pytest.mark.parametrize("name", ["loihi2", "jetson-nano", "loihi2+jetson-orin-nano"])
def test_dictionary_holds_the_contract_in_milli_units(pipeline: Workload, name: str) -> None:
    report = estimate(pipeline, name)
    record = report.to_dict()
    assert set(record) == CONTRACT
    for key, quantity in (
        ("energy_active_mj", report.energy_active_j),
        ("energy_mj", report.energy_j),
        ("power_mw", report.power_w),
        ("latency_ms", report.latency_s),
    ):
        assert quantity is not None
        assert record[key] == {
            "value": quantity.value * 1e3,
            "low": quantity.low * 1e3,
            "high": quantity.high * 1e3,
        }
    assert set(record["dense_twin"]) == CONTRACT
    assert record["dense_twin"]["dense_twin"] is None
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_quantities_that_were_not_costed_are_null(pipeline: Workload) -> None:
    ann = Workload("ann", 1, 25, pipeline.layers[3:])
    record = estimate(ann, "loihi2").to_dict()
    for key in ("energy_active_mj", "energy_mj", "power_mw", "latency_ms", "realtime"):
        assert record[key] is None
    assert [each["stage"] for each in record["not_covered"]] == ["encoder", "decoder"]


def test_fits_is_null_where_no_chip_limits(pipeline: Workload) -> None:
    assert estimate(pipeline, "jetson-nano").to_dict()["fits"] is None
    assert estimate(pipeline, "loihi1").to_dict()["fits"] is True


def test_markdown_says_what_a_reader_needs(pipeline: Workload) -> None:
    report = estimate(pipeline, "loihi2+jetson-orin-nano")
    text = report.to_markdown()
    assert text.startswith("## pipeline on Intel Loihi 2 (N3B3) with NVIDIA Jetson Orin Nano 8GB")
    assert "| per inference | this run | dense twin |" in text
    assert "| power at 40 Hz |" in text
    assert f"device scope: {report.boundary}" in text
    for note in report.notes:
        assert f"- {note}" in text
    for each in report.dominant:
        assert f"- {each.name}: alone moves energy above idle from" in text
    assert "[davies2018] Davies et al." in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_layers_are_ranked_and_their_shares_cover_the_active_energy(pipeline: Workload) -> None:
    report = estimate(pipeline, "jetson-orin-nano")
    table = report.layers(at_most=100)
    assert table is not None
    assert {row[0] for row in table.rows} == {"/".join(each.key) for each in pipeline.layers}
    energy_j: dict[str, float] = {}
    for row in report.rows:
        if row.layer:
            name = f"{row.stage}/{row.layer}"
            energy_j[name] = energy_j.get(name, 0.0) + row.amount.value
    assert [row[0] for row in table.rows] == sorted(energy_j, key=lambda name: -energy_j[name])
    shares = [int(row[2].strip("<%")) for row in table.rows]
    assert sum(shares) == pytest.approx(100, abs=len(shares))
    short = report.layers(at_most=2)
    assert short is not None
    assert short.title == f"Layers that take most energy, 2 of {len(pipeline.layers)}"
    assert short.rows == table.rows[:2]


def test_a_report_of_nothing_has_no_figures_but_reasons(pipeline: Workload) -> None:
    """Never a silent zero: what is not costed is a dash, and the reason stands beside it."""
    report = estimate(Workload("ann", 1, 25, pipeline.layers[3:]), "loihi2")
    assert report.stages() is None
    assert report.layers() is None
    cells = {cell for row in report.summary().rows for cell in row[1:]}
    assert cells == {"-"}
    text = report.to_markdown()
    for each in report.not_covered:
        assert f"- not covered: {each.stage}: {each.reason}" in text


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_balanced_and_escapes_names(pipeline: Workload) -> None:
    evil = Workload("<script>", 40, 25, pipeline.layers, ticks=1000)
    report = estimate(evil, "jetson-nano")
    page = Balanced()
    page.feed(report._repr_html_())
    assert page.open == []
    assert "<script> on NVIDIA Jetson Nano" in page.text
    assert "<script>" not in report._repr_html_()


def test_comparison_puts_pipelines_side_by_side(pipeline: Workload) -> None:
    names = ["jetson-orin-nano@7w", "jetson-orin-nano@15w", "loihi2+jetson-orin-nano"]
    both = compare([estimate(pipeline, name) for name in names])
    assert [row[0] for row in both.table().rows] == names
    assert list(both.to_dict()) == names
    assert both.to_markdown().count("\n| ") == 4 + 3  # devices, and ratios over the first
    assert "- jetson-orin-nano@7w: module input (VDD_IN)" in both.to_markdown()
    page = Balanced()
    page.feed(both._repr_html_())
    assert page.open == []


def test_a_front_end_is_not_compared_with_a_pipeline(pipeline: Workload) -> None:
    reports = [estimate(pipeline, "loihi2"), estimate(pipeline, "jetson-nano")]
    message = (
        r"cannot compare loihi2 and jetson-nano: coverage differs, frontend\+change and "
        r"frontend\+change\+encoder\+decoder"
    )
    with pytest.raises(ComparisonError, match=message):
        compare(reports)


def test_unlike_rates_are_not_compared(pipeline: Workload) -> None:
    reports = [estimate(pipeline, "jetson-nano", rate_hz=rate) for rate in (40, 80)]
    with pytest.raises(ComparisonError, match=r"rate_hz differs, 40.0 and 80.0"):
        compare(reports)


def test_unlike_scopes_are_not_compared(pipeline: Workload) -> None:
    from dataclasses import replace

    report = estimate(pipeline, "jetson-nano")
    active = replace(report, device="other", scope="active", energy_j=None, power_w=None)
    with pytest.raises(ComparisonError, match="jetson-nano and other: scope differs, device and"):
        compare([report, active])


def test_one_report_is_no_comparison(pipeline: Workload) -> None:
    with pytest.raises(ComparisonError, match="at least 2 reports, got 1"):
        compare([estimate(pipeline, "jetson-nano")])
