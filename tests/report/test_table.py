"""What the terminal shows."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hw_models import Interval
from neurovlm.report import run_table
from neurovlm.report.table import interval_text, run_rows, significant


def printed(what, width):
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_fits_and_cuts_nothing_off(result, reports, width):
    path = "/a/long/folder/" * 8 + "hand.aedat4"
    long = replace(result, recording=replace(result.recording, path=path))
    text = printed(run_table(long, reports), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_every_device_has_its_row_and_a_front_end_is_named_so(result, reports):
    text = printed(run_table(result, reports), 160)
    table = text.split("Estimated cost")[1].split("- spikes")[0]
    for name, report in reports.items():
        assert name.split("+")[-1] in table
        assert significant(report.energy_active_j.value * 1e3, 3) in table
        assert significant(report.power_w.value * 1e3, 3) in table
    assert table.index("(front end only)") > table.index("snapdragon-8-gen-3")
    assert "estimates from these counts" in " ".join(text.split())


def test_the_dense_twin_stands_beside(result, reports):
    table = printed(run_table(result, reports), 160)
    twin = reports["jetson-orin-nano"].dense_twin
    assert significant(twin.energy_active_j.value * 1e3, 3) in table


def test_a_run_without_devices_is_a_table_of_the_run(result):
    text = printed(run_table(result, {}), 120)
    assert "ratio" in text
    assert "Estimated" not in text


def test_square_brackets_in_names_are_text_not_markup(result):
    path = "/tmp/[bold]hand[/bold].dat"
    odd = replace(result, recording=replace(result.recording, path=path))
    assert path in printed(run_table(odd, {}), 160)


def test_notes_on_the_recording_are_shown(result):
    noted = replace(result, recording=replace(result.recording, notes=("padded to one window",)))
    assert ("note", "padded to one window") in run_rows(noted)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.0, 3, "0.00"),
        (0.060349, 3, "0.0603"),
        (0.9996, 3, "1.00"),
        (5.2611, 3, "5.26"),
        (99.96, 3, "100"),
        (5374.3, 3, "5,370"),
        (0.95, 1, "0.9"),
    ],
)
def test_significant_digits(value, digits, expected):
    assert significant(value, digits) == expected


def test_intervals_have_two_digits_and_three_from_a_hundred_on():
    assert interval_text(Interval(5e-3, 3.17e-3, 7.28e-3), 1e3) == "3.2-7.3"
    assert interval_text(Interval(0.1, 0.0996, 0.148), 1e3) == "100-148"
