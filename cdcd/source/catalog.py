"""Which tables there are, what they look like, and which of them can be replicated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from cdcd.model.cqltype import UdtFields, parse
from cdcd.model.errors import ConfigurationError
from cdcd.model.table import LOG_SUFFIX, CdcOptions, Column, ColumnKind, TableSpec
from cdcd.model.typemap import check_supported
from cdcd.source.session import Session

CDC_PARTITIONER = "com.scylladb.dht.CDCPartitioner"

_SYSTEM = ("system_", "alternator_")
# Topics of a keyspace of this name would mix with the pipeline's own.
_RESERVED_KEYSPACE = "cdcd"
DOES_NOT_EXIST = "does not exist"
_LEAVE_OUT = "leave the table out, or change the type"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class SourceTable:
    """A table whose log can be read. `altered_ms` is when it was altered last, in whatever way; CDC
    may have been off before. None where that is not known.
    """

    spec: TableSpec
    options: CdcOptions
    log_id: str
    tablets: bool
    altered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """Why a table is not replicated, as the end of a sentence, and what to do about it.

    `leaves_gap` is true where changes go on that the log does not hold.
    """

    reason: str
    hint: str
    leaves_gap: bool = False


@dataclass(frozen=True)
class Catalog:
    """What the patterns found, by full name.

    Passed over are tables without CDC that a pattern took in. Refused is what was named outright
    and cannot be replicated, and what has CDC and cannot be replicated.
    """

    version: str = ""
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    refused: Mapping[str, Why] = field(default_factory=dict)
    passed_over: Mapping[str, Why] = field(default_factory=dict)

    def require(self, patterns: Iterable[str]) -> None:
        """Raise ConfigurationError for a refused table that the patterns name outright."""
        for name in patterns:
            if name in self.refused:
                why = self.refused[name]
                raise ConfigurationError(f"{name} {why.reason}", why.hint)


@dataclass(frozen=True)
class Schema:
    """The rows of the system tables that a catalog is made from."""

    version: str
    options: Sequence[Row]
    tables: Sequence[Row]
    columns: Sequence[Row]
    types: Sequence[Row]
    keyspaces: Sequence[Row]


async def schema_version(session: Session) -> str:
    """The version of the cluster's schema; every DDL statement changes it."""
    rows = await session.query("SELECT schema_version FROM system.local")
    return str(rows[0]["schema_version"])


async def read_schema(session: Session) -> Schema:
    """Read the system tables. The version is read first: what changes meanwhile is read again."""
    return Schema(
        version=await schema_version(session),
        options=await session.query(
            "SELECT keyspace_name, table_name, cdc, partitioner, WRITETIME(cdc) AS altered_us"
            " FROM system_schema.scylla_tables"
        ),
        tables=await session.query(
            "SELECT keyspace_name, table_name, id FROM system_schema.tables"
        ),
        columns=await session.query(
            "SELECT keyspace_name, table_name, column_name, kind, position, clustering_order, type"
            " FROM system_schema.columns"
        ),
        types=await session.query(
            "SELECT keyspace_name, type_name, field_names, field_types FROM system_schema.types"
        ),
        keyspaces=await session.query(
            "SELECT keyspace_name, initial_tablets FROM system_schema.scylla_keyspaces"
        ),
    )


def is_pattern(text: str) -> bool:
    """Whether a table argument may match several tables."""
    return any(c in text for c in "*?[")


def find(schema: Schema, patterns: Iterable[str]) -> Catalog:
    """The tables that the patterns mean."""
    wanted = list(patterns)
    index = _Index(schema)
    tables, passed_over = {}, {}
    refused = {
        name: _unknown(name, index.names)
        for name in wanted
        if not is_pattern(name) and name not in index.names
    }
    for name in sorted(index.names):
        outright = name in wanted
        keyspace, table = name.split(".", 1)
        internal = keyspace == "system" or keyspace.startswith(_SYSTEM)
        if not outright and (internal or not _matches(name, wanted)):
            continue
        no_cdc = index.why_no_cdc(keyspace, table)
        refusal = None if no_cdc else index.why_refused(keyspace, table)
        if no_cdc and outright:
            refused[name] = no_cdc
        elif no_cdc and not index.is_log(keyspace, table):
            passed_over[name] = no_cdc
        elif refusal:
            refused[name] = refusal
        elif not no_cdc:
            tables[name] = index.source_table(keyspace, table)
    return Catalog(schema.version, tables, refused, passed_over)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns)


def _unknown(name: str, known: Iterable[str]) -> Why:
    if "." not in name:
        return Why("is no table's name", "write keyspace.table")
    near = get_close_matches(name, [k for k in known if not k.endswith(LOG_SUFFIX)], n=1)
    return Why(DOES_NOT_EXIST, f"did you mean {near[0]}?" if near else "see DESCRIBE TABLES")


class _Index:
    """The schema's rows by table."""

    def __init__(self, schema: Schema) -> None:
        self._ids = {(r["keyspace_name"], r["table_name"]): str(r["id"]) for r in schema.tables}
        self._options = {(r["keyspace_name"], r["table_name"]): r for r in schema.options}
        self._columns: dict[tuple[str, str], list[Row]] = {}
        for row in schema.columns:
            at = (row["keyspace_name"], row["table_name"])
            self._columns.setdefault(at, []).append(row)
        # The system tables are read one after the other: a table that is dropped meanwhile is in
        # some of them only.
        self.names = {f"{keyspace}.{table}" for keyspace, table in self._ids.keys() & self._columns}
        self._types: dict[str, dict[str, UdtFields]] = {}
        for row in schema.types:
            fields = tuple(zip(row["field_names"], row["field_types"], strict=True))
            self._types.setdefault(row["keyspace_name"], {})[row["type_name"]] = fields
        self._tablets = {
            r["keyspace_name"] for r in schema.keyspaces if r["initial_tablets"] is not None
        }

    def is_log(self, keyspace: str, table: str) -> bool:
        """A log table has CDC's partitioner; the suffix alone says nothing."""
        row = self._options.get((keyspace, table)) if (keyspace, table) in self._ids else None
        return row is not None and row["partitioner"] == CDC_PARTITIONER

    def why_no_cdc(self, keyspace: str, table: str) -> Why | None:
        """Why the table has no log to read; None where it has one."""
        if self.is_log(keyspace, table):
            return Why("is itself a CDC log table", "name the base table")
        if not self.is_log(keyspace, table + LOG_SUFFIX) or not self.cdc(keyspace, table).enabled:
            return Why(
                "has no CDC",
                f"ALTER TABLE {keyspace}.{table} WITH cdc = {{'enabled': true}}",
                leaves_gap=True,
            )
        return None

    def why_refused(self, keyspace: str, table: str) -> Why | None:
        """Why the table's log cannot be replicated; None where it can."""
        if keyspace == _RESERVED_KEYSPACE:
            return Why(
                "is in a keyspace named cdcd", "its topics would mix with the pipeline's own"
            )
        if keyspace.startswith("alternator_"):
            return Why("is an Alternator table", "only CQL tables are replicated")
        if not self.cdc(keyspace, table).delta_full:
            return Why(
                "has cdc = {'delta': 'keys'}: its log holds no values",
                f"ALTER TABLE {keyspace}.{table} WITH cdc = {{'enabled': true, 'delta': 'full'}}",
                leaves_gap=True,
            )
        try:
            spec = self.spec(keyspace, table)
        except ValueError as error:
            return Why(f"has a column of a type that is not supported: {error}", _LEAVE_OUT)
        for column in spec.columns:
            try:
                check_supported(column.type)
            except ValueError as error:
                return Why(f"has column {column.name}: {error}", _LEAVE_OUT)
        return None

    def cdc(self, keyspace: str, table: str) -> CdcOptions:
        """The table's CDC options."""
        row = self._options.get((keyspace, table))
        return cdc_options(row["cdc"] if row else None)

    def source_table(self, keyspace: str, table: str) -> SourceTable:
        """The table as it is read."""
        return SourceTable(
            self.spec(keyspace, table),
            self.cdc(keyspace, table),
            self._ids[keyspace, table + LOG_SUFFIX],
            keyspace in self._tablets,
            self._altered_ms(keyspace, table),
        )

    def _altered_ms(self, keyspace: str, table: str) -> int | None:
        altered_us = self._options.get((keyspace, table), {}).get("altered_us")
        return None if altered_us is None else altered_us // 1000

    def spec(self, keyspace: str, table: str) -> TableSpec:
        """The table's columns. Raises ValueError for a type that is not known."""
        udts = self._types.get(keyspace, {})
        rows = sorted(self._columns[keyspace, table], key=_column_order)
        columns = tuple(
            Column(
                row["column_name"],
                parse(row["type"], udts),
                ColumnKind(row["kind"]),
                row["clustering_order"].lower() == "desc",
            )
            for row in rows
        )
        return TableSpec(keyspace, table, columns, _used(udts, columns))


def cdc_options(options: Mapping[str, str] | None) -> CdcOptions:
    """The `cdc` map of `system_schema.scylla_tables`; keys that are not known are internal ones."""
    if not options:
        return CdcOptions(enabled=False)
    return CdcOptions(
        enabled=options.get("enabled", "false") == "true",
        delta_full=options.get("delta", "full") == "full",
        preimage=options.get("preimage", "false") != "false",
        postimage=options.get("postimage", "false") == "true",
        ttl_seconds=int(options.get("ttl", "86400")),
    )


def _column_order(row: Row) -> tuple[int, int, str]:
    kinds = {ColumnKind.PARTITION_KEY: 0, ColumnKind.CLUSTERING: 1}
    return kinds.get(row["kind"], 2), row["position"], row["column_name"]


def _used(udts: Mapping[str, UdtFields], columns: Iterable[Column]) -> dict[str, UdtFields]:
    """The user-defined types that the columns are made of."""
    found: dict[str, UdtFields] = {}
    pending = [c.type for c in columns]
    while pending:
        cql = pending.pop()
        pending += cql.args
        if cql.udt:
            found[cql.udt] = udts[cql.udt]
    return dict(sorted(found.items()))
