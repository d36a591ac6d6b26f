"""Records in Confluent's framing, readable by any Avro reader."""

import struct
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.table import TableSpec
from cdcd.transport.avro import Codec, MalformedRecord, schema_id_of
from cdcd.transport.record_reader import RecordReader, key_reader
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.schema import key_schema, value_schema
from tests.unit.records import TOPIC, read, written
from tests.unit.tables import table

PLAIN = table({"p:p": "int", "r:v": "text"})


def event(spec: TableSpec, op: Operation = Operation.UPDATE, **values: object) -> ChangeEvent:
    """A change of the row whose whole key is 1."""
    keys = (1,) * len(spec.partition_key), (1,) * len(spec.clustering_key)
    return ChangeEvent(spec, op, *keys, time_us=0, token=0, identity=None, values=values)


def encoded(change: ChangeEvent) -> bytes:
    """A change's framed value."""
    return written(change)[1]


def decoders(spec: TableSpec) -> list[Any]:
    """What decodes framed values: fastavro, and the reader of the sink."""
    schema = value_schema(spec, TOPIC)
    reader = RecordReader(schema, spec)
    return [Codec(schema, 7).decode, lambda framed: reader.changes([(1,)], [framed])]


@pytest.fixture(params=[0, 1], ids=["fastavro", "reader"])
def decode(request: pytest.FixtureRequest) -> Any:
    """Each of the decoders of PLAIN."""
    return decoders(PLAIN)[request.param]


def test_other_consumers_get_logical_types() -> None:
    """Plain fastavro reads uuid, date and timestamp as what they are."""
    spec = table({"p:p": "int", "r:u": "uuid", "r:d": "date", "r:t": "timestamp"})
    change = event(spec, u="6ecd8c99-4036-403d-bf84-cf8400f67836", d=1, t=-1)
    after = read(value_schema(spec, TOPIC), encoded(change))["after"]
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
        value_schema(older, TOPIC), encoded(event(older, v="x")), value_schema(newer, TOPIC)
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
        encoded(event(older, v={"x": 1})),
        value_schema(newer, TOPIC),
    )
    assert found["after"]["v"] == {"x": 1, "y": None}


def test_the_frame_is_confluents() -> None:
    """A record begins with a zero byte and the schema's id in four bytes, big-endian."""
    framed = encoded(event(PLAIN, v="x"))
    assert framed[:5] == b"\x00\x00\x00\x00\x07"
    assert schema_id_of(framed) == 7


@pytest.mark.parametrize("count", [0, 1, 480, 481, 1000])
def test_many_changes_are_written_as_each_alone(count: int) -> None:
    """In their order; some of them copied, which have no identity, and some deletes."""
    writer = RecordWriter(PLAIN, TOPIC, "cdcd", SchemaIds(1, 2), 7)
    changes = [
        ChangeEvent(
            PLAIN,
            (Operation.CREATE, Operation.DELETE, Operation.READ)[n % 3],
            (n,),
            (),
            time_us=n * 1_700_000_000_001,
            token=(-1) ** n * 2 ** (n % 63),
            identity=None if n % 3 == 2 else Identity(b"s" * 16, n.to_bytes(16, "big"), n % 5),
            values={} if n % 3 == 1 else {"v": str(n)},
            is_snapshot=n % 3 == 2,
        )
        for n in range(count)
    ]
    alone = [record for change in changes for record in writer.records([change], 5)]
    assert list(writer.records(changes, 5)) == alone
    assert len(alone) == count


@pytest.mark.parametrize("schema_id", [0, 1, 2**31, 2**32 - 1])
def test_every_id_fits_the_frame(schema_id: int) -> None:
    """Every 32-bit id comes back from the frame."""
    writer = RecordWriter(PLAIN, TOPIC, "cdcd", SchemaIds(schema_id, schema_id), 1)
    ((_, key, value),) = writer.records([event(PLAIN)], 1)
    assert (schema_id_of(key), schema_id_of(value)) == (schema_id, schema_id)


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
    keys = key_reader(key_schema(PLAIN, TOPIC))
    for decode in [*decoders(PLAIN), lambda framed: keys([framed])]:
        try:
            decode(struct.pack(">bI", 0, 7) + garbage)
        except MalformedRecord:
            continue


@pytest.mark.parametrize("length", range(6, 40, 3))
def test_a_cut_record_is_malformed(length: int, decode: Any) -> None:
    """A record that ends early raises MalformedRecord."""
    framed = encoded(event(PLAIN, v="x" * 40))
    with pytest.raises(MalformedRecord):
        decode(framed[:length])


def test_a_record_with_more_behind_it_is_malformed(decode: Any) -> None:
    """Bytes behind the end of a record say that it was written with another schema."""
    framed = encoded(event(PLAIN, v="x"))
    with pytest.raises(MalformedRecord):
        decode(framed + b"\x00")


@pytest.mark.parametrize(
    ("cql", "value"),
    [("int", "x"), ("bigint", 2**63), ("text", 1), ("text", b"x"), ("blob", "x"), ("double", "x")],
)
def test_what_does_not_fit_the_schema_is_refused(cql: str, value: object) -> None:
    """A value of another type raises an error and is never written as something else."""
    spec = table({"p:p": "int", "r:v": cql})
    with pytest.raises((ValueError, TypeError, struct.error)):
        encoded(event(spec, v=value))


def test_a_key_is_never_null() -> None:
    """A partition key that is null raises an error."""
    with pytest.raises(TypeError):
        written(ChangeEvent(PLAIN, Operation.DELETE, (None,), (), 0, 0, None, {}))
