"""Changes of one table as record keys and values in Avro, in Confluent's framing. Pure.

A value is the Debezium envelope that `cdcd.transport.schema` describes. Everything that is the same
in each record of a table is encoded once; the rest is put together from a change without anything
in between. The tests hold the bytes against fastavro's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cdcd import __version__
from cdcd.model.change import Bounds, ChangeEvent, Elements, Identity, Operation
from cdcd.model.straight import straight_line
from cdcd.model.table import TableSpec
from cdcd.transport.avro import FRAME
from cdcd.transport.avro_columns import RECORDS_MAX
from cdcd.transport.avro_write import NULL, SET, Writer, field_name, long, string, value_of, writer
from cdcd.transport.avro_write_columns import longs, uuid_texts
from cdcd.transport.partitioner import partitions_of
from cdcd.transport.schema import Schema, avro_name, key_schema, value_schema

_WRITES = frozenset({Operation.CREATE, Operation.UPDATE, Operation.READ})
_PARTIAL = frozenset({Operation.CREATE, Operation.UPDATE})
_OPS = {op: string(op.value) for op in Operation}


class SchemaIds(NamedTuple):
    """The registry's ids of a table's schemas."""

    key: int
    value: int


# A record's Kafka partition, key and value.
EncodedRecord = tuple[int, bytes, bytes]


class RecordWriter:
    """Writes the records of one table; `pipeline` is the name that they carry as theirs."""

    def __init__(
        self, table: TableSpec, topic: str, pipeline: str, ids: SchemaIds, partitions: int
    ) -> None:
        self._partitions = partitions
        self._key_frame = FRAME.pack(0, ids.key)
        self._value_frame = FRAME.pack(0, ids.value)
        fields = key_schema(table, topic)["fields"]
        size = len(table.partition_key)
        # One after the other: a type that both hold is defined where it comes first.
        key_names: dict[str, Writer] = {}
        self._partition = _values_writer(fields[:size], key_names)
        self._clustering = _values_writer(fields[size:], key_names)
        self._clustering_names = [avro_name(c.name) for c in table.clustering_key]
        names: dict[str, Writer] = {}
        parts = {f["name"]: f["type"] for f in value_schema(table, topic)["fields"]}
        # In the order of the schema: a type is defined where it comes first.
        row = value_of(parts["before"])
        self._columns = _columns_writer(row, len(table.key), names)
        self._head = b"".join(map(string, (__version__, "scylla", pipeline)))
        self._middle, self._middle_of_copy = (
            NULL + b"".join(map(string, (copy, table.keyspace, table.keyspace, table.name)))
            for copy in ("false", "true")
        )
        delta = {f["name"]: f["type"] for f in value_of(parts["delta"])["fields"]}
        self._names = lru_cache(1024)(_column_names)
        self._elements = writer(delta["elements"], names) if "elements" in delta else None
        self._range = writer(parts["range"], names) if "range" in parts else None

    def records(self, events: Sequence[ChangeEvent], now_ms: int) -> Iterator[EncodedRecord]:
        """The records of changes that are published at `now_ms`, in their order.

        Raises ValueError, TypeError, OverflowError or struct.error for a value that its type
        cannot hold.
        """
        for first in range(0, len(events), RECORDS_MAX):
            yield from self._portion(events[first : first + RECORDS_MAX], now_ms)

    def _portion(self, events: Sequence[ChangeEvent], now_ms: int) -> list[EncodedRecord]:
        partitions = [self._partition(event.partition) for event in events]
        numbers = partitions_of(partitions, self._partitions)
        made_at = SET + long(now_ms)
        return [
            self._record(event, partition, number, source, made_at)
            for event, partition, number, source in zip(
                events, partitions, numbers, self._sources(events), strict=True
            )
        ]

    def _record(
        self, event: ChangeEvent, partition: bytes, number: int, source: bytes, made_at: bytes
    ) -> EncodedRecord:
        op, ttl = event.op, event.ttl_seconds
        key = partition + self._clustering(event.clustering)
        value = b"".join(
            (
                self._value_frame,
                _OPS[op],
                NULL if event.before is None else SET + key + self._columns(event.before.get),
                SET + key + self._columns(_after(event).get) if op in _WRITES else NULL,
                source,
                self._delta(event) if op in _PARTIAL else NULL,
                NULL if ttl is None else SET + long(ttl),
                b"" if self._range is None else self._range(self._bounds(event.bounds)),
                made_at,
            )
        )
        return number, self._key_frame + key, value

    def _sources(self, events: Sequence[ChangeEvent]) -> list[bytes]:
        """Where each change comes from: the field `source`."""
        times_us = [event.time_us for event in events]
        return [
            b"".join((self._head, ms, us, middle, token, identity))
            for ms, us, middle, token, identity in zip(
                longs([time_us // 1000 for time_us in times_us]),
                longs(times_us),
                [self._middle_of_copy if e.is_snapshot else self._middle for e in events],
                longs([event.token for event in events]),
                _identities([event.identity for event in events]),
                strict=True,
            )
        ]

    def _delta(self, event: ChangeEvent) -> bytes:
        names = SET + self._names(tuple(event.values), event.nulls)
        if self._elements is None:
            return names
        return names + self._elements(_elements(event.elements) if event.elements else None)

    def _bounds(self, bounds: Bounds | None) -> Mapping[str, object] | None:
        names = self._clustering_names
        if bounds is None:
            return None
        return {
            "start": dict(zip(names, bounds.start, strict=False)),
            "start_inclusive": bounds.start_inclusive,
            "end": dict(zip(names, bounds.end, strict=False)),
            "end_inclusive": bounds.end_inclusive,
        }


def _values_writer(
    fields: list[Schema], names: dict[str, Writer]
) -> Callable[[tuple[object, ...]], bytes]:
    """Writes a tuple of as many values as there are fields."""
    given = {f"write_{n}": writer(field["type"], names) for n, field in enumerate(fields)}
    calls = " + ".join(f"write_{n}(values[{n}])" for n in range(len(fields)))
    body = [f"return {calls}" if fields else "return b''"]
    return straight_line("write_values(values)", body, given)


def _columns_writer(
    row: Schema, first: int, names: dict[str, Writer]
) -> Callable[[Callable[[str], Any]], bytes]:
    """Writes the columns of a row from `first` on, from the `get` of a dict."""
    given: dict[str, object] = {"NULL": NULL, "SET": SET, "join": b"".join}
    items = []
    for n, field in enumerate(row["fields"]):
        kind = field["type"]
        if n < first:
            writer(kind, names)  # for the types that it defines
            continue
        given |= {f"write_{n}": writer(value_of(kind), names), f"name_{n}": field_name(field)}
        items.append(f"NULL if (v := get(name_{n})) is None else SET + write_{n}(v),")
    names[row["name"]] = _unwritten
    return straight_line("write_columns(get)", ["return join((", *items, "))"], given)


def _unwritten(_: Any) -> bytes:
    raise TypeError("a row is written by its columns")


def _after(event: ChangeEvent) -> Mapping[str, Any]:
    """The row afterwards: what was written, on top of the image where there is one. An image
    may be stale; what was written is not.
    """
    if event.after is None:
        return event.values
    return {**event.after, **dict.fromkeys(event.nulls), **event.values}


_NO_IDENTITY = NULL * 3


def _identities(identities: Sequence[Identity | None]) -> list[bytes]:
    """Stream, time and sequence as `source` has them."""
    known = [identity for identity in identities if identity is not None]
    times = uuid_texts([identity.time for identity in known])
    written = [
        b"%b\x02%b\x02%b" % (_stream(identity.stream), time, _often(identity.seq))
        for identity, time in zip(known, times, strict=True)
    ]
    if len(written) == len(identities):
        return written
    each = iter(written)
    return [_NO_IDENTITY if identity is None else next(each) for identity in identities]


# Of whole numbers that many records have in common.
_often = lru_cache(1024)(long)


@lru_cache(4096)
def _stream(stream: bytes) -> bytes:
    return SET + string(stream.hex())


_write_names = writer({"type": "array", "items": "string"})


def _column_names(values: tuple[str, ...], nulls: tuple[str, ...]) -> bytes:
    return _write_names([*values, *nulls])


def _elements(found: Mapping[str, Elements]) -> Mapping[str, object]:
    return {
        name: {"put": elements.put, "removed": elements.removed or None}
        for name, elements in found.items()
    }
