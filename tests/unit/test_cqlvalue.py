"""Serialised CQL values get the Avro form that they must have, whatever the driver would make."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.cqltype import ATOMIC, CqlType, parse
from cdcd.model.cqlvalue import decoder
from tests.unit import cql_values
from tests.unit.cql_values import SOME_UUID, serialized

UDTS = {"point": (("x", "int"), ("y", "text"), ("z", "bigint"))}


def decode(text: str, raw: bytes) -> object:
    """Decode a value of a type that is given as text."""
    return decoder(parse(text, UDTS))(raw)


@given(st.data())
def test_values_of_every_type(data: st.DataObject) -> None:
    """What the driver serialises, of any type and nesting, decodes to its Avro form."""
    cql = data.draw(cql_values.types)
    value = data.draw(cql_values.values(cql))
    assert decoder(cql)(serialized(cql, value.driver)) == value.avro


@pytest.mark.parametrize("name", sorted(ATOMIC - {"counter"}))
@given(st.data())
def test_values_of_each_atomic_type(name: str, data: st.DataObject) -> None:
    """Each atomic type's values decode to their Avro form over its whole range."""
    value = data.draw(cql_values.ATOMIC[name])
    found = decoder(CqlType(name))(serialized(CqlType(name), value.driver))
    assert cql_values.same(found, value.avro)


@pytest.mark.parametrize(
    ("text", "raw", "expected"),
    [
        ("int", b"\x80\x00\x00\x00", -(2**31)),
        ("date", b"\x80\x00\x00\x00", 0),
        ("date", b"\x00\x00\x00\x00", -(2**31)),
        ("date", b"\xff\xff\xff\xff", 2**31 - 1),
        ("timestamp", struct.pack(">q", -(2**63)), -(2**63)),
        ("timestamp", struct.pack(">q", 2**63 - 1), 2**63 - 1),
        ("inet", bytes([127, 0, 0, 1]), "127.0.0.1"),
        ("inet", bytes(15) + b"\x01", "::1"),
        ("uuid", SOME_UUID.bytes, str(SOME_UUID)),
        ("varint", b"\xff\x7f", {"scale": 0, "value": b"\xff\x7f"}),
        ("decimal", b"\xff\xff\xff\xfe\x01", {"scale": -2, "value": b"\x01"}),
        ("boolean", b"\x00", False),
        ("boolean", b"\x01", True),
    ],
)
def test_layouts_of_the_protocol(text: str, raw: bytes, expected: object) -> None:
    """The bytes of the protocol's own layouts decode as its specification says."""
    assert decode(text, raw) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0])
@pytest.mark.parametrize(("name", "layout"), [("float", ">f"), ("double", ">d")])
def test_odd_floats_stay_what_they_are(value: float, name: str, layout: str) -> None:
    """Infinities, the negative zero and NaN pass through."""
    found = decode(name, struct.pack(layout, value))
    assert repr(found) == repr(value)


@pytest.mark.parametrize("text", ["text", "ascii"])
def test_empty_text_is_a_value(text: str) -> None:
    """A text of no characters is a value and not null."""
    assert decode(text, b"") == ""


def test_empty_blob_is_a_value() -> None:
    """A blob of no bytes is a value and not null."""
    assert decode("blob", b"") == b""


@pytest.mark.parametrize("name", sorted(ATOMIC - {"counter", "text", "ascii", "blob"}))
def test_the_protocols_empty_value_is_null(name: str) -> None:
    """Zero bytes where a type has no such value are read as null."""
    assert decode(name, b"") is None


@pytest.mark.parametrize("text", ["list<int>", "set<text>", "map<int, text>", "map<text, int>"])
def test_empty_collections_are_values(text: str) -> None:
    """A frozen collection without elements is an empty one and not null."""
    found = decode(f"frozen<{text}>", struct.pack(">i", 0))
    assert found is not None
    assert not found


def test_a_field_added_later_is_null() -> None:
    """A UDT value that was written before a field was added ends early, and the field is null."""
    written = CqlType("udt", (CqlType("int"),), frozen=True, fields=("x",), udt="older")
    raw = serialized(written, (7,))
    assert decode("frozen<point>", raw) == {"x": 7, "y": None, "z": None}


def test_a_tuple_may_end_early() -> None:
    """A tuple value without its last fields has nulls there."""
    raw = struct.pack(">ii", 4, 5)
    assert decode("tuple<int, text>", raw) == {"f0": 5, "f1": None}


def test_null_and_empty_fields_differ() -> None:
    """A null text inside of a UDT stays apart from an empty one."""
    udt = parse("frozen<point>", UDTS)
    null, empty = (serialized(udt, (1, y, None)) for y in (None, ""))
    assert decoder(udt)(null) == {"x": 1, "y": None, "z": None}
    assert decoder(udt)(empty) == {"x": 1, "y": "", "z": None}


@given(st.lists(st.integers(-(2**31), 2**31 - 1), unique=True))
def test_a_set_keeps_the_servers_order(found: list[int]) -> None:
    """The elements of a set stay in the order in which the server has them."""
    raw = struct.pack(">i", len(found)) + b"".join(struct.pack(">ii", 4, n) for n in found)
    assert decode("frozen<set<int>>", raw) == found


def test_maps_with_text_keys_are_objects() -> None:
    """A map is an object by its keys where they are text, and pairs where they are not."""
    text = struct.pack(">ii1sii", 1, 1, b"a", 4, 1)
    number = struct.pack(">iiiii", 1, 4, 9, 4, 1)
    assert decode("map<text, int>", text) == {"a": 1}
    assert decode("map<int, int>", number) == [{"key": 9, "value": 1}]


@pytest.mark.parametrize(
    ("months", "days", "nanoseconds"),
    [(0, 0, 0), (1, -1, 0), (2**31 - 1, 2**31 - 1, 2**63 - 1), (-(2**31), -(2**31), -(2**63))],
)
def test_durations_over_the_whole_range(months: int, days: int, nanoseconds: int) -> None:
    """The three parts of a duration keep their signs and their full width."""
    value = cql_values._duration(months, days, nanoseconds)
    assert decode("duration", serialized(CqlType("duration"), value.driver)) == value.avro


@pytest.mark.parametrize("element", ["float", "int", "text", "smallint", "date", "varint"])
def test_vectors_of_fixed_and_of_variable_elements(element: str) -> None:
    """A vector's elements are told apart whether their lengths are written or not."""
    numbers = [1, 2, 3] if element != "text" else ["a", "", "ccc"]
    vector = CqlType("vector", (CqlType(element),), frozen=True, dimension=3)
    found = decoder(vector)(serialized(vector, numbers))
    one_by_one = [decoder(CqlType(element))(serialized(CqlType(element), n)) for n in numbers]
    assert found == one_by_one


def test_counters_are_refused() -> None:
    """A counter has no change log and no decoder."""
    with pytest.raises(ValueError, match="counter"):
        decoder(CqlType("counter"))
