"""Changes as Debezium envelopes, and the changes read back from them."""

import io
from dataclasses import replace
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.cqltype import UdtFields
from cdcd.transport.avro import Codec
from cdcd.transport.schema import key_schema
from tests.unit import records, tables
from tests.unit.records import applied, back
from tests.unit.tables import table

SPEC = table({"p:p": "int", "c:c": "text", "r:Odd Name": "text", "r:v": "blob", "r:w": "int"})
IDENTITY = Identity(b"\xce\xd0" + bytes(13) + b"\x01", bytes(range(16)), 3)
CHANGE = ChangeEvent(
    table=SPEC,
    op=Operation.UPDATE,
    partition=(1,),
    clustering=("c",),
    time_us=1_584_969_040_910_883,
    token=-(2**63) + 1,
    identity=IDENTITY,
    values={"Odd Name": "", "w": 5},
    nulls=("v",),
    ttl_seconds=60,
)
WRITES = [Operation.CREATE, Operation.UPDATE, Operation.READ]


def value(**changes: Any) -> dict[str, Any]:
    """The record value of the change with some of its parts replaced."""
    return records.datum(replace(CHANGE, **changes), "pipe", now_ms=99)


def key_of(change: ChangeEvent) -> dict[str, Any]:
    """The record key of a change."""
    schema = key_schema(change.table, records.TOPIC)
    found: dict[str, Any] = Codec(schema, records.IDS.key).decode(records.written(change)[0])
    return found


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changes_come_back(data: st.DataObject) -> None:
    """Every change of every table is the same after its way through a record."""
    change = data.draw(tables.events(data.draw(tables.specs())))
    assert back(change) == applied(change)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_records_are_fastavros(data: st.DataObject) -> None:
    """Key and value of every change are, byte for byte, what fastavro writes of what it reads."""
    change = data.draw(tables.events(data.draw(tables.specs())))
    for schema, framed in zip(records.schemas(change.table), records.written(change), strict=True):
        codec = Codec(schema, 7)
        out = io.BytesIO()
        out.write(framed[:5])
        fastavro.schemaless_writer(out, codec._parsed, codec.decode(framed))
        assert out.getvalue() == framed


def test_both_parts_of_a_key_may_hold_one_type() -> None:
    """A type that partition and clustering key share is defined once and written in both."""
    spec = table({"p:p": "varint", "c:c": "decimal", "c:d": "varint"})
    one, two = {"scale": 0, "value": b"\x01"}, {"scale": 1, "value": b"\x02"}
    change = replace(CHANGE, table=spec, partition=(one,), clustering=(two, one))
    change = replace(change, op=Operation.DELETE, values={}, nulls=())
    assert back(change) == applied(change)


@pytest.mark.parametrize("op", list(Operation))
def test_every_operation_comes_back(op: Operation) -> None:
    """Each operation is written as its letter and read back as itself."""
    writes = op in WRITES
    nulls = ("v",) if writes and op is not Operation.READ else ()
    change = replace(CHANGE, op=op, values=CHANGE.values if writes else {}, nulls=nulls)
    assert records.datum(change)["op"] == op.value
    assert back(change) == applied(change)


def test_images_fill_before_and_after() -> None:
    """An image shows what was not written; what was written is shown as it was written."""
    images = {"before": {"v": b"1"}, "after": {"v": b"3", "Odd Name": "image"}}
    found = value(values={"v": b"2"}, nulls=(), **images)
    assert found["before"] == {"p": 1, "c": "c", "v": b"1"}
    assert found["after"] == {"p": 1, "c": "c", "v": b"2", "Odd_u0020Name": "image"}
    assert found["delta"] == {"columns": ["v"]}
    found = value(values={}, nulls=("v",), **images)
    assert found["after"] == {"p": 1, "c": "c", "Odd_u0020Name": "image"}


def test_unset_null_and_empty_stay_apart() -> None:
    """A column that is empty, one set to null and one not touched are three things on the wire."""
    found = value(values={"Odd Name": ""}, nulls=("v",))
    assert found["after"] == {"p": 1, "c": "c", "Odd_u0020Name": ""}
    assert found["delta"] == {"columns": ["Odd Name", "v"]}
    change = replace(CHANGE, values={"Odd Name": ""}, nulls=("v",))
    assert (back(change).values, back(change).nulls) == ({"Odd Name": ""}, ("v",))


def test_the_delta_names_columns_as_the_source_does() -> None:
    """`delta.columns` has the CQL names of all columns that were written, set or to null."""
    assert value()["delta"] == {"columns": ["Odd Name", "w", "v"]}


def test_an_insert_of_only_a_key_writes_no_columns() -> None:
    """An insert without columns has a delta that names none, and is no full row."""
    assert value(op=Operation.CREATE, values={}, nulls=())["delta"] == {"columns": []}


def test_a_full_row_has_no_delta() -> None:
    """A row that a refresh read has no delta: what is not in it is null."""
    found = value(op=Operation.READ, nulls=(), identity=None)
    assert found["delta"] is None
    assert back(replace(CHANGE, op=Operation.READ, nulls=())).is_full_row


@pytest.mark.parametrize(
    "op", [Operation.DELETE, Operation.PARTITION_DELETE, Operation.RANGE_DELETE]
)
def test_deletes_have_no_row(op: Operation) -> None:
    """A delete has neither row nor delta."""
    found = value(op=op, values={}, nulls=())
    assert (found["after"], found["delta"]) == (None, None)


def test_identities_are_text() -> None:
    """A log row's identity is 32 hex digits, a canonical uuid and a whole number."""
    source = value()["source"]
    assert source["stream"] == "ced00000000000000000000000000001"
    assert source["time"] == str(UUID(bytes=bytes(range(16))))
    assert source["seq"] == 3


def test_a_refresh_has_no_identity() -> None:
    """What a refresh publishes has stream, time and sequence null, all three."""
    source = value(identity=None)["source"]
    assert [source[part] for part in ("stream", "time", "seq")] == [None] * 3


def test_what_a_copy_publishes_says_so() -> None:
    """Only a row that was asked for by a copy is part of a snapshot, in Debezium's word."""
    assert value()["source"]["snapshot"] == "false"
    assert value(is_snapshot=True)["source"]["snapshot"] == "true"


def test_the_source_says_where_and_when() -> None:
    """The source block has the write time, the pipeline, the table and the token."""
    found = value()
    expected = {
        "connector": "scylla",
        "name": "pipe",
        "db": "ks",
        "keyspace_name": "ks",
        "table_name": "t",
        "ts_us": 1_584_969_040_910_883,
        "ts_ms": 1_584_969_040_910,
        "token": -(2**63) + 1,
    }
    assert expected.items() <= found["source"].items()
    assert (found["ts_ms"], found["ttl"], found["before"]) == (99, 60, None)


def test_the_key_is_the_whole_primary_key() -> None:
    """The record key has partition and clustering columns by their Avro names."""
    assert key_of(CHANGE) == {"p": 1, "c": "c"}
    whole = replace(CHANGE, op=Operation.PARTITION_DELETE, clustering=(None,), values={}, nulls=())
    assert key_of(whole) == {"p": 1, "c": None}


UDTS: dict[str, UdtFields] = {
    "u": (("a b", "int"), ("c", "frozen<map<int, v>>")),
    "v": (("é", "int"),),
}


@pytest.mark.parametrize("at", ["p:k", "c:k", "r:k"])
def test_odd_field_names_are_escaped_on_the_wire(at: str) -> None:
    """Fields of UDTs have Avro names in keys and rows, and their own names in a change."""
    spec = table({"p:p": "int", at: "frozen<u>"}, UDTS)
    inner = {"a b": 1, "c": [{"key": 2, "value": {"é": 3}}]}
    wire = {"a_u0020b": 1, "c": [{"key": 2, "value": {"_u00e9": 3}}]}
    regular = at.startswith("r")
    change = replace(
        CHANGE,
        table=spec,
        partition=(1, inner) if at.startswith("p") else (1,),
        clustering=(inner,) if at.startswith("c") else (),
        values={"k": inner} if regular else {},
        nulls=(),
    )
    assert records.datum(change)["after"]["k"] == wire
    assert regular or key_of(change)["k"] == wire
    assert back(change) == applied(change)


def test_a_type_in_both_parts_of_the_key_is_defined_once() -> None:
    """A type of its own name that is in the partition key, and in the clustering key again."""
    spec = table({"p:p": "varint", "c:c": "varint", "r:v": "int"})
    number = {"scale": 0, "value": b"\x05"}
    change = replace(CHANGE, table=spec, partition=(number,), clustering=(number,), values={})
    change = replace(change, nulls=("v",))
    assert key_of(change) == {"p": number, "c": number}
    assert back(change) == applied(change)
