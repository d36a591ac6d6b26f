"""The SQL of a target table. Pure; every name is quoted, and no value is ever in the text.

Rows reach a statement through a source: the staging table, or arrays of a small batch. Both have
the target's columns under the same names.
"""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cdcd.model.table import ColumnKind
from cdcd.sink.merge import Kind
from cdcd.sink.ranges import RangeShape
from cdcd.sink.target import DELETED, EXPIRES_AT, EXPIRY, TIMESTAMP, Target, TargetColumn, quoted

SHAPE = "cdc_shape"
AT = "cdc_at"


def literal(text: str) -> str:
    """A text constant, for the DDL of views, which takes no parameters."""
    # The E form reads backslashes the same under every setting of the server.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Shape:
    """Effects that one statement serves: the same kind, the same columns set, expiry or none."""

    kind: Kind
    columns: tuple[str, ...]
    expires: bool = False


def create(target: Target) -> str:
    """The table, with the source's primary key."""
    lines = [_definition(*column) for column in target.typed_columns]
    key = ", ".join(quoted(c.name) for c in target.key)
    return f"CREATE TABLE {target.quoted} ({', '.join(lines)}, PRIMARY KEY ({key}))"


def create_expiry_index(target: Target) -> str:
    """The index by which the sweeper finds rows that are due."""
    column = quoted(EXPIRES_AT)
    return f"CREATE INDEX ON {target.quoted} ({column}) WHERE {column} IS NOT NULL"


def add_columns(target: Target, missing: Sequence[tuple[str, str]]) -> str:
    """Columns that the target does not have yet."""
    lines = [f"ADD COLUMN {_definition(*column)}" for column in missing]
    return f"ALTER TABLE {target.quoted} {', '.join(lines)}"


def _definition(name: str, kind: str) -> str:
    # With a default, which PostgreSQL adds without writing the table anew.
    more = " NOT NULL DEFAULT false" if name == DELETED else ""
    return f"{quoted(name)} {kind}{more}"


def evolve(target: Target, retyped: Sequence[tuple[str, str]], freed: Sequence[str]) -> str:
    """Columns with wider types, and columns that take nulls from now on."""
    lines = [f"ALTER COLUMN {quoted(name)} TYPE {kind}" for name, kind in retyped]
    lines += [f"ALTER COLUMN {quoted(name)} DROP NOT NULL" for name in freed]
    return f"ALTER TABLE {target.quoted} {', '.join(lines)}"


def create_staging(target: Target, name: str, *, is_kept: bool = True) -> str:
    """A table of the session's own for the rows of one batch; kept for others, or dropped with it.

    It holds key and columns, and the number of the shape that says which of them are set.
    """
    lines = [f"{quoted(SHAPE)} smallint"]
    lines += [f"{quoted(name)} {kind}" for name, kind in target.typed_columns]
    end = "DELETE ROWS" if is_kept else "DROP"
    return f"CREATE TEMPORARY TABLE {quoted(name)} ({', '.join(lines)}) ON COMMIT {end}"


def staged(name: str) -> str:
    """The staging table as a source; parameter 1 is the shape's number."""
    return f"(SELECT * FROM {quoted(name)} WHERE {quoted(SHAPE)} = $1)"


def arrays(columns: Iterable[tuple[str, str]]) -> str:
    """Arrays as a source: one parameter for each column."""
    given = list(columns)
    parameters = ", ".join(f"${at}::{kind}[]" for at, (_, kind) in enumerate(given, 1))
    names = ", ".join(quoted(name) for name, _ in given)
    return f"(SELECT * FROM unnest({parameters}) AS a ({names}))"


def shape_columns(target: Target, shape: Shape) -> list[tuple[str, str]]:
    """The columns that a shape's statement reads, with their types."""
    if shape.kind is Kind.DELETE:
        # Named in `columns`: the key of a row, or of a whole partition.
        wanted = {*shape.columns, *_stamp(target)}
        return [c for c in target.typed_columns if c[0] in wanted]
    wanted = {*shape.columns, *(c.name for c in target.key), TIMESTAMP}
    if shape.expires:
        wanted |= {name for name, _ in EXPIRY}
    return [c for c in target.typed_columns if c[0] in wanted]


def matches(columns: Iterable[TargetColumn], row: str = "t", source: str = "s") -> str:
    """That two relations have one key."""
    return " AND ".join(
        c.same(f"{row}.{quoted(c.name)}", f"{source}.{quoted(c.name)}") for c in columns
    )


def _stamp(target: Target) -> tuple[str, ...]:
    """What a delete says beside the key, where the row stays."""
    return (TIMESTAMP,) if target.soft_delete else ()


def range_columns(target: Target, shape: RangeShape) -> list[tuple[str, str]]:
    """The columns that a range's statement reads: partition, equal columns, the rest of bounds."""
    partition, clustering = _parts_of_key(target)
    compared = clustering[shape.equal :]
    given = [*partition, *clustering[: shape.equal]]
    found = [(c.name, c.kind) for c in given]
    for side, count in ((_START, shape.start), (_END, shape.end)):
        found += [(f"{side}{n}", c.kind) for n, c in enumerate(compared[:count])]
    return found + ([(TIMESTAMP, "timestamptz")] if target.soft_delete else [])


_START, _END = "cdc_start_", "cdc_end_"


def _parts_of_key(target: Target) -> tuple[list[TargetColumn], list[TargetColumn]]:
    partition = [c for c in target.key if c.source.kind is ColumnKind.PARTITION_KEY]
    return partition, list(target.key[len(partition) :])


def apply(target: Target, shape: Shape | RangeShape, source: str) -> str:
    """The statement for the effects of one shape."""
    if isinstance(shape, RangeShape):
        return _delete_range(target, shape, source)
    if shape.kind is Kind.DELETE:
        return _delete(target, shape.columns, source)
    if shape.kind is Kind.UPDATE:
        return _update(target, shape, source)
    return _upsert(target, shape, source)


def read_columns(target: Target, names: Iterable[str]) -> str:
    """The present values of some columns of rows; the source is arrays of keys and `cdc_at`."""
    source = arrays([*target.key_columns, (AT, "integer")])
    columns = ", ".join(f"t.{quoted(n)}" for n in names)
    return (
        f"SELECT s.{quoted(AT)}, {columns} FROM {target.quoted} AS t "
        f"JOIN {source} AS s ON {matches(target.key)}{_and_living(target)}"
    )


def find_empty(target: Target) -> str:
    """Which of some rows have nothing but nulls; the source is arrays of keys and `cdc_at`."""
    source = arrays([*target.key_columns, (AT, "integer")])
    return (
        f"SELECT s.{quoted(AT)} FROM {target.quoted} AS t "
        f"JOIN {source} AS s ON {matches(target.key)} "
        f"WHERE {_all_null(target)}{_and_living(target)}"
    )


def delete_empty(target: Target) -> str:
    """Delete those of some rows that have nothing but nulls; the source is arrays of keys."""
    source = arrays(target.key_columns)
    empty = f"{matches(target.key)} AND {_all_null(target)}"
    return _remove(target, source, empty, stamped=False)


def _all_null(target: Target) -> str:
    return " AND ".join(f"t.{quoted(c.name)} IS NULL" for c in target.columns) or "true"


def _and_living(target: Target) -> str:
    return f" AND NOT t.{quoted(DELETED)}" if target.soft_delete else ""


def _remove(target: Target, source: str, where: str, *, stamped: bool = True) -> str:
    """Delete rows, or where they stay, say that they are. Values stay as they were at last."""
    if not target.soft_delete:
        return f"DELETE FROM {target.quoted} AS t USING {source} AS s WHERE {where}"
    assignments = [f"{quoted(DELETED)} = true", *(f"{quoted(n)} = NULL" for n, _ in EXPIRY)]
    if stamped:
        assignments.append(f"{quoted(TIMESTAMP)} = s.{quoted(TIMESTAMP)}")
    return (
        f"UPDATE {target.quoted} AS t SET {', '.join(assignments)} FROM {source} AS s "
        f"WHERE {where}{_and_living(target)}"
    )


def _revived(target: Target, shape: Shape) -> list[str]:
    """What a row that was deleted and stayed is afterwards: there, without its former values."""
    if not target.soft_delete:
        return []
    deleted = f"t.{quoted(DELETED)}"
    kept = [quoted(c.name) for c in target.columns if c.name not in shape.columns]
    cleared = [f"{name} = CASE WHEN NOT {deleted} THEN t.{name} END" for name in kept]
    return [*cleared, f"{quoted(DELETED)} = false"]


def _upsert(target: Target, shape: Shape, source: str) -> str:
    key, scaled = [quoted(c.name) for c in target.key], target.scaled
    written = [*map(quoted, shape.columns), quoted(TIMESTAMP)]
    assignments = [f"{c} = EXCLUDED.{c}" for c in written]
    if shape.expires:
        written += [quoted(name) for name, _ in EXPIRY]
        assignments += _expiry("EXCLUDED")
    assignments += _revived(target, shape)
    names = ", ".join(key + written)
    order = ", ".join(key)
    # In the key's order, so that two transactions wait for each other and never in a circle. A row
    # that another key has is left alone; whoever counts the rows sees that one is missing.
    return (
        f"INSERT INTO {target.quoted} AS t ({names}) SELECT {names} FROM {source} AS s "
        f"ORDER BY {order} ON CONFLICT ({order}) DO UPDATE SET {', '.join(assignments)}"
        + (f" WHERE {matches(scaled, source='EXCLUDED')}" if scaled else "")
    )


def _update(target: Target, shape: Shape, source: str) -> str:
    written = [*map(quoted, shape.columns), quoted(TIMESTAMP)]
    assignments = [f"{c} = s.{c}" for c in written]
    if shape.expires:
        assignments += _expiry("s")
    return (
        f"UPDATE {target.quoted} AS t SET {', '.join(assignments)} FROM {source} AS s "
        f"WHERE {matches(target.key)}{_and_living(target)}"
    )


def _expiry(new: str) -> list[str]:
    """The earliest and the latest of what the row has and what comes; nulls count for nothing."""
    first, last, key = (quoted(name) for name, _ in EXPIRY)
    return [
        f"{first} = LEAST(t.{first}, {new}.{first})",
        f"{last} = GREATEST(t.{last}, {new}.{last})",
        f"{key} = {new}.{key}",
    ]


def _delete(target: Target, columns: tuple[str, ...], source: str) -> str:
    return _remove(target, source, matches(c for c in target.key if c.name in columns))


def _delete_range(target: Target, shape: RangeShape, source: str) -> str:
    partition, clustering = _parts_of_key(target)
    compared = clustering[shape.equal :]
    conditions = [
        matches([*partition, *clustering[: shape.equal]]),
        _beyond(compared[: shape.start], _START, shape.start_inclusive),
        _beyond(compared[: shape.end], _END, shape.end_inclusive),
    ]
    return _remove(target, source, " AND ".join(conditions))


def _beyond(columns: Sequence[TargetColumn], side: str, inclusive: bool) -> str:
    """That a row lies on the inner side of a bound, column by column; nulls are never there."""
    steps = []
    equals: list[str] = []
    for number, column in enumerate(columns):
        form = column.order or "{}"
        row, bound = f"t.{quoted(column.name)}", f"s.{quoted(f'{side}{number}')}"
        rises = (side == _START) is not column.source.descending
        inside = f"{form.format(row)} {'>' if rises else '<'} {form.format(bound)}"
        steps.append(" AND ".join([*equals, inside]))
        equals.append(f"{row} = {bound}")
    if inclusive:
        steps.append(" AND ".join(equals) or "true")
    return f"({' OR '.join(steps) or 'false'})"
