"""Changes of the model's table on their way through records."""

from collections.abc import Sequence

from cdcd.model.change import ChangeEvent
from cdcd.transport.changes import Changes
from cdcd.transport.record_reader import RecordReader, key_reader
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.schema import key_schema, value_schema
from tests.model.servers import TABLE

_WRITER = RecordWriter(TABLE, "t", "p", SchemaIds(1, 2), 1)
_KEYS, _VALUES = key_reader(key_schema(TABLE, "t")), RecordReader(value_schema(TABLE, "t"), TABLE)


def over_the_wire(events: Sequence[ChangeEvent]) -> Changes:
    """The changes as a consumer reads them."""
    records = list(_WRITER.records(events, 0))
    keys, values = [key for _, key, _ in records], [value for _, _, value in records]
    return _VALUES.changes(_KEYS(keys), values)
