"""Changes to records and back: by cdcd's own writer and reader, and by fastavro."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fastavro

from cdcd.model.change import ChangeEvent
from cdcd.model.table import TableSpec
from cdcd.transport.avro import Codec
from cdcd.transport.changes import Changes
from cdcd.transport.record_reader import RecordReader, key_reader
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.schema import key_schema, value_schema

TOPIC = "cdcd.ks.t"
IDS = SchemaIds(6, 7)


def written(change: ChangeEvent, pipeline: str = "cdcd", now_ms: int = 1) -> tuple[bytes, bytes]:
    """The framed key and value of a change."""
    writer = RecordWriter(change.table, TOPIC, pipeline, IDS, partitions=1)
    ((_, key, value),) = writer.records([change], now_ms)
    return key, value


def schemas(spec: TableSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of key and value."""
    return key_schema(spec, TOPIC), value_schema(spec, TOPIC)


def read(schema: dict[str, Any], framed: bytes, reader: dict[str, Any] | None = None) -> Any:
    """Read a framed record as another consumer would: with the registered schema, logical types."""
    return fastavro.schemaless_reader(io.BytesIO(framed[5:]), schema, reader)


def datum(change: ChangeEvent, pipeline: str = "cdcd", now_ms: int = 1) -> dict[str, Any]:
    """The record value of a change as fastavro reads it, its rows without what is null there."""
    _, value = written(change, pipeline, now_ms)
    found: dict[str, Any] = Codec(value_schema(change.table, TOPIC), IDS.value).decode(value)
    for image in ("before", "after"):
        if found[image] is not None:
            found[image] = {n: v for n, v in found[image].items() if v is not None}
    return found


def back(change: ChangeEvent) -> ChangeEvent:
    """The change after its way through key and value."""
    return changes([change])[0]


def changes(events: Sequence[ChangeEvent]) -> Changes:
    """Changes of one table after their way through keys and values."""
    if not events:
        return Changes()
    records, table = [written(event) for event in events], events[0].table
    keys, values = schemas(table)
    read = RecordReader(values, table)
    return read.changes(key_reader(keys)([k for k, _ in records]), [v for _, v in records])


def applied(change: ChangeEvent) -> ChangeEvent:
    """The change as applying it needs it: without images, and without the log row's identity."""
    return replace(change, identity=None, before=None, after=None)
