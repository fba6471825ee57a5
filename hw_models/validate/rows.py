"""Tables of published measurements: CSV -> checked rows.

Two kinds of table are known by their header: processors (one row per network, device, power mode
and precision; ``EDGE_COLUMNS``) and neuromorphic chips (``LOIHI_COLUMNS``). A cell may be empty. A
cell of the second kind may hold a range, such as ``7-12``: it says something, but is not one
measurement, so the field is ``None`` and the range stands in ``ranges``. Rows of role ``exclude``
are known to be unusable; of them only id and role are read.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from hw_models.errors import RowsError

ROLES = ("calibrate", "check", "replicate", "comparator", "context", "crosscheck", "exclude")
SCENARIOS = ("SingleStream", "MultiStream", "Offline")


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A network measured on a processor; columns as in the table, ``line`` of the file.

    ``latency_ms`` is per query (the whole batch), ``energy_mj_per_inf`` per sample or token,
    ``gmacs`` 1e9 multiply-accumulates and ``act_melems`` 1e6 activation elements written, both
    per sample.
    """

    id: str
    role: str
    device: str
    power_mode: str
    workload: str
    params_m: float | None
    gmacs: float | None
    precision: str
    runtime: str
    batch: int | None
    latency_ms: float | None
    power_mw: float | None
    energy_mj_per_inf: float | None
    throughput_per_s: float | None
    source: str
    source_locator: str
    verified: str
    notes: str
    n_layers: int | None
    act_melems: float | None
    op_class: str
    line: int = field(compare=False, default=0)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def network(self) -> str:
        """What was run, without the MLPerf scenario, token counts and remarks.

        Prefill and decode of a language model are two networks here: one is bound by arithmetic,
        the other by memory, and they set different constants.
        """
        name = re.split(r" \(|, | at context | \d+ tokens", self.workload)[0]
        for scenario in SCENARIOS:
            name = name.removesuffix(f" {scenario}")
        return name

    @property
    def point(self) -> tuple[str, ...]:
        """What repeats of one measurement share."""
        how = (self.power_mode, self.precision, self.runtime, str(self.batch))
        return (self.source, self.device, self.workload, *how)


@dataclass(frozen=True, slots=True)
class LoihiRow:
    """A network measured on a neuromorphic chip; columns as in the table, ``line`` of the file.

    ``synops_per_inf`` and ``energy_mj_per_inf`` are per inference of ``timesteps`` steps.
    """

    id: str
    role: str
    chip: str
    workload: str
    neurons: float | None
    synapses_or_params: float | None
    timesteps: float | None
    synops_per_inf: float | None
    latency_ms: float | None
    static_mw: float | None
    dynamic_mw: float | None
    total_mw: float | None
    energy_mj_per_inf: float | None
    throughput_per_s: float | None
    accuracy: str
    source: str
    source_locator: str
    verified: str
    notes: str
    line: int = field(compare=False, default=0)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The chip, under the name that the other kind of row uses."""
        return self.chip

    @property
    def network(self) -> str:
        """What was run, without sizes, step counts and remarks."""
        return re.split(r"[,:(]", self.workload)[0].strip()

    @property
    def point(self) -> tuple[str, ...]:
        """What rows that count once share: network and source."""
        return (self.source, self.chip, self.network)


Row = EdgeRow | LoihiRow

_OURS = ("line", "ranges")
EDGE_COLUMNS = tuple(each.name for each in fields(EdgeRow) if each.name not in _OURS)
LOIHI_COLUMNS = tuple(each.name for each in fields(LoihiRow) if each.name not in _OURS)
_WHOLE = ("batch", "n_layers")
_POSITIVE = ("params_m", "gmacs", "batch", "latency_ms", "power_mw", "energy_mj_per_inf",
             "throughput_per_s", "n_layers", "act_melems", "neurons", "timesteps",
             "total_mw")  # fmt: skip
_OTHERS = ("synapses_or_params", "synops_per_inf", "static_mw", "dynamic_mw")  # may be 0
_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?[kM]?"
_RANGE = re.compile(rf"({_NUMBER})\s*(?:-|->|to)\s*({_NUMBER})(?:\s*\(.*\))?$")


def read_rows(path: str | Path) -> tuple[Row, ...]:
    """Read a table of measurements.

    Raises
    ------
    RowsError
        The file cannot be read, lacks a column, or a cell breaks a rule: names file, line, column,
        what was got, what was expected.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RowsError(f"{path}: cannot read the table: {reason}") from error
    reader = csv.reader(text.splitlines(keepends=True))
    header = next(reader, [])
    kind = _kind(header, path)
    rows: list[Row] = []
    lines_by_id: dict[str, int] = {}
    for cells in reader:
        if not cells:
            continue
        where = f"{path}: line {reader.line_num}"
        if len(cells) != len(header):
            raise RowsError(f"{where}: expected {len(header)} cells as in the header, "
                            f"got {len(cells)}")  # fmt: skip
        row = _row(kind, dict(zip(header, cells, strict=True)), reader.line_num, where)
        if row.id in lines_by_id:
            raise RowsError(f"{where}: id: expected an id of its own, got {row.id!r}, "
                            f"which line {lines_by_id[row.id]} has")  # fmt: skip
        lines_by_id[row.id] = reader.line_num
        rows.append(row)
    return tuple(rows)


def effective_roles(rows: Iterable[Row], others: Iterable[Row] = ()) -> dict[str, str]:
    """Return id -> role that counts.

    A network with rows of both roles ``calibrate`` and ``check`` on a device is checked only: its
    ``calibrate`` rows there set no constant of that device, and are ``check`` here. A
    ``replicate`` has the role of the row that it repeats; one that repeats none is a ``check``.

    Parameters
    ----------
    rows
        Of one table.
    others
        Rows of the tables that the constants were set on. A check of a network that set a constant
        of its device there is no check of something unseen; its role is ``fitted``.
    """
    rows, others = tuple(rows), tuple(others)
    set_by = effective_roles(others) if others else {}
    fitted = {(row.network, row.device) for row in others if set_by[row.id] == "calibrate"}
    checked = {(row.network, row.device) for row in rows if row.role == "check"}
    roles = {}
    by_point: dict[tuple[str, ...], str] = {}
    for row in rows:
        both = row.role == "calibrate" and (row.network, row.device) in checked
        roles[row.id] = "check" if both else row.role
        if row.role in ("calibrate", "check"):
            by_point.setdefault(row.point, roles[row.id])
    for row in rows:
        if row.role == "replicate":
            roles[row.id] = by_point.get(row.point, "check")
        if roles[row.id] == "check" and (row.network, row.device) in fitted:
            roles[row.id] = "fitted"
    return roles


def _kind(header: Sequence[str], path: Path) -> type[EdgeRow] | type[LoihiRow]:
    columns = LOIHI_COLUMNS if "chip" in header and "device" not in header else EDGE_COLUMNS
    missing = [name for name in columns if name not in header]
    if missing:
        raise RowsError(
            f"{path}: line 1: column {missing[0]!r} is missing; expected the columns "
            f"{', '.join(columns)}; got {', '.join(header) or 'an empty file'}"
        )
    repeated = [name for name in header if header.count(name) > 1]
    if repeated:
        raise RowsError(f"{path}: line 1: expected each column once, got {repeated[0]!r} again")
    return LoihiRow if columns is LOIHI_COLUMNS else EdgeRow


def _row(
    kind: type[EdgeRow] | type[LoihiRow], cells: Mapping[str, str], line: int, where: str
) -> Row:
    columns = EDGE_COLUMNS if kind is EdgeRow else LOIHI_COLUMNS
    if not cells["id"].strip():
        raise RowsError(f"{where}: id: expected a name, got an empty cell")
    role = cells["role"].strip()
    if role not in ROLES:
        raise RowsError(f"{where}: role: expected one of {', '.join(ROLES)}, got {role!r}")
    values: dict[str, object] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name in columns:
        cell = cells[name].strip()
        if name not in (*_POSITIVE, *_OTHERS):
            values[name] = cell
        elif not cell or role == "exclude":
            values[name] = None
        elif kind is LoihiRow and (found := _RANGE.match(cell)):
            values[name] = None
            ranges[name] = (_suffixed(found[1]), _suffixed(found[2]))
        else:
            values[name] = _number(name, cell, where)
    return kind(**values, line=line, ranges=ranges)  # type: ignore[arg-type]


def _number(name: str, cell: str, where: str) -> float | int:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    expected = "a finite number or an empty cell"
    if math.isfinite(number):
        if name in _POSITIVE and number <= 0:
            expected = "a number above 0 or an empty cell"
        elif number < 0:
            expected = "a number of at least 0 or an empty cell"
        elif name in _WHOLE and not number.is_integer():
            expected = "a whole number or an empty cell"
        else:
            return int(number) if name in _WHOLE else number
    raise RowsError(f"{where}: {name}: expected {expected}, got {cell!r}")


def _suffixed(text: str) -> float:
    """Read a number of a range, ``67k`` being 67000."""
    factor = {"k": 1e3, "M": 1e6}.get(text[-1], 1.0)
    return float(text.rstrip("kM")) * factor
