"""The content decides what a file is; its name only when the content has no mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurovlm.core.errors import InputFileError
from neurovlm.events.io import open_recording, read
from neurovlm.events.stream import EventStream

Write = Callable[[str, EventStream], Path]
FORMATS = {
    "AEDAT 2.0": "AEDAT 2.0",
    "AEDAT4": "AEDAT4",
    "Event Stream": "Event Stream",
    "DAT": "DAT",
    "EVT2": "EVT2",
    "EVT3 by faery": "EVT3",
    ".bs2": ".bs2",
    "CSV": "CSV",
    "npy": "npy",
    "npz": "npz",
}
WRONG = (".aedat4", ".aedat", ".es", ".raw", ".dat", ".bs2", ".csv", ".npz", ".jpg", "")
MEANT = {
    "AEDAT 2.0": (".aedat",),
    "AEDAT4": (".aedat4", ".aedat"),
    "Event Stream": (".es",),
    "DAT": (".dat",),
    "EVT2": (".raw",),
    "EVT3": (".raw",),
    ".bs2": (".bs2",),
    "CSV": (".csv",),
    "npy": (),
    "npz": (".npz",),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("extension", WRONG)
def test_a_wrong_extension_works_with_a_note(
    name: str, extension: str, stream: EventStream, write: Write
) -> None:
    path = write(name, stream)
    path = path.rename(path.with_suffix(extension))
    recording = open_recording(path, sensor=(128, 128))
    assert recording.format == FORMATS[name]
    assert np.array_equal(read(path, sensor=(128, 128)).t, stream.t)
    if extension and extension not in MEANT[recording.format]:
        assert f"the content is {recording.format}" in recording.notes[0]
        assert recording.notes[0].endswith(f"ends in {extension}")
    else:
        assert not any("the content is" in note for note in recording.notes)


def test_the_case_of_the_extension_does_not_matter(stream: EventStream, write: Write) -> None:
    path = write(".bs2", stream)
    recording = open_recording(path.rename(path.with_suffix(".BS2")))
    assert recording.format == ".bs2"
    assert not any("the content is" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("header", "sensor", "note"),
    [
        ("% evt 3.0\n% plugin_name hal_plugin_gen41_evk3\n", (1280, 720), "hal_plugin_gen41_evk3"),
        ("% evt 3.0\n% plugin_name hal_plugin_gen31_fx3\n", (640, 480), "hal_plugin_gen31_fx3"),
        ("% evt 3.0\n% plugin_name hal_plugin_imx636_evk4\n", (1280, 720), "imx636"),
        ("% evt 3.0\n% plugin_name hal_plugin_genx320\n", (320, 320), "genx320"),
        ("% evt 3.0\n", (34, 34), "assumed 34x34"),
        ("% format EVT3;height=50;width=70\n% end\n", (70, 50), None),
        ("% evt 3.0\n% geometry 71x51\n", (71, 51), None),
    ],
)
def test_the_sensor_of_a_raw_file(
    header: str, sensor: tuple[int, int], note: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "r.raw"
    words = np.array([0x8000, 0x6001, 0x0005, 0x2803], "<u2")
    path.write_bytes(header.encode() + words.tobytes())
    recording = open_recording(path)
    assert recording.format == "EVT3"
    assert recording.sensor == sensor
    if note is None:
        assert recording.notes == ()
    else:
        assert note in recording.notes[0]
        assert "--sensor WxH" in recording.notes[0]


@pytest.mark.parametrize("extension", ["", ".jpg", ".csv"])
def test_a_file_of_zeros_is_not_taken_for_events(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"zeros{extension}"
    path.write_bytes(bytes(20_000))
    with pytest.raises(InputFileError, match=r"(?i)readable: AEDAT"):
        open_recording(path)


def test_the_list_of_readable_formats_names_each(tmp_path: Path) -> None:
    path = tmp_path / "strange"
    path.write_bytes(b"\x00\x01strange")
    with pytest.raises(InputFileError) as caught:
        open_recording(path)
    for name in FORMATS.values():
        assert name in str(caught.value)
