"""The source table as it is, read as raw bytes and decoded by `tests.independent.cql`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cassandra.cluster import Session
from cassandra.cqltypes import BytesType
from cassandra.protocol import ProtocolHandler, ResultMessage

from tests.independent.cql import Cql, Udts, decode, parse

Key = tuple[Any, ...]
Values = dict[str, Any]
Identity = tuple[str, str, int]

# Log rows that are no changes: images, and the second row of a range delete.
NO_EVENT = {0, 7, 8, 9}


@dataclass(frozen=True)
class Column:
    """A column; `kind` is the server's word for it."""

    name: str
    type: Cql
    kind: str
    descends: bool = False


@dataclass(frozen=True)
class Table:
    """A table's columns, keys first and in order."""

    keyspace: str
    name: str
    columns: tuple[Column, ...]

    def of(self, *kinds: str) -> list[Column]:
        """The columns of these kinds."""
        return [c for c in self.columns if c.kind in kinds]

    @property
    def key(self) -> list[Column]:
        """The whole primary key."""
        return self.of("partition_key", "clustering")


@dataclass
class State:
    """Static rows by partition, and rows by key; columns that are null are left out."""

    statics: dict[Key, Values] = field(default_factory=dict)
    rows: dict[Key, Values] = field(default_factory=dict)


class _Blobs(ResultMessage):  # type: ignore[misc]
    """A result whose columns all pass as bytes."""

    column_metadata: Any

    def recv_results_metadata(self, *args: Any) -> None:
        super().recv_results_metadata(*args)
        self.column_metadata = _blobs(self.column_metadata)

    def recv_results_rows(self, *args: Any) -> None:
        stream, version, udts, known, policy = args
        super().recv_results_rows(stream, version, udts, _blobs(known), policy)


def _blobs(columns: Any) -> Any:
    return columns and [(*c[:3], BytesType) for c in columns]


class BlobProtocol(ProtocolHandler):  # type: ignore[misc]
    """For sessions that read values which the driver has no Python form for."""

    message_types_by_opcode: ClassVar = {
        **ProtocolHandler.message_types_by_opcode,
        ResultMessage.opcode: _Blobs,
    }


def raw_rows(session: Session, statement: str) -> list[tuple[bytes | None, ...]]:
    """The rows of a statement as bytes."""
    found = session.cluster.connect()
    found.client_protocol_handler = BlobProtocol
    try:
        return [tuple(row) for row in found.execute(statement)]
    finally:
        found.shutdown()


def udts_of(session: Session, keyspace: str) -> Udts:
    """The keyspace's user-defined types."""
    rows = session.execute(
        "SELECT type_name, field_names, field_types FROM system_schema.types"
        " WHERE keyspace_name = %s",
        (keyspace,),
    )
    return {row.type_name: list(zip(row.field_names, row.field_types, strict=True)) for row in rows}


def table_of(session: Session, keyspace: str, name: str) -> Table:
    """The table by the server's own description."""
    udts = udts_of(session, keyspace)
    rows = session.execute(
        "SELECT column_name, kind, position, type, clustering_order FROM system_schema.columns"
        " WHERE keyspace_name = %s AND table_name = %s",
        (keyspace, name),
    )
    order = ["partition_key", "clustering", "static", "regular"]
    ordered = sorted(rows, key=lambda r: (order.index(r.kind), r.position, r.column_name))
    columns = (
        Column(r.column_name, parse(r.type, udts), r.kind, r.clustering_order == "desc")
        for r in ordered
    )
    return Table(keyspace, name, tuple(columns))


def read(session: Session, table: Table) -> State:
    """All rows and static rows."""
    names = ", ".join(f'"{c.name}"' for c in table.columns)
    state = State()
    for raw in raw_rows(session, f'SELECT {names} FROM {table.keyspace}."{table.name}"'):
        values = {c: decode(c.type, r) for c, r in zip(table.columns, raw, strict=True)}
        key = tuple(values[c] for c in table.key)
        partition = key[: len(table.of("partition_key"))]
        statics = _set(values, table.of("static"))
        if statics:
            state.statics[partition] = statics
        if None not in key:
            state.rows[key] = _set(values, table.of("regular"))
    return state


def _set(values: dict[Column, Any], columns: list[Column]) -> Values:
    return {c.name: values[c] for c in columns if values[c] is not None}


def log_identities(session: Session, table: Table) -> Counter[Identity]:
    """The identity of each row of the log that is a change."""
    rows = session.execute(
        'SELECT "cdc$stream_id" AS stream, "cdc$time" AS time, "cdc$batch_seq_no" AS seq,'
        f' "cdc$operation" AS op FROM {table.keyspace}."{table.name}_scylla_cdc_log"'
    )
    return Counter((r.stream.hex(), str(r.time), r.seq) for r in rows if r.op not in NO_EVENT)
