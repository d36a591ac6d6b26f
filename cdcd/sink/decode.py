"""Records of one topic as changes, by the schemas that the registry holds."""

from collections.abc import Iterable, Sequence

from cdcd.model.change import ChangeEvent
from cdcd.model.errors import TableStopped
from cdcd.model.table import TableSpec
from cdcd.transport.avro import Codec, MalformedRecord, schema_id_of
from cdcd.transport.envelope import Envelope
from cdcd.transport.records import Record
from cdcd.transport.registry import Registry
from cdcd.transport.schema import table_from_schema


class Decoder:
    """Keeps the codecs of the schemas it has met."""

    def __init__(self, registry: Registry, table: str, pipeline: str) -> None:
        self._registry = registry
        self._table = table
        self._pipeline = pipeline
        self._keys: dict[int, Codec] = {}
        self._values: dict[int, tuple[Codec, Envelope]] = {}

    async def learn(self, records: Iterable[Record]) -> list[TableSpec]:
        """Get the schemas that the records need; the tables of those that are new here.

        Raises TableStopped for a record or a schema that is not of cdcd's making.
        """
        keys, values = set(), set()
        for record in records:
            if record.value is None:
                continue
            try:
                keys.add(schema_id_of(record.key))
                values.add(schema_id_of(record.value))
            except MalformedRecord as error:
                raise self._foreign(record, error) from error
        for schema_id in keys - self._keys.keys():
            self._keys[schema_id] = Codec(await self._registry.schema(schema_id), schema_id)
        return [await self._learn_value(i) for i in sorted(values - self._values.keys())]

    async def _learn_value(self, schema_id: int) -> TableSpec:
        schema = await self._registry.schema(schema_id)
        try:
            spec = table_from_schema(schema)
        except ValueError as error:
            raise TableStopped(self._table, f"schema {schema_id}: {error}") from error
        self._values[schema_id] = Codec(schema, schema_id), Envelope(spec, self._pipeline)
        return spec

    def decode(self, records: Sequence[Record]) -> list[ChangeEvent | None]:
        """The change of each record, None for one that is not to be applied: a tombstone, or a late
        change, which the refresh behind it overtakes. `learn` has seen the same records.
        """
        found: list[ChangeEvent | None] = []
        for record in records:
            if record.value is None or record.key is None or record.is_late:
                found.append(None)
                continue
            try:
                codec, envelope = self._values[schema_id_of(record.value)]
                key = self._keys[schema_id_of(record.key)].decode(record.key)
                found.append(envelope.event(key, codec.decode(record.value)))
            except (MalformedRecord, KeyError, ValueError) as error:
                raise self._foreign(record, error) from error
        return found

    def _foreign(self, record: Record, error: Exception) -> TableStopped:
        topic, number = record.partition
        return TableStopped(
            self._table,
            f"record {topic}/{number}/{record.offset} is not of cdcd's making "
            f"({type(error).__name__})",
            "only cdcd may write to its topics",
        )
