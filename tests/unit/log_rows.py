"""Rows of a log as they are read, and what they decode to."""

import struct

from cdcd.model.change import ChangeEvent
from cdcd.model.position import min_timeuuid
from cdcd.model.table import TableSpec
from cdcd.source.decode import LogDecoder, log_columns
from cdcd.source.row_readers import RawRow
from tests.unit.tables import table

SPEC = table({"p:p": "int", "c:a": "text", "c:b": "int", "r:v": "text", "r:w": "int"})
SINGLE = table({"p:p": "int", "r:v": "text"})
STREAM, TIME = bytes(range(16)), min_timeuuid(1000)
UPDATE, INSERT, ROW_DELETE, PARTITION_DELETE = 1, 2, 3, 4
EXPIRED_ROW, EXPIRED_PARTITION = -3, -4
TRUE = b"\x01"


def number(value: int) -> bytes:
    """A serialised int."""
    return struct.pack(">i", value)


def log_row(operation: int | None, **columns: bytes | None) -> RawRow:
    """A raw log row of SPEC; columns that are not named are null."""
    return row_of(SPEC, operation, **columns)


def row_of(table_: TableSpec, operation_: int | None, **columns: bytes | None) -> RawRow:
    """A raw log row of a table."""
    known: dict[str, bytes | None] = {
        "cdc$stream_id": STREAM,
        "cdc$time": TIME,
        "cdc$batch_seq_no": number(0),
        "cdc$operation": None if operation_ is None else struct.pack(">b", operation_),
        "cdc$end_of_batch": TRUE,
        "p": number(1),
    }
    if operation_ not in {PARTITION_DELETE, EXPIRED_PARTITION} and table_ is SPEC:
        known |= {"a": b"x", "b": number(2)}
    known |= columns
    return tuple(known.get(name) for name in log_columns(table_))


def decode(*rows: RawRow, spec: TableSpec = SPEC) -> list[ChangeEvent]:
    """The changes of one group."""
    return LogDecoder(spec, len).changes(rows, holds=lambda _: True)


def one(row: RawRow, spec: TableSpec = SPEC) -> ChangeEvent:
    """The one change of a group of one row."""
    (event,) = decode(row, spec=spec)
    return event
