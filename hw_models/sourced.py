"""A cited number with its range, and tables of them by precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import ConfigDict, Strict

from hw_models.errors import CatalogError, EstimateError
from hw_models.ops import Precision

Basis = Literal["measured", "simulated", "derived", "assumed"]
BASES: tuple[Basis, ...] = get_args(Basis)

STRICT_KEYS = ConfigDict(extra="forbid")
_Number = Annotated[float, Strict()]  # a quoted "1e-12" is text and is refused


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number with its range and where it comes from.

    Parameters
    ----------
    value, low, high
        Nominal value and range, low <= value <= high, non-negative, SI units.
    source
        Key in ``references.bib``.
    locator
        Table, row or file in that source, or the reason for an assumption.
    basis
        How the source knows: measured, simulated, derived (our arithmetic on one of these),
        assumed.
    shares
        Name of a common cause. Constants that name the same one are drawn at the same quantile of
        their ranges; a leading ``-`` draws at the opposite quantile. Empty: independent. A name
        is known within its device; one with a dot, ``link.bytes_per_spike``, in all of them.
    """

    value: _Number
    low: _Number
    high: _Number
    source: str
    locator: str
    basis: Basis
    shares: str = ""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT_KEYS

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.value <= self.high < float("inf"):
            raise CatalogError(
                f"expected 0 <= low <= value <= high, got low {self.low}, value {self.value}, "
                f"high {self.high}"
            )
        if self.basis not in BASES:
            raise CatalogError(f"basis must be one of {', '.join(BASES)}, got {self.basis!r}")
        if not self.source or not self.locator:
            raise CatalogError("source and locator must not be empty")

    def scaled(self, factor: float) -> Sourced:
        """Return the number and its range times a positive factor."""
        return replace(
            self, value=self.value * factor, low=self.low * factor, high=self.high * factor
        )


Record = TypeVar("Record")
ByPrecision = Mapping[Literal["any", Precision], Sourced]


def at_precision(table: ByPrecision, precision: Precision, what: str) -> Sourced:
    """Look a number up for a precision; the entry ``any`` serves all of them.

    Raises
    ------
    EstimateError
        There is no such entry; names the known precisions.
    """
    if precision in table:
        return table[precision]
    if "any" in table:
        return table["any"]
    raise EstimateError(f"{what}: no {precision}; known precisions: {', '.join(sorted(table))}")


def sourced_items(record: Any, prefix: str = "") -> Iterator[tuple[str, Sourced]]:
    """Walk a device and yield every cited number with its dotted key."""
    if isinstance(record, Sourced):
        yield prefix, record
    elif is_dataclass(record) and not isinstance(record, type):
        for field in fields(record):
            yield from sourced_items(getattr(record, field.name), _join(prefix, field.name))
    elif isinstance(record, Mapping):
        for key, value in record.items():
            yield from sourced_items(value, _join(prefix, key))


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def require_above_zero(record: Any, *names: str, at_least: float = 0.0) -> None:
    """Refuse a range that reaches 0 where the equations divide by the number.

    Raises
    ------
    CatalogError
        The low end of one of these fields is 0, or less than ``at_least``.
    """
    for name in names:
        for key, number in sourced_items(getattr(record, name), name):
            if number.low <= 0 or number.low < at_least:
                bound = f"at least {at_least:g}" if at_least else "above 0"
                raise CatalogError(f"{key}: low must be {bound}, got {number.low:g}")


def with_constant(record: Record, key: str, number: Sourced) -> Record:
    """Return a device with one of its numbers replaced.

    Parameters
    ----------
    record
        The device.
    key
        Dotted key of the number as in its file, ``modes.15w.idle_w``.
    number
        What stands there instead, for example a measurement of one's own board.

    Raises
    ------
    CatalogError
        The device has no such key.
    """
    changed: Record = _replaced(record, key.split("."), key, number)
    return changed


def _replaced(record: Any, path: list[str], key: str, number: Sourced) -> Any:
    if not path:
        return number
    head, *rest = path
    if isinstance(record, Mapping) and head in record:
        return {**record, head: _replaced(record[head], rest, key, number)}
    if is_dataclass(record) and head in {field.name for field in fields(record)}:
        part = _replaced(getattr(record, head), rest, key, number)
        return replace(record, **{head: part})  # type: ignore[type-var]
    raise CatalogError(f"cannot set {key}: there is no {head!r}")
