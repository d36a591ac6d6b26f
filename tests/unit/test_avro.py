"""Records in Confluent's framing, readable by any Avro reader."""

import io
import struct
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.cqltype import CqlType
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.transport.avro import BareCodec, Codec, MalformedRecord, schema_id_of
from cdcd.transport.envelope import Envelope
from cdcd.transport.schema import key_schema, partition_schema, value_schema
from tests.unit import cql_values, tables
from tests.unit.tables import table

TOPIC = "cdcd.ks.t"
PLAIN = table({"p:p": "int", "r:v": "text"})


def event(spec: TableSpec, op: Operation = Operation.UPDATE, **values: object) -> ChangeEvent:
    """A change of the row whose whole key is 1."""
    keys = (1,) * len(spec.partition_key), (1,) * len(spec.clustering_key)
    return ChangeEvent(spec, op, *keys, time_us=0, token=0, identity=None, values=values)


def read(schema: dict[str, Any], framed: bytes, reader: dict[str, Any] | None = None) -> Any:
    """Read a framed record as another consumer would: with the registered schema, logical types."""
    stream = io.BytesIO(framed[5:])
    return fastavro.schemaless_reader(stream, schema, reader)


def encoded(spec: TableSpec, change: ChangeEvent) -> bytes:
    """A change's framed value."""
    codec = Codec(value_schema(spec, TOPIC), 7)
    return codec.encode(Envelope(spec, "cdcd").value(change, now_ms=1))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_value_is_encoded_and_decoded(data: st.DataObject) -> None:
    """A value of any type comes back equal from its record."""
    cql = data.draw(cql_values.types)
    key = Column("p", CqlType("int"), ColumnKind.PARTITION_KEY)
    spec = TableSpec("ks", "t", (key, Column("v", cql, ColumnKind.REGULAR)))
    change = event(spec, v=data.draw(cql_values.values(cql)).avro)
    codec = Codec(value_schema(spec, TOPIC), 7)
    envelope = Envelope(spec, "cdcd")
    found = codec.decode(codec.encode(envelope.value(change, 1)))
    assert envelope.event(envelope.key(change), found) == change


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whole_changes_are_encoded_and_decoded(data: st.DataObject) -> None:
    """Any change of any table comes back equal from the records of its key and value."""
    spec = data.draw(tables.specs())
    change = data.draw(tables.events(spec))
    envelope = Envelope(spec, "cdcd")
    key, value = Codec(key_schema(spec, TOPIC), 1), Codec(value_schema(spec, TOPIC), 2)
    found = envelope.event(
        key.decode(key.encode(envelope.key(change))),
        value.decode(value.encode(envelope.value(change, 1))),
    )
    assert found == change


def test_other_consumers_get_logical_types() -> None:
    """Plain fastavro reads uuid, date and timestamp as what they are."""
    spec = table({"p:p": "int", "r:u": "uuid", "r:d": "date", "r:t": "timestamp"})
    change = event(spec, u="6ecd8c99-4036-403d-bf84-cf8400f67836", d=1, t=-1)
    after = read(value_schema(spec, TOPIC), encoded(spec, change))["after"]
    assert after == {
        "p": 1,
        "u": UUID("6ecd8c99-4036-403d-bf84-cf8400f67836"),
        "d": date(1970, 1, 2),
        "t": datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),
    }


def test_old_values_are_read_with_the_new_schema() -> None:
    """A value from before a column was added is read with the later schema; the column is null."""
    older = table({"p:p": "int", "r:v": "text"})
    newer = table({"p:p": "int", "r:a": "decimal", "r:v": "text", "r:z": "frozen<list<int>>"})
    found = read(
        value_schema(older, TOPIC), encoded(older, event(older, v="x")), value_schema(newer, TOPIC)
    )
    assert found["after"] == {"p": 1, "v": "x", "a": None, "z": None}
    assert found["delta"] == {"columns": ["v"]}


def test_old_values_are_read_after_a_field_was_added() -> None:
    """A value from before a field was added to a UDT is read with the later schema."""
    columns = {"p:p": "int", "r:v": "frozen<u>"}
    older = table(columns, {"u": (("x", "int"),)})
    newer = table(columns, {"u": (("x", "int"), ("y", "decimal"))})
    found = read(
        value_schema(older, TOPIC),
        encoded(older, event(older, v={"x": 1})),
        value_schema(newer, TOPIC),
    )
    assert found["after"]["v"] == {"x": 1, "y": None}


def test_the_frame_is_confluents() -> None:
    """A record begins with a zero byte and the schema's id in four bytes, big-endian."""
    framed = encoded(PLAIN, event(PLAIN, v="x"))
    assert framed[:5] == b"\x00\x00\x00\x00\x07"
    assert schema_id_of(framed) == 7


@pytest.mark.parametrize("schema_id", [0, 1, 2**31, 2**32 - 1])
def test_every_id_fits_the_frame(schema_id: int) -> None:
    """Every 32-bit id comes back from the frame."""
    framed = Codec(key_schema(PLAIN, TOPIC), schema_id).encode({"p": 1})
    assert schema_id_of(framed) == schema_id


@pytest.mark.parametrize(
    "framed", [None, b"", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x07x", b"{}"]
)
def test_other_framings_are_refused(framed: bytes | None) -> None:
    """What has no such frame raises MalformedRecord."""
    with pytest.raises(MalformedRecord):
        schema_id_of(framed)


@given(st.binary(max_size=60))
def test_garbage_is_malformed(garbage: bytes) -> None:
    """Bytes that are no record raise MalformedRecord and nothing else."""
    codec = Codec(value_schema(PLAIN, TOPIC), 7)
    try:
        codec.decode(struct.pack(">bI", 0, 7) + garbage)
    except MalformedRecord:
        return


@pytest.mark.parametrize("length", range(6, 40, 3))
def test_a_cut_record_is_malformed(length: int) -> None:
    """A record that ends early raises MalformedRecord."""
    framed = encoded(PLAIN, event(PLAIN, v="x" * 40))
    with pytest.raises(MalformedRecord):
        Codec(value_schema(PLAIN, TOPIC), 7).decode(framed[:length])


def test_a_record_with_more_behind_it_is_malformed() -> None:
    """Bytes behind the end of a record say that it was written with another schema."""
    framed = encoded(PLAIN, event(PLAIN, v="x"))
    with pytest.raises(MalformedRecord):
        Codec(value_schema(PLAIN, TOPIC), 7).decode(framed + b"\x00")


@pytest.mark.parametrize("datum", [{"p": "text"}, {"p": None}, {}])
def test_what_does_not_fit_the_schema_is_refused(datum: dict[str, object]) -> None:
    """A datum of another shape raises ValueError or TypeError and is never written as null."""
    with pytest.raises((ValueError, TypeError)):
        Codec(key_schema(PLAIN, TOPIC), 7).encode(datum)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_partition_key_begins_the_key(data: st.DataObject) -> None:
    """The partition key's encoding is the beginning of the record key's, without its frame."""
    spec = data.draw(tables.specs())
    key = Envelope(spec, "cdcd").key(data.draw(tables.events(spec)))
    partition = BareCodec(partition_schema(spec, TOPIC)).encode(key)
    assert Codec(key_schema(spec, TOPIC), 1).encode(key)[5:].startswith(partition)
