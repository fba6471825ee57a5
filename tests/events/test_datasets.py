from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tonic.datasets import DVSGesture

from neurovlm.core.errors import InputFileError, UsageError
from neurovlm.events.datasets import (
    LabelledSet,
    Sample,
    dvs128_gesture,
    folds,
    labelled_folder,
    nmnist,
    split_by_time,
    streams,
    windows_of,
)
from neurovlm.events.scenes import FLIP, LABELS
from neurovlm.events.stream import EventStream

Writers = dict[str, tuple[str, Callable[[Path, EventStream], None]]]
DATA = os.environ.get("NEUROVLM_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NEUROVLM_DATA is unset")


def columns(stream: EventStream) -> list[list[int]]:
    return [getattr(stream, name).tolist() for name in "txyp"]


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    """Two gestures of people 1, 21, 23 and 24, in Tonic's layout."""
    rng = np.random.default_rng(0)
    for person, part in ((1, "Train"), (21, "Train"), (23, "Train"), (24, "Test")):
        folder = tmp_path / "DVSGesture" / f"ibmGesture{part}" / f"user{person:02}_fluorescent_led"
        folder.mkdir(parents=True)
        for label in (0, 10):
            t_ms = np.sort(rng.integers(0, 900, 50))
            x, y, p = rng.integers(0, 128, 50), rng.integers(0, 128, 50), rng.integers(0, 2, 50)
            np.save(folder / f"{label}.npy", np.stack([x, y, p, t_ms], 1).astype(np.float64))
    return tmp_path


def test_gestures_are_split_by_person(gestures: Path) -> None:
    expected = {"train": ("user01",), "validation": ("user21", "user23"), "test": ("user24",)}
    for split, people in expected.items():
        labelled = dvs128_gesture(gestures, split)  # type: ignore[arg-type]
        assert labelled.groups == people
        assert {sample.label for sample in labelled.samples} == {0, 10}
        assert (labelled.labels, labelled.flip) == (LABELS, FLIP)


def test_gestures_are_read_as_tonic_reads_them(
    gestures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tonic downloads unless it finds 100 files
    monkeypatch.setattr(DVSGesture, "_check_exists", lambda self: True)
    theirs = DVSGesture(str(gestures), train=False)
    ours = {s.name: s for s in dvs128_gesture(gestures / "DVSGesture", "test").samples}
    assert len(ours) == len(theirs) == 2
    for i, path in enumerate(theirs.data):
        events, label = theirs[i]
        assert ours[path].label == label
        assert columns(ours[path].read()) == [events[name].tolist() for name in "txyp"]


def test_gestures_that_are_not_there(gestures: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"ibmGestureTrain/user01_fluorescent/0.npy.*tonic"):
        dvs128_gesture(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="split must be one of train, validation, test, got 'all'"):
        dvs128_gesture(gestures, "all")  # type: ignore[arg-type]
    train = gestures / "DVSGesture" / "ibmGestureTrain"
    np.save(train / "user01_fluorescent_led" / "0.npy", np.zeros((3, 5)))
    with pytest.raises(InputFileError, match=r"array \(n, 4\).*got shape \(3, 5\)"):
        dvs128_gesture(gestures).samples[0].read()
    np.save(train / "user01_fluorescent_led" / "0.npy", np.zeros((0, 4)))
    with pytest.raises(InputFileError, match=r"0.npy: holds no events"):
        dvs128_gesture(gestures).samples[0].read()
    np.save(train / "user01_fluorescent_led" / "11.npy", np.zeros((3, 4)))
    with pytest.raises(InputFileError, match=r"11.npy: clips are named 0.npy to 10.npy"):
        dvs128_gesture(gestures)
    shutil.rmtree(train / "user01_fluorescent_led")
    with pytest.raises(InputFileError, match="no clips of people 1-20"):
        dvs128_gesture(gestures)


def zipped(folder: Path, to: Path) -> Path:
    with zipfile.ZipFile(to, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return to


@pytest.fixture
def by_class(tmp_path: Path, writers: Writers, stream: EventStream) -> Path:
    """Classes 2 and 10: one bs2, one CSV and one AEDAT recording."""
    root = tmp_path / "classes"
    for file, name in (("2/a.bs2", ".bs2"), ("2/b.csv", "CSV"), ("10/c.aedat", "AEDAT 2.0")):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        writers[name][1](root / file, stream)
    return root


@pytest.mark.parametrize("pack", [False, True])
def test_folder_per_class(by_class: Path, tmp_path: Path, stream: EventStream, pack: bool) -> None:
    labelled = labelled_folder(zipped(by_class, tmp_path / "set.zip") if pack else by_class)
    assert labelled.labels == ("2", "10")  # as numbers, not as text
    assert [sample.label for sample in labelled.samples] == [0, 0, 1]
    assert len(labelled.groups) == 3
    for events in streams(labelled.samples):
        assert columns(events) == columns(stream)


def test_what_a_folder_per_class_must_not_hold(by_class: Path) -> None:
    with pytest.raises(InputFileError, match=r"c.aedat has the unknown class '10'.*are 2, 3"):
        labelled_folder(by_class, labels=("2", "3"))
    (by_class / "README.md").write_text("not a recording")
    assert len(labelled_folder(by_class)) == 3
    shutil.copy(by_class / "2" / "a.bs2", by_class / "stray.bs2")
    with pytest.raises(InputFileError, match=r"stray.bs2 has no label"):
        labelled_folder(by_class)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="nowhere: no such folder"):
        labelled_folder(tmp_path / "nowhere")
    with pytest.raises(InputFileError, match="no labelled recordings; make one folder per class"):
        labelled_folder(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputFileError, match="neither a folder nor a zip archive"):
        labelled_folder(tmp_path / "file")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv").touch()
    (tmp_path / "file").unlink()
    with pytest.raises(InputFileError, match=r"b.csv: empty file"):
        labelled_folder(tmp_path).samples[0].read()


@pytest.fixture
def table(by_class: Path) -> Callable[[str], Path]:
    """Write labels.csv beside the recordings."""

    def write(text: str) -> Path:
        (by_class / "labels.csv").write_text(text)
        return by_class

    return write


def test_table_of_labels(table: Callable[[str], Path], stream: EventStream) -> None:
    root = table(
        "file,what,group,t0_s,t1_s\n2/b.csv,cup,ann,0.05,\n2/b.csv,box,ann,0.01,0.02\n"
        "2/a.bs2,cup,bob,,\n10/c.aedat,cup,bob,,\n"
    )
    labelled = labelled_folder(root, label_column="what")
    assert labelled.labels == ("box", "cup")
    assert [sample.label for sample in labelled.samples] == [1, 0, 1, 1]
    assert labelled.groups == ("bob", "ann")
    first = int(stream.t[0])
    assert columns(labelled.samples[1].read()) == columns(
        stream.between(first + 10_000, first + 20_000)
    )
    assert columns(labelled.samples[2].read()) == columns(stream.between(first + 50_000, 2**62))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\n", "no column file, only name, label"),
        ("file,class\n", "no column label, only file, class"),
        ("file,label\nx.csv,cup\n", "x.csv is labelled but missing"),
        ("file,label\n2/b.csv,cup\n10/c.aedat,cup\n2/a.bs2,\n", "line 4: file or label is empty"),
        ("file,label,t0_s\n2/b.csv,cup,soon\n", "line 2: a time must be .* got 'soon'"),
        ("file,label,t0_s,t1_s\n2/b.csv,cup,2,1\n", "t1_s must be after t0_s, got 1"),
        ("file,label\n", "no labelled recordings"),
    ],
)
def test_wrong_tables_say_where(table: Callable[[str], Path], text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        labelled_folder(table(text))


def test_file_without_a_line(table: Callable[[str], Path], by_class: Path) -> None:
    root = table("file,label\n2/b.csv,cup\n")
    shutil.copy(by_class / "2" / "b.csv", by_class / "2" / "d.csv")
    with pytest.raises(InputFileError, match=r"2/d.csv has no label; add a line"):
        labelled_folder(root)


def test_part_without_events(table: Callable[[str], Path]) -> None:
    labelled = labelled_folder(table("file,label,t0_s\n2/b.csv,cup,5\n"))
    with pytest.raises(InputFileError, match=r"b.csv: no events from 5 s"):
        labelled.samples[0].read()


@pytest.fixture
def digits(tmp_path: Path, writers: Writers) -> Path:
    """Three digits of N-MNIST's size in its folders."""
    rng = np.random.default_rng(0)
    for name in ("Train/7/00002.bin", "Train/0/00010.bin", "Test/7/00001.bin"):
        x, y = rng.integers(0, 30, (2, 200))
        events = EventStream(np.arange(200) * 1500, x, y, rng.random(200) < 0.5, (34, 34))
        path = tmp_path / "nmnist" / name
        path.parent.mkdir(parents=True)
        writers[".bs2"][1](path, events)
    return tmp_path / "nmnist"


def test_nmnist_folders(digits: Path) -> None:
    assert [sample.label for sample in nmnist(digits).samples] == [0, 7]
    (test,) = nmnist(digits, "test").samples
    assert test.label == 7
    assert (test.read().sensor, len(test.read())) == ((34, 34), 200)


def test_nmnist_numbered(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    shutil.copy(digits / "Train/7/00002.bin", folder / "1.bs2")
    shutil.copy(digits / "Train/0/00010.bin", folder / "2.bs2")
    with pytest.raises(InputFileError, match=r"one list of labels \(.txt\), found 0"):
        nmnist(folder)
    listed = folder / "list.txt"
    listed.write_text("#sample #class\n1\t7\n2\t0\n")
    assert [sample.label for sample in nmnist(folder).samples] == [7, 0]
    with pytest.raises(InputFileError, match="no folder Test"):
        nmnist(folder, "test")
    listed.write_text("1\t7\n")
    with pytest.raises(InputFileError, match=r"2.bs2 has no label"):
        nmnist(folder)
    listed.write_text("1\t7\n2\t0\n3\t0\n")
    with pytest.raises(InputFileError, match="sample 3 is labelled but missing"):
        nmnist(folder)
    listed.write_text("1\tseven\n")
    with pytest.raises(InputFileError, match="line 1: should be a number and a digit"):
        nmnist(folder)


def held(duration_us: int, label: int = 0, group: str = "a", sensor: int = 8) -> Sample:
    """A recording in memory with one event each millisecond, from 5 s on."""
    t = 5_000_000 + np.arange(0, duration_us, 1000)
    pixel = np.zeros(len(t), np.uint16)
    stream = EventStream(t, pixel, pixel, np.ones(len(t), bool), (sensor, sensor))
    return Sample(group, lambda: stream, label, group)


def test_windows_by_hand() -> None:
    labelled = LabelledSet("set", ("a",), (held(1_000_001), held(150_001)))
    windows = windows_of(labelled, 0.4, 0.2).samples
    starts = [(w.t0_us, w.t1_us) for w in windows]
    ms = 1000
    expected = [(0, 400), (200, 600), (400, 800), (600, 1000)]
    assert starts == [(a * ms, b * ms) for a, b in expected] + [(0, None)]
    assert [len(stream) for stream in streams(windows)] == [400, 400, 400, 400, 151]
    with pytest.raises(UsageError, match="must be positive, got 0 s"):
        windows_of(labelled, 0, 1)


def test_a_recording_is_read_once_for_its_windows() -> None:
    sample, reads = held(1_000_001), []

    def load() -> EventStream:
        reads.append(1)
        return sample.load()

    labelled = LabelledSet("set", ("a",), (Sample("a", load, 0, "a"),))
    windows = windows_of(labelled, 0.1, 0.1).samples
    assert len(list(streams(windows))) == 10
    assert len(reads) == 2  # once to cut, once to read


def test_split_by_time_leaves_a_gap_and_loses_nothing_else() -> None:
    labelled = LabelledSet("set", ("a",), (held(1_100_000),))
    early, late = split_by_time(labelled, 0.7, 0.099001)  # lasts 1.099001 s
    (first,), (second,) = early.samples, late.samples
    assert (first.t0_us, first.t1_us) == (0, 700_000)
    assert (second.t0_us, second.t1_us) == (799_001, 1_099_001)
    for part, n in ((early, 7), (late, 2)):
        cut = windows_of(part, 0.1, 0.1)
        assert len(cut) == n + (part is late)
        bounds = part.samples[0]
        assert all(bounds.t0_us <= w.t0_us and w.t1_us <= bounds.t1_us for w in cut.samples)
    with pytest.raises(UsageError, match="too short for a gap of 2 s"):
        split_by_time(labelled, 0.7, 2)
    with pytest.raises(UsageError, match=r"share must be in 0..1"):
        split_by_time(labelled, 1.0, 0)


def test_folds_are_stratified_whole_and_repeatable() -> None:
    # 11 recordings of label 0, 7 of label 1, two samples each
    samples = tuple(held(10, int(i >= 11), f"r{i}") for i in range(18) for _ in range(2))
    labelled = LabelledSet("set", ("a", "b"), samples)
    pairs = folds(labelled, 4, seed=1)
    tested = [sample for _, test in pairs for sample in test.samples]
    assert Counter(map(id, tested)) == Counter(map(id, samples))
    for train, test in pairs:
        assert not set(train.groups) & set(test.groups)
        assert len(train) + len(test) == len(labelled)
        counts = Counter(sample.label for sample in test.samples)
        assert counts[0] in (4, 6) and counts[1] in (2, 4)
    groups = [test.groups for _, test in pairs]
    assert groups == [test.groups for _, test in folds(labelled, 4, seed=1)]
    assert groups != [test.groups for _, test in folds(labelled, 4, seed=2)]
    with pytest.raises(UsageError, match="b occurs in 7 groups, 8 folds need 8"):
        folds(labelled, 8)
    with pytest.raises(UsageError, match="n must be at least 2, got 1"):
        folds(labelled, 1)


def test_sets_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="a has label 1, but there are 1 labels"):
        LabelledSet("set", ("x",), (held(10, 1),))
    with pytest.raises(UsageError, match="maps back"):
        LabelledSet("set", ("x", "y", "z"), (), flip=(1, 2, 0))


@needs_data
def test_real_sets() -> None:
    data = Path(str(DATA))
    thousand = nmnist(data / "events_nmnist" / "nmnist_small_train1000.zip")
    assert len(thousand) == 1000
    assert [thousand.samples[i].label for i in (0, 1)] == [5, 0]  # MNIST begins so
    sizes = [len(stream) for stream in streams(thousand.samples[:2])]
    assert sizes == [23405 // 5, 25140 // 5]
    objects = labelled_folder(data / "events_objects" / "dvs128_biolab", label_column="label_en")
    assert len(objects) == len(objects.labels) == 7
    early, late = split_by_time(objects, 0.7, 1.0)
    for part in (early, late):
        labels = {sample.label for sample in windows_of(part, 1.0, 0.5).samples}
        assert labels == set(range(7))
    signs = labelled_folder(data / "events_gesture" / "dvs_sign" / "train_self.zip")
    assert Counter(sample.label for sample in signs.samples) == {0: 40, 1: 40, 2: 40}
    assert signs.samples[0].read().sensor == (128, 128)
