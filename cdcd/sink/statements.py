"""The SQL of a target table. Pure; every name is quoted, and no value is ever in the text.

Rows reach a statement through a source: the staging table, or arrays of a small batch. Both have
the target's columns under the same names.
"""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cdcd.model.table import Column, TableSpec
from cdcd.model.typemap import postgres_type
from cdcd.sink.merge import Kind

TIMESTAMP = "cdc_timestamp"
SHAPE = "cdc_shape"


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

    @cached_property
    def quoted(self) -> str:
        """The qualified name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @cached_property
    def typed_columns(self) -> tuple[tuple[str, str], ...]:
        """Every column with its type: key first, then the others, then the write time."""
        source = [(c.name, postgres_type(c.type)) for c in (*self.key, *self.columns)]
        return (*source, (TIMESTAMP, "timestamptz"))


def target_of(table: TableSpec, schema: str) -> Target:
    """The target of a table's rows."""
    return Target(schema, table.name, table.key, table.regular)


@dataclass(frozen=True, slots=True)
class Shape:
    """Effects that one statement serves: the same kind, and the same columns set."""

    kind: Kind
    columns: tuple[str, ...]


def create(target: Target) -> str:
    """The table, with the source's primary key."""
    lines = [f"{quoted(name)} {kind}" for name, kind in target.typed_columns]
    key = ", ".join(quoted(c.name) for c in target.key)
    return f"CREATE TABLE {target.quoted} ({', '.join(lines)}, PRIMARY KEY ({key}))"


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
    set_or_key = {*shape.columns, *(c.name for c in target.key), TIMESTAMP}
    return [c for c in target.typed_columns if c[0] in set_or_key]


def apply(target: Target, shape: Shape, source: str) -> str:
    """The statement for the effects of one shape."""
    if shape.kind is Kind.DELETE:
        return _delete(target, shape.columns, source)
    if shape.kind is Kind.UPDATE:
        return _update(target, shape.columns, source)
    return _upsert(target, shape.columns, source)


def _upsert(target: Target, columns: tuple[str, ...], source: str) -> str:
    key = [quoted(c.name) for c in target.key]
    written = [*map(quoted, columns), quoted(TIMESTAMP)]
    names = ", ".join(key + written)
    order = ", ".join(key)
    assignments = ", ".join(f"{c} = EXCLUDED.{c}" for c in written)
    # In the key's order, so that two transactions wait for each other and never in a circle.
    return (
        f"INSERT INTO {target.quoted} ({names}) SELECT {names} FROM {source} AS s ORDER BY {order} "
        f"ON CONFLICT ({order}) DO UPDATE SET {assignments}"
    )


def _update(target: Target, columns: tuple[str, ...], source: str) -> str:
    written = [*map(quoted, columns), quoted(TIMESTAMP)]
    assignments = ", ".join(f"{c} = s.{c}" for c in written)
    matches = _matches(c.name for c in target.key)
    return f"UPDATE {target.quoted} AS t SET {assignments} FROM {source} AS s WHERE {matches}"


def _delete(target: Target, columns: tuple[str, ...], source: str) -> str:
    return f"DELETE FROM {target.quoted} AS t USING {source} AS s WHERE {_matches(columns)}"


def _matches(names: Iterable[str]) -> str:
    return " AND ".join(f"t.{quoted(n)} = s.{quoted(n)}" for n in names)
