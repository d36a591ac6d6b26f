"""The SQL of a target table. Pure; every name is quoted, and no value is ever in the text.

Rows reach a statement through a source: the staging table, or arrays of a small batch. Both have
the target's columns under the same names.
"""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import postgres_type
from cdcd.sink.merge import Kind
from cdcd.sink.ranges import EXPRESSIONS, RangeShape

TIMESTAMP = "cdc_timestamp"
SHAPE = "cdc_shape"
AT = "cdc_at"

# When the first cell of a row expires, when the last one has, and the request to send then.
EXPIRES_AT, EXPIRES_LAST, EXPIRES_KEY = "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"
EXPIRY = ((EXPIRES_AT, "timestamptz"), (EXPIRES_LAST, "timestamptz"), (EXPIRES_KEY, "bytea"))


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant, for the DDL of views, which takes no parameters."""
    # The E form reads backslashes the same under every setting of the server.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True)
class Target:
    """A PostgreSQL table and the columns of the source that it holds."""

    schema: str
    name: str
    key: tuple[Column, ...]
    columns: tuple[Column, ...]
    is_static: bool = False

    @cached_property
    def quoted(self) -> str:
        """The qualified name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @cached_property
    def typed_columns(self) -> tuple[tuple[str, str], ...]:
        """Every column with its type: key, others, the write time, and what is about expiry."""
        source = [(c.name, postgres_type(c.type)) for c in (*self.key, *self.columns)]
        return (*source, (TIMESTAMP, "timestamptz"), *EXPIRY)

    @cached_property
    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """The key's columns with their types."""
        return self.typed_columns[: len(self.key)]


@dataclass(frozen=True)
class Targets:
    """Where a source table goes: its rows, and its static rows where it has static columns."""

    rows: Target
    statics: Target | None = None

    @property
    def all(self) -> tuple[Target, ...]:
        """The tables."""
        return (self.rows,) if self.statics is None else (self.rows, self.statics)

    @property
    def full_name(self) -> str:
        """The name of the view that joins the two."""
        return f"{self.rows.name}__full"


def targets_of(table: TableSpec, schema: str) -> Targets:
    """The targets of a table."""
    rows = Target(schema, table.name, table.key, table.regular)
    if not table.static:
        return Targets(rows)
    statics = Target(
        schema, f"{table.name}__static", table.partition_key, table.static, is_static=True
    )
    return Targets(rows, statics)


@dataclass(frozen=True, slots=True)
class Shape:
    """Effects that one statement serves: the same kind, the same columns set, expiry or none."""

    kind: Kind
    columns: tuple[str, ...]
    expires: bool = False


def create(target: Target) -> str:
    """The table, with the source's primary key."""
    lines = [f"{quoted(name)} {kind}" for name, kind in target.typed_columns]
    key = ", ".join(quoted(c.name) for c in target.key)
    return f"CREATE TABLE {target.quoted} ({', '.join(lines)}, PRIMARY KEY ({key}))"


def create_expiry_index(target: Target) -> str:
    """The index by which the sweeper finds rows that are due."""
    column = quoted(EXPIRES_AT)
    return f"CREATE INDEX ON {target.quoted} ({column}) WHERE {column} IS NOT NULL"


def add_columns(target: Target, missing: Sequence[tuple[str, str]]) -> str:
    """Columns that the target does not have yet."""
    lines = [f"ADD COLUMN {quoted(name)} {kind}" for name, kind in missing]
    return f"ALTER TABLE {target.quoted} {', '.join(lines)}"


def create_staging(target: Target, name: str) -> str:
    """A table of the connection's own for the rows of one batch.

    It holds key and columns, and the number of the shape that says which of them are set.
    """
    lines = [f"{quoted(SHAPE)} smallint"]
    lines += [f"{quoted(name)} {kind}" for name, kind in target.typed_columns]
    return f"CREATE TEMPORARY TABLE {quoted(name)} ({', '.join(lines)}) ON COMMIT DELETE ROWS"


def staged(name: str) -> str:
    """The staging table as a source; parameter 1 is the shape's number."""
    return f"(SELECT * FROM {quoted(name)} WHERE {quoted(SHAPE)} = $1)"


def arrays(columns: Iterable[tuple[str, str]]) -> str:
    """Arrays as a source: one parameter for each column."""
    names, kinds = zip(*columns, strict=True)
    parameters = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(kinds, 1))
    return f"(SELECT * FROM unnest({parameters}) AS a ({', '.join(map(quoted, names))}))"


def shape_columns(target: Target, shape: Shape) -> list[tuple[str, str]]:
    """The columns that a shape's statement reads, with their types."""
    if shape.kind is Kind.DELETE:
        # Named in `columns`: the key of a row, or of a whole partition.
        return [c for c in target.typed_columns if c[0] in shape.columns]
    wanted = {*shape.columns, *(c.name for c in target.key), TIMESTAMP}
    if shape.expires:
        wanted |= {name for name, _ in EXPIRY}
    return [c for c in target.typed_columns if c[0] in wanted]


def range_columns(target: Target, shape: RangeShape) -> list[tuple[str, str]]:
    """The columns that a range's statement reads: partition, equal columns, the rest of bounds."""
    partition, clustering = _parts_of_key(target)
    compared = clustering[shape.equal :]
    given = [*partition, *clustering[: shape.equal]]
    found = [(c.name, postgres_type(c.type)) for c in given]
    for side, count in ((_START, shape.start), (_END, shape.end)):
        found += [(f"{side}{n}", postgres_type(c.type)) for n, c in enumerate(compared[:count])]
    return found


_START, _END = "cdc_start_", "cdc_end_"


def _parts_of_key(target: Target) -> tuple[list[Column], list[Column]]:
    partition = [c for c in target.key if c.kind is ColumnKind.PARTITION_KEY]
    return partition, [c for c in target.key if c.kind is not ColumnKind.PARTITION_KEY]


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
    matches = _matches(c.name for c in target.key)
    return (
        f"SELECT s.{quoted(AT)}, {columns} FROM {target.quoted} AS t "
        f"JOIN {source} AS s ON {matches}"
    )


def find_empty(target: Target) -> str:
    """Which of some rows have nothing but nulls; the source is arrays of keys and `cdc_at`."""
    source = arrays([*target.key_columns, (AT, "integer")])
    matches = _matches(c.name for c in target.key)
    return (
        f"SELECT s.{quoted(AT)} FROM {target.quoted} AS t JOIN {source} AS s ON {matches} "
        f"WHERE {_all_null(target)}"
    )


def delete_empty(target: Target) -> str:
    """Delete those of some rows that have nothing but nulls; the source is arrays of keys."""
    source = arrays(target.key_columns)
    matches = _matches(c.name for c in target.key)
    return (
        f"DELETE FROM {target.quoted} AS t USING {source} AS s "
        f"WHERE {matches} AND {_all_null(target)}"
    )


def _all_null(target: Target) -> str:
    return " AND ".join(f"t.{quoted(c.name)} IS NULL" for c in target.columns)


def _upsert(target: Target, shape: Shape, source: str) -> str:
    key = [quoted(c.name) for c in target.key]
    written = [*map(quoted, shape.columns), quoted(TIMESTAMP)]
    assignments = [f"{c} = EXCLUDED.{c}" for c in written]
    if shape.expires:
        written += [quoted(name) for name, _ in EXPIRY]
        assignments += _expiry("EXCLUDED")
    names = ", ".join(key + written)
    order = ", ".join(key)
    # In the key's order, so that two transactions wait for each other and never in a circle.
    return (
        f"INSERT INTO {target.quoted} AS t ({names}) SELECT {names} FROM {source} AS s "
        f"ORDER BY {order} ON CONFLICT ({order}) DO UPDATE SET {', '.join(assignments)}"
    )


def _update(target: Target, shape: Shape, source: str) -> str:
    written = [*map(quoted, shape.columns), quoted(TIMESTAMP)]
    assignments = [f"{c} = s.{c}" for c in written]
    if shape.expires:
        assignments += _expiry("s")
    matches = _matches(c.name for c in target.key)
    return (
        f"UPDATE {target.quoted} AS t SET {', '.join(assignments)} FROM {source} AS s "
        f"WHERE {matches}"
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
    return f"DELETE FROM {target.quoted} AS t USING {source} AS s WHERE {_matches(columns)}"


def _delete_range(target: Target, shape: RangeShape, source: str) -> str:
    partition, clustering = _parts_of_key(target)
    given = [c.name for c in [*partition, *clustering[: shape.equal]]]
    compared = clustering[shape.equal :]
    conditions = [
        _matches(given),
        _beyond(compared[: shape.start], _START, shape.start_inclusive),
        _beyond(compared[: shape.end], _END, shape.end_inclusive),
    ]
    where = " AND ".join(conditions)
    return f"DELETE FROM {target.quoted} AS t USING {source} AS s WHERE {where}"


def _beyond(columns: Sequence[Column], side: str, inclusive: bool) -> str:
    """That a row lies on the inner side of a bound, column by column; nulls are never there."""
    steps = []
    equals: list[str] = []
    for number, column in enumerate(columns):
        form = EXPRESSIONS[column.type.name]
        row, bound = f"t.{quoted(column.name)}", f"s.{quoted(f'{side}{number}')}"
        rises = (side == _START) is not column.descending
        inside = f"{form.format(row)} {'>' if rises else '<'} {form.format(bound)}"
        steps.append(" AND ".join([*equals, inside]))
        equals.append(f"{row} = {bound}")
    if inclusive:
        steps.append(" AND ".join(equals) or "true")
    return f"({' OR '.join(steps) or 'false'})"


def _matches(names: Iterable[str]) -> str:
    return " AND ".join(f"t.{quoted(n)} = s.{quoted(n)}" for n in names)
