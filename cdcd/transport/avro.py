"""The door to fastavro, and Confluent's framing: a whole record of any schema, as plain values.

Framing is a zero byte, the schema's id as 4 bytes big-endian, then the Avro binary (Confluent,
"Wire format"). Logical types are for other consumers: they are in the registered schema and left
out of the one that decodes here, so that values stay plain numbers and strings.

The way of each change has readers and writers of its own, `cdcd.transport.record_reader` and
`cdcd.transport.record_writer`, several times as fast; the tests hold them against fastavro.
"""

import io
import struct
from typing import Any

import fastavro

from cdcd.transport.schema import Schema

FRAME = struct.Struct(">bI")


class MalformedRecord(ValueError):
    """Bytes that are no record in this framing; `at` is the record's place among those read."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.at = at


def _plain(schema: Any) -> Any:
    """The schema without logical types."""
    if isinstance(schema, dict):
        return {k: _plain(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [_plain(s) for s in schema]
    return schema


class Codec:
    """Decodes records of one schema; `schema_id` is the registry's."""

    def __init__(self, schema: Schema, schema_id: int) -> None:
        self.schema_id = schema_id
        self._parsed = fastavro.parse_schema(_plain(schema), named_schemas={})

    def decode(self, framed: bytes) -> Any:
        """The datum of a framed record."""
        try:
            stream = io.BytesIO(framed)
            stream.seek(FRAME.size)
            datum = fastavro.schemaless_reader(stream, self._parsed, None)
        except (EOFError, IndexError, ValueError, struct.error) as error:
            raise MalformedRecord(f"not a record of schema {self.schema_id}: {error}") from error
        if stream.read(1):
            raise MalformedRecord(f"not a record of schema {self.schema_id}: it goes on")
        return datum


def schema_id_of(framed: bytes | None) -> int:
    """The schema id in a record's frame."""
    if framed is None or len(framed) < FRAME.size or framed[0] != 0:
        raise MalformedRecord("not in Confluent's framing")
    magic_and_id: tuple[int, int] = FRAME.unpack_from(framed)
    return magic_and_id[1]
