"""One's own recordings: a folder per class, or a table of labels beside them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neurovlm.core.errors import InputFileError
from neurovlm.events.datasets.files import Files, list_files, natural
from neurovlm.events.datasets.sample import LabelledSet, Sample
from neurovlm.events.io.source import Sensor

TABLE = "labels.csv"


@dataclass(frozen=True)
class _Row:
    file: PurePosixPath
    label: str
    group: str
    t0_us: int
    t1_us: int | None


def labelled_folder(
    path: str | Path,
    *,
    label_column: str = "label",
    labels: tuple[str, ...] | None = None,
    flip: tuple[int, ...] | None = None,
    sensor: Sensor | None = None,
) -> LabelledSet:
    """Take recordings of any format that `neurovlm.events.io` reads, labelled in one of two ways.

    Either ``labels.csv`` lies beside them: a header, then one line a sample with columns ``file``
    and ``label``, and optionally ``group`` (a person or recording that must not be split between
    training and test) and ``t0_s``, ``t1_s`` (seconds after the first event of the file). Or each
    file lies in a folder that is named after its class.

    Parameters
    ----------
    path
        The folder, or a zip archive of it.
    label_column
        Column of the table that holds the label.
    labels
        Names of the classes in the order of their indices; sorted by name if left out.
    flip
        Label of the mirrored scene of each label.
    sensor
        ``(width, height)`` where the files do not say it.

    Returns
    -------
    The samples; each file is a group of its own unless the table says otherwise.

    Raises
    ------
    InputFileError
        When the folder is missing or without recordings, a file has no label or a label no file,
        or a class is not among ``labels``.
    UsageError
        When ``flip`` does not fit the labels.
    """
    path = Path(path)
    files = list_files(path)
    table = next((name for name in files.names if name.name == TABLE), None)
    rows = _class_folders(files) if table is None else _table(files, table, label_column)
    if not rows:
        raise InputFileError(
            f"{path}: no labelled recordings; make one folder per class, or a {TABLE} with columns "
            "file,label"
        )
    if labels is None:
        named = sorted({PurePosixPath(row.label) for row in rows}, key=natural)
        labels = tuple(str(name) for name in named)
    return LabelledSet(path.stem, labels, _samples(files, rows, labels, sensor), flip)


def _class_folders(files: Files) -> list[_Row]:
    inside = [name for name in files.names if len(name.parts) > 1]
    # an archive may hold its folders in one folder
    depth = min((len(name.parts) for name in inside), default=0)
    suffixes = {name.suffix for name in inside}
    for name in files.names:
        if len(name.parts) == 1 and name.suffix in suffixes:
            raise InputFileError(
                f"{files.root}: {name} has no label; move it to the folder of its class, or write "
                f"a {TABLE}"
            )
        if len(name.parts) > depth > 0:
            raise InputFileError(
                f"{files.root}: {name} lies deeper than the other recordings; put each recording "
                "directly into the folder of its class"
            )
    return [_Row(name, name.parent.name, str(name), 0, None) for name in inside]


def _table(files: Files, table: PurePosixPath, label_column: str) -> list[_Row]:
    where = f"{files.root}/{table}"
    reader = csv.DictReader(files.text(table).splitlines())
    columns = reader.fieldnames or ()
    for column in ("file", label_column):
        if column not in columns:
            raise InputFileError(
                f"{where}: no column {column}, only {', '.join(columns)}; add it, or name the "
                "column of the labels (label_column)"
            )
    rows = [
        _row(line, table.parent, label_column, f"{where}, line {reader.line_num}")
        for line in reader
    ]
    known, labelled = set(files.names), {row.file for row in rows}
    missing = next((row.file for row in rows if row.file not in known), None)
    if missing is not None:
        raise InputFileError(f"{where}: {missing} is labelled but missing; add it or its true name")
    suffixes = {file.suffix for file in labelled}
    for name in files.names:
        if name.suffix in suffixes and name not in labelled and name != table:
            raise InputFileError(f"{where}: {name} has no label; add a line for it or remove it")
    return rows


def _row(line: dict[str, str | None], folder: PurePosixPath, column: str, where: str) -> _Row:
    file, label = line["file"], line[column]
    if not file or not label:
        raise InputFileError(f"{where}: file or label is empty; fill both or remove the line")
    name = folder / file
    t0_us, t1_us = _time(line.get("t0_s"), where), _time(line.get("t1_s"), where)
    if t1_us is not None and t1_us <= (t0_us or 0):
        raise InputFileError(f"{where}: t1_s must be after t0_s, got {line['t1_s']}")
    return _Row(name, label, line.get("group") or str(name), t0_us or 0, t1_us)


def _time(text: str | None, where: str) -> int | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputFileError(f"{where}: a time must be a number of seconds from 0, got {text!r}")
    return round(seconds * 1e6)


def _samples(
    files: Files, rows: list[_Row], labels: tuple[str, ...], sensor: Sensor | None
) -> tuple[Sample, ...]:
    index = {name: i for i, name in enumerate(labels)}
    loaders = {row.file: files.loader(row.file, sensor) for row in rows}
    samples = []
    for row in sorted(rows, key=lambda row: (natural(row.file), row.t0_us)):
        if row.label not in index:
            raise InputFileError(
                f"{files.root}: {row.file} has the unknown class {row.label!r}; the classes are "
                f"{', '.join(labels)}"
            )
        name = f"{files.root}/{row.file}"
        load = loaders[row.file]
        samples.append(Sample(name, load, index[row.label], row.group, row.t0_us, row.t1_us))
    return tuple(samples)
