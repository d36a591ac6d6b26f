"""The tables that a source table goes to, and what of it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cdcd.model.casts import cast
from cdcd.model.keys import KeyRule, keeps_scale, key_converter, key_rule
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import NOTHING_REPLACED, Converter, Replaced
from cdcd.sink.orders import EXPRESSIONS

TIMESTAMP = "cdc_timestamp"
DELETED = "cdc_deleted"

# When the first cell of a row expires, when the last one has, and the request to send then.
EXPIRES_AT, EXPIRES_LAST, EXPIRES_KEY = "cdc_expires_at", "cdc_expires_last", "cdc_expires_key"
EXPIRY = ((EXPIRES_AT, "timestamptz"), (EXPIRES_LAST, "timestamptz"), (EXPIRES_KEY, "bytea"))


@dataclass(frozen=True)
class Options:
    """How a target differs from its source: its name, columns that are left out, other names and
    types by column, and whether deleted rows stay.
    """

    name: str = "{table}"
    excluded: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    soft_delete: bool = False
    replaced: Replaced = NOTHING_REPLACED


@dataclass(frozen=True)
class TargetColumn:
    """A column of a target: of which source column, its name and type, and its values' form.

    `order` is SQL for what is ordered as CQL orders the source's values; none where nothing is.
    """

    source: Column
    name: str
    kind: str
    convert: Converter = field(compare=False)
    order: str | None = None
    replaced: Replaced = field(default=NOTHING_REPLACED, compare=False)

    @property
    def is_of_partition(self) -> bool:
        """Whether it is of the partition key."""
        return self.source.kind is ColumnKind.PARTITION_KEY

    @property
    def is_of_key(self) -> bool:
        """Whether it is of the primary key."""
        return self.is_of_partition or self.source.kind is ColumnKind.CLUSTERING

    @property
    def is_scaled(self) -> bool:
        """Whether numbers of another scale are other keys: 1.0 and 1.00, which PostgreSQL keeps,
        and takes for equal.
        """
        return self.is_of_partition and keeps_scale(self.source.type, self.kind)

    def same(self, one: str, other: str) -> str:
        """SQL for that two expressions are one value of the key."""
        equal = f"{one} = {other}"
        return f"{equal} AND scale({one}) = scale({other})" if self.is_scaled else equal


@dataclass(frozen=True)
class Target:
    """A PostgreSQL table and the columns of the source that it holds. `is_partial` says that some
    are left out, so that a row of nulls may have values in the source.
    """

    schema: str
    name: str
    key: tuple[TargetColumn, ...]
    columns: tuple[TargetColumn, ...]
    is_static: bool = False
    soft_delete: bool = False
    is_partial: bool = False

    @cached_property
    def quoted(self) -> str:
        """The qualified name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @cached_property
    def typed_columns(self) -> tuple[tuple[str, str], ...]:
        """Every column with its type: key, others, and cdcd's own."""
        source = [(c.name, c.kind) for c in (*self.key, *self.columns)]
        deleted = [(DELETED, "boolean")] if self.soft_delete else []
        return (*source, (TIMESTAMP, "timestamptz"), *EXPIRY, *deleted)

    @cached_property
    def scaled(self) -> tuple[TargetColumn, ...]:
        """The columns of the key whose numbers are told apart by their scale too."""
        return tuple(c for c in self.key if c.is_scaled)

    @cached_property
    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """The key's columns with their types."""
        return self.typed_columns[: len(self.key)]


@dataclass(frozen=True)
class Targets:
    """Where a source table goes: its rows, and its static rows where it has static columns."""

    table: TableSpec
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

    @cached_property
    def kept(self) -> frozenset[str]:
        """The source's names of the columns that the targets have."""
        return frozenset(c.source.name for t in self.all for c in (*t.key, *t.columns))

    @cached_property
    def partition_key(self) -> tuple[TargetColumn, ...]:
        """The columns of the source's partition key."""
        return self.rows.key[: len(self.table.partition_key)]

    @cached_property
    def clustering_key(self) -> tuple[TargetColumn, ...]:
        """The columns of the source's clustering key."""
        return self.rows.key[len(self.table.partition_key) :]


DEFAULTS = Options()


def targets_of(table: TableSpec, schema: str, options: Options = DEFAULTS) -> Targets:
    """The targets of a table. Raises ValueError for a type that a column cannot have."""
    # Two keys must not become one, so nothing of a key is replaced.
    key = [_key_column(c, options) for c in table.key]
    name = target_name(table, options)

    def target(name: str, width: int, columns: Sequence[Column], *, is_static: bool) -> Target:
        kept = [c for c in columns if c.name not in options.excluded]
        return Target(
            schema,
            name,
            tuple(key[:width]),
            tuple(_column(c, options, options.replaced) for c in kept),
            is_static=is_static,
            soft_delete=options.soft_delete,
            is_partial=len(kept) < len(columns),
        )

    rows = target(name, len(key), table.regular, is_static=False)
    if all(c.name in options.excluded for c in table.static):
        return Targets(table, rows)
    width = len(table.partition_key)
    return Targets(table, rows, target(f"{name}__static", width, table.static, is_static=True))


def target_name(table: TableSpec, options: Options) -> str:
    """The name of the target of a table's rows."""
    return options.name.replace("{keyspace}", table.keyspace).replace("{table}", table.name)


def _column(column: Column, options: Options, replaced: Replaced) -> TargetColumn:
    try:
        found = cast(column.type, options.types.get(column.name), replaced)
    except ValueError as error:
        raise ValueError(f'column "{column.name}": {error}') from error
    order = EXPRESSIONS.get(column.type.name) if found.is_ordered else None
    name = options.renames.get(column.name, column.name)
    return TargetColumn(column, name, found.kind, found.convert, order, replaced)


def _key_column(column: Column, options: Options) -> TargetColumn:
    found = _column(column, options, NOTHING_REPLACED)
    if column.type.name in ("text", "ascii") and found.kind == "jsonb":
        raise ValueError(
            f'column "{column.name}" is of the key and cannot be jsonb: unequal texts can be equal '
            "documents"
        )
    convert = key_converter(
        column.type, found.kind, found.convert, of_partition=found.is_of_partition
    )
    return replace(found, convert=convert)


def refused_keys(targets: Targets) -> Iterator[tuple[TargetColumn, KeyRule]]:
    """The columns of the key of which some values are refused, as others look like them."""
    for column in targets.rows.key:
        cql = column.source.type
        rule = key_rule(cql, column.kind, of_partition=column.is_of_partition)
        if rule is not None and rule.says:
            yield column, rule


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'
