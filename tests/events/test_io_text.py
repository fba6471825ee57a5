"""CSV: headers, separators, units, and values that are not events."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurovlm.core.errors import InputFileError
from neurovlm.events.io import open_recording, read

EXPECTED = [(1, 2, 1_000_000, True), (3, 4, 1_500_000, False)]


def events(tmp_path: Path, text: str, name: str = "r.csv") -> list[tuple[int, int, int, bool]]:
    path = tmp_path / name
    path.write_text(text)
    return read(path).to_tonic().tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1.0,1,2,1\n1.5,3,4,0\n",
        "t,x,y,p\n1.0,1,2,1\n1.5,3,4,0\n",
        "t[s],x,y,p\r\n1,1,2,1\r\n1.5,3,4,0\r\n",
        "t[ms],x,y,p\n1000,1,2,1\n1500,3,4,0\n",
        "time (us);x;y;polarity\n1000000;1;2;1\n1500000;3;4;0\n",
        "t[µs],x,y,p\n1000000,1,2,1\n1500000,3,4,0\n",
        "timestamp_us\tx\ty\tpol\n1000000\t1\t2\t1\n1500000\t3\t4\t-1\n",
        "# x y on ts\n1 2 1 1000000\n3 4 0 1500000",
        "1000000 1 2 1\n\n1500000 3 4 -1\n\n",
        "\n# recorded today\np,y,junk,x,t\n1,2,9,1,1e6\n0,4,9,3,1.5e6\n",
        "t,x@9,y@8,on\n1000000,1,2,1\n1500000,3,4,0\n",
    ],
)
def test_the_same_events_in_many_dresses(text: str, tmp_path: Path) -> None:
    assert events(tmp_path, text) == EXPECTED
    assert events(tmp_path, text, "r.txt") == EXPECTED


def test_a_sensor_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("t[us],x@9,y@8,on\n1000000,1,2,1\n")
    assert open_recording(path).sensor == (9, 8)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0.25,1,2,1\n1.5,3,4,0\n", "s"),
        ("0.25,1,2,1\n90000.5,3,4,0\n", "ms"),
        ("0.25,1,2,1\n1e9,3,4,0\n", "us"),
        ("25,1,2,1\n1500,3,4,0\n", "us"),
        ("7,1,2,1\n" * 2000, "ms"),
    ],
)
def test_a_guessed_unit_is_said(text: str, unit: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)
    (note,) = (note for note in open_recording(path).notes if "time unit" in note)
    assert f"assumed to be {unit} " in note
    assert "t[s], t[ms] or t[us]" in note


def test_seconds_are_rounded_before_order_is_checked(tmp_path: Path) -> None:
    text = "0.03333333507180214,46,64,0\n0.0333333350718021,43,85,1\n"
    assert [t for _, _, t, _ in events(tmp_path, text)] == [33_333, 33_333]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t,x,y,p\n1,2,3,0\n2,nan,3,0\n", "event 1 has x nan; expected a whole pixel number"),
        ("t,x,y,p\n1,2,3,0\nnan,2,3,0\n", "event 1 has the time nan"),
        ("t,x,y,p\n1,2,3,0\ninf,2,3,0\n", "event 1 has the time inf"),
        ("t,x,y,p\n1,2,3,0\n2,2,3.5,0\n", "event 1 has y 3.5; expected a whole pixel number"),
        ("t,x,y,p\n1,2,3,0\n2,2,3,7\n", "event 1 has the polarity 7.0; expected 0, 1 or -1"),
        ("t,x,y,p\n1,2,3,0\n2,-2,3,0\n", "event 1 at x=-2, y=3 is outside"),
        ("t,x,y,p\n1,2,3,0\n2,2,3\n", "line 3 is '2,2,3'; expected the columns t, x, y, p"),
        ("t,x,y,p\n1,2,3,0\n2,2,3,\n", "line 3 is '2,2,3,'"),
        ("t,x,y,p\n1,2,3,0\n\n2,2,three,0\n", "line 4 is '2,2,three,0'"),
        ("t,x,y,p\n1,2,3\n", "line 1 names the columns t, x, y, p"),
        ("t,x,p\n1,2,0,4\n", "names the columns t, x, p; expected t, x, y and p"),
        ("1,2,3,0,9\n2,2,3,0,9\n", "5 columns and no header"),
        ("t,x,y,p\n", "no line of numbers"),
        ("oops,1,2,1\n5,1,2,1\n", "line 1 is 'oops,1,2,1', neither numbers nor names"),
        ("3,4,0,1500\n3,4,1,1600\n", "its column starts with 1500; without a header"),
        ("5,2,3,0\n4,2,3,0\n", "event 1 at 4 us follows 5 us"),
    ],
)
def test_bad_lines_are_named(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=re.escape(expected)) as caught:
        events(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path))


def test_places_are_right_beyond_the_first_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurovlm.events.io.text._LINES", 4)
    good = "".join(f"{t},1,2,1\n" for t in range(10))
    assert len(events(tmp_path, "t[us],x,y,p\n" + good)) == 10
    with pytest.raises(InputFileError, match="line 12 is 'oops'"):
        events(tmp_path, "t[us],x,y,p\n" + good + "oops\n")
    with pytest.raises(InputFileError, match="event 10 has the polarity 5"):
        events(tmp_path, "t[us],x,y,p\n" + good + "11,1,2,5\n")
