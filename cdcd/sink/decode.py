"""Records of one topic as changes, by the schemas that the registry holds."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter

from cdcd.model.errors import TableStopped
from cdcd.model.table import TableSpec
from cdcd.transport.avro import FRAME, MalformedRecord, schema_id_of
from cdcd.transport.changes import Changes
from cdcd.transport.record_reader import KeyReader, RecordReader, key_reader
from cdcd.transport.records import Record
from cdcd.transport.registry import Registry
from cdcd.transport.schema import table_from_schema


def is_applied(record: Record) -> bool:
    """Whether it is a change to be applied: neither a tombstone, nor a late change, which the
    refresh behind it overtakes.
    """
    return record.value is not None and record.key is not None and not record.is_late


# What stands in front of keys and values.
_frames = partial(map, itemgetter(slice(FRAME.size)))


class Decoder:
    """Keeps the readers of the schemas it has met."""

    def __init__(self, registry: Registry, table: str) -> None:
        self._registry = registry
        self._table = table
        # By the frame, in which the schema's id stands.
        self._keys: dict[bytes, KeyReader] = {}
        self._values: dict[bytes, RecordReader] = {}

    async def learn(self, records: Sequence[Record]) -> list[TableSpec]:
        """Get the schemas that the changes need; the tables of those that are new here.

        Raises TableStopped for a record or a schema that is not of cdcd's making.
        """
        records = [record for record in records if is_applied(record)]
        keys = dict(zip(_frames([r.key or b"" for r in records]), records, strict=True))
        values = dict(zip(_frames([r.value or b"" for r in records]), records, strict=True))
        for frame in sorted(keys.keys() - self._keys.keys()):
            schema = await self._registry.schema(self._schema_id(frame, keys[frame]))
            self._keys[frame] = key_reader(schema)
        new = sorted(values.keys() - self._values.keys())
        return [await self._learn_value(frame, values[frame]) for frame in new]

    async def _learn_value(self, frame: bytes, record: Record) -> TableSpec:
        schema_id = self._schema_id(frame, record)
        schema = await self._registry.schema(schema_id)
        try:
            spec = table_from_schema(schema)
            self._values[frame] = RecordReader(schema, spec)
        except ValueError as error:
            raise TableStopped(self._table, f"schema {schema_id}: {error}") from error
        return spec

    def _schema_id(self, frame: bytes, record: Record) -> int:
        try:
            return schema_id_of(frame)
        except MalformedRecord as error:
            raise self._foreign(record, error) from error

    def decode(self, records: Sequence[Record]) -> Changes | None:
        """The changes of records that are to be applied; None where `learn` has to see the records
        first.
        """
        keys, values = [r.key or b"" for r in records], [r.value or b"" for r in records]
        found, first = Changes(), 0
        frames = zip(_frames(keys), _frames(values), strict=True)
        # Of one pair of schemas after the other: in the order of the records.
        for (key_frame, value_frame), alike in groupby(frames):
            if key_frame not in self._keys or value_frame not in self._values:
                return None
            at = slice(first, first + len(list(alike)))
            try:
                read = self._keys[key_frame](keys[at])
                found.extend(self._values[value_frame].changes(read, values[at]))
            except MalformedRecord as error:
                raise self._foreign(records[first + error.at], error) from error
            first = at.stop
        return found

    def _foreign(self, record: Record, error: Exception) -> TableStopped:
        topic, number = record.partition
        return TableStopped(
            self._table,
            f"record {topic}/{number}/{record.offset} is not of cdcd's making "
            f"({type(error).__name__})",
            "only cdcd may write to its topics",
        )
