"""Records of one topic as changes, by the schemas that the registry holds."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from cdcd.model.errors import TableStopped
from cdcd.transport.avro import FRAME, MalformedRecord, schema_id_of
from cdcd.transport.avro_columns import RECORDS_MAX
from cdcd.transport.changes import Changes
from cdcd.transport.record_reader import KeyReader, RecordReader, key_reader
from cdcd.transport.records import Record
from cdcd.transport.registry import Registry
from cdcd.transport.schema import table_from_schema


def to_apply(records: Iterable[Record]) -> list[Record]:
    """Those that are changes to be applied: neither tombstones, nor late changes, which the refresh
    behind them overtakes.
    """
    return [record for record in records if record.value is not None and not record.is_late]


# What stands in front of keys and values.
_FRAME = itemgetter(slice(FRAME.size))


def _alike(records: Sequence[Record]) -> dict[tuple[bytes, bytes], list[int]]:
    """The places of records by the frames of key and value: one pair, unless a schema is new."""
    keys = map(_FRAME, [r.key or b"" for r in records])
    values = map(_FRAME, [r.value or b"" for r in records])
    found: dict[tuple[bytes, bytes], list[int]] = {}
    first = 0
    for frames, run in groupby(zip(keys, values, strict=True)):
        end = first + len(list(run))
        found.setdefault(frames, []).extend(range(first, end))
        first = end
    return found


class Decoder:
    """Keeps the readers of the schemas it has met."""

    def __init__(self, registry: Registry, table: str) -> None:
        self._registry = registry
        self._table = table
        # By the frame, in which the schema's id stands.
        self._keys: dict[bytes, KeyReader] = {}
        self._values: dict[bytes, RecordReader] = {}

    @property
    def schemas(self) -> int:
        """How many schemas of values it has met."""
        return len(self._values)

    async def decode(self, records: Sequence[Record]) -> Changes:
        """The changes of records that are to be applied.

        Raises TableStopped for a record or a schema that is not of cdcd's making.
        """
        alike, found, order = _alike(records), Changes(), list[int]()
        for frames, places in alike.items():
            read_keys, read_values = await self._readers(*frames, records[places[0]])
            for start in range(0, len(places), RECORDS_MAX):
                if order:
                    # Others have their turn, the statements of the batch before above all. With a
                    # thread of its own a sink takes a quarter more CPU: the interpreter's lock goes
                    # to and fro.
                    await asyncio.sleep(0)
                part = places[start : start + RECORDS_MAX]
                keys = [records[at].key or b"" for at in part]
                values = [records[at].value or b"" for at in part]
                try:
                    found.extend(read_values.changes(read_keys(keys), values))
                except MalformedRecord as error:
                    raise self._foreign(records[part[error.at]], error) from error
                order += part
        if len(alike) > 1:
            # Back to the order of the records.
            found = found.take(sorted(range(len(order)), key=order.__getitem__))
        return found

    async def _readers(
        self, key: bytes, value: bytes, record: Record
    ) -> tuple[KeyReader, RecordReader]:
        """Those of the schemas that a record's frames name."""
        if key not in self._keys:
            schema = await self._registry.schema(self._schema_id(key, record))
            self._keys[key] = key_reader(schema)
        if value not in self._values:
            schema_id = self._schema_id(value, record)
            schema = await self._registry.schema(schema_id)
            try:
                self._values[value] = RecordReader(schema, table_from_schema(schema))
            except ValueError as error:
                raise TableStopped(self._table, f"schema {schema_id}: {error}") from error
        return self._keys[key], self._values[value]

    def _schema_id(self, frame: bytes, record: Record) -> int:
        try:
            return schema_id_of(frame)
        except MalformedRecord as error:
            raise self._foreign(record, error) from error

    def _foreign(self, record: Record, error: Exception) -> TableStopped:
        topic, number = record.partition
        return TableStopped(
            self._table,
            f"record {topic}/{number}/{record.offset} is not of cdcd's making "
            f"({type(error).__name__})",
            "only cdcd may write to its topics",
        )
