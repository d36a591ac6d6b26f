"""Two sides of a table, value by value. Pure, and written without cdcd's own table of types.

What ScyllaDB's driver and PostgreSQL's driver give for one value is brought to one form: atomic
values as Python has them, nested ones as the JSON that the target holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

Row = Mapping[str, Any]
Rows = Mapping[tuple[UUID, ...], Row]

WRITE_TIME = "cdc_timestamp"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Compared:
    """One table: how many rows each side has, and the keys of those that are not equal.

    `different` names the columns.
    """

    table: str
    rows_source: int
    rows_target: int
    missing: list[tuple[UUID, ...]] = field(default_factory=list)
    extra: list[tuple[UUID, ...]] = field(default_factory=list)
    different: dict[tuple[UUID, ...], list[str]] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return not (self.missing or self.extra or self.different)

    @property
    def rows_equal(self) -> int:
        """How many rows are on both sides and equal."""
        return self.rows_source - len(self.missing) - len(self.different)

    def equal_among(self, keys: Iterable[tuple[UUID, ...]]) -> int:
        """How many of these rows are on both sides and equal."""
        wrong = {*self.missing, *self.different}
        return len([k for k in keys if k not in wrong])


def compare(table: str, source: Rows, target: Rows) -> Compared:
    """Every value of every row; rows are in the common form."""
    different = {}
    for key in source.keys() & target.keys():
        if columns := _differences(source[key], target[key]):
            different[key] = columns
    return Compared(
        table,
        len(source),
        len(target),
        sorted(source.keys() - target.keys()),
        sorted(target.keys() - source.keys()),
        different,
    )


def _differences(source: Row, target: Row) -> list[str]:
    return [
        name
        for name in sorted(source.keys() | target.keys())
        if name not in source or name not in target or not _same(source[name], target[name])
    ]


def _same(one: Any, other: Any) -> bool:
    # True and 1 are equal in Python, and they are not the same value.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def from_scylla(value: Any) -> Any:
    """A column's value as the driver gives it, in the common form."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if _is_nested(value):
        return _as_json(value)
    if hasattr(value, "days_from_epoch"):  # the driver's own date
        return value.date()
    return value


def write_time(microseconds: Iterable[int | None]) -> datetime | None:
    """When a row was last written, from the write times of its columns."""
    found = [us for us in microseconds if us is not None]
    return _EPOCH + timedelta(microseconds=max(found)) if found else None


def _is_nested(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))


def _as_json(value: Any) -> Any:
    """A part of a nested value, as JSON has it."""
    if isinstance(value, Mapping):
        return {k: _as_json(v) for k, v in value.items()}
    if hasattr(value, "_asdict"):  # a user-defined type
        return {k: _as_json(v) for k, v in value._asdict().items()}
    if _is_nested(value):
        return [_as_json(v) for v in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    return value
