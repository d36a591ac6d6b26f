"""A batch of changes as effects: at most one for each row, and deletes of whole partitions. Pure.

Partition deletes run first. One that comes later in the batch drops the partition's effects before
it, and what comes after it finds no row, so running it first changes nothing. Keys are compared in
PostgreSQL's form: keys that it cannot tell apart (times of one microsecond, say) are one row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.cqltype import CqlType
from cdcd.model.table import Column, TableSpec
from cdcd.model.typemap import UnstorableValue, postgres_type, to_postgres

Key = tuple[Any, ...]


class Kind(IntEnum):
    """What happens to a row."""

    UPSERT = 1
    """Set the named columns; make the row where it is absent."""
    UPDATE = 2
    """Set the named columns of a row that is there. Nulls alone do not make a row."""
    REPLACE = 3
    """The whole row; columns that are not named become null."""
    DELETE = 4


@dataclass(slots=True)
class Effect:
    """What the batch does to one row; None in `values` is null, `at` is the last event's index."""

    kind: Kind
    values: dict[str, Any]
    time_us: int
    at: int


class BadValue(Exception):
    """A value that the target's column cannot hold: which column, of which event. Not the value."""

    def __init__(self, column: Column, at: int) -> None:
        super().__init__(
            f'column "{column.name}" ({column.type}) has a value that '
            f"PostgreSQL's {postgres_type(column.type)} cannot hold"
        )
        self.column = column
        self.at = at


class NoTarget(Exception):
    """A change of something that the target has no place for yet; `at` is its event's index."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(f"{what} are not replicated yet")
        self.at = at


@dataclass(slots=True)
class Effects:
    """Partition deletes first, then one effect for each key."""

    partition_deletes: dict[Key, int] = field(default_factory=dict)
    rows: dict[Key, Effect] = field(default_factory=dict)


def merge(table: TableSpec, events: Sequence[ChangeEvent]) -> Effects:
    """The effects of changes of one table, in order. Raises BadValue for a key that cannot be.

    Raises NoTarget for changes of the static row and for range deletes.
    """
    partition_form = key_form(table.partition_key)
    clustering_form = key_form(table.clustering_key)
    deletes_partitions = any(e.op is Operation.PARTITION_DELETE for e in events)
    merged = Effects()
    # Which rows of a partition have effects, so that a partition delete finds them.
    members: dict[Key, list[Key]] = {}
    rows = merged.rows
    for at, event in enumerate(events):
        key = partition = partition_form(event.partition, at)
        if event.op is Operation.PARTITION_DELETE:
            for member in members.pop(partition, ()):
                del rows[member]
            merged.partition_deletes[partition] = at
            continue
        if event.clustering:
            _check_row(event, at)
            key += clustering_form(event.clustering, at)
        before = rows.get(key)
        if before is not None:
            _fold(before, event, at)
            continue
        rows[key] = _first(event, at)
        if deletes_partitions:
            members.setdefault(partition, []).append(key)
    return merged


def _check_row(event: ChangeEvent, at: int) -> None:
    if event.op is Operation.RANGE_DELETE:
        raise NoTarget("range deletes", at)
    if event.clustering[0] is None and event.is_static:
        raise NoTarget("static columns", at)


def _written(event: ChangeEvent) -> dict[str, Any]:
    return {**event.values, **dict.fromkeys(event.nulls)} if event.nulls else {**event.values}


def _makes_row(event: ChangeEvent) -> bool:
    """Whether the row exists afterwards whatever was before: by its marker or by a live cell."""
    return event.op is not Operation.UPDATE or bool(event.values)


def _first(event: ChangeEvent, at: int) -> Effect:
    if event.op is Operation.DELETE:
        return Effect(Kind.DELETE, {}, event.time_us, at)
    if event.op is Operation.READ:
        return Effect(Kind.REPLACE, _written(event), event.time_us, at)
    kind = Kind.UPSERT if _makes_row(event) else Kind.UPDATE
    return Effect(kind, _written(event), event.time_us, at)


def _fold(effect: Effect, event: ChangeEvent, at: int) -> None:
    """Change `effect` into that of itself and then the event."""
    if event.op in (Operation.DELETE, Operation.READ):
        after = _first(event, at)
        effect.kind, effect.values = after.kind, after.values
    elif effect.kind is Kind.DELETE:
        if not _makes_row(event):
            return
        effect.kind, effect.values = Kind.REPLACE, _written(event)
    else:
        if effect.kind is Kind.UPDATE and _makes_row(event):
            effect.kind = Kind.UPSERT
        effect.values.update(_written(event))
    effect.time_us, effect.at = event.time_us, at


def key_form(columns: tuple[Column, ...]) -> Callable[[tuple[Any, ...], int], Key]:
    """Turns key values into PostgreSQL's form; `at` is for the message of a bad one."""
    forms = [(c, to_postgres(c.type)) for c in columns]

    def convert(values: tuple[Any, ...], at: int) -> Key:
        try:
            return tuple([form(v) for (_, form), v in zip(forms, values, strict=True)])
        except UnstorableValue:
            raise _blamed(dict(zip(columns, values, strict=True)), at) from None

    return convert


def row_form(columns: tuple[Column, ...]) -> Callable[[Mapping[str, Any], int], tuple[Any, ...]]:
    """Turns named values into a tuple of PostgreSQL's form; a name that is absent is null."""
    forms = [(c.name, to_postgres(c.type)) for c in columns]

    def convert(values: Mapping[str, Any], at: int) -> tuple[Any, ...]:
        get = values.get
        try:
            return tuple([None if (v := get(n)) is None else form(v) for n, form in forms])
        except UnstorableValue:
            raise _blamed({c: get(c.name) for c in columns}, at) from None

    return convert


def _blamed(values: Mapping[Column, Any], at: int) -> BadValue:
    """Which of the values it was: looked for only once there is one."""
    guilty = next(c for c, v in values.items() if v is not None and not _fits(c.type, v))
    return BadValue(guilty, at)


def _fits(cql: CqlType, value: Any) -> bool:
    try:
        to_postgres(cql)(value)
    except UnstorableValue:
        return False
    return True
