"""Values of keys: what ScyllaDB tells apart is two things in PostgreSQL, or one of them refused."""

import struct
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdcd.model.casts import cast, rules_of
from cdcd.model.cqltype import CqlType, parse
from cdcd.model.keys import SharedValue, key_converter, key_rule
from cdcd.model.typemap import UnstorableValue, postgres_type
from tests.unit import cql_values


def in_key(cql: CqlType, kind: str, value: Any, *, of_partition: bool = True) -> Any:
    """A value's form in a key."""
    found = cast(cql, kind)
    return key_converter(cql, found.kind, found.convert, of_partition=of_partition)(value)


def number(digits: int, scale: int = 0) -> dict[str, Any]:
    size = digits.bit_length() // 8 + 1
    return {"scale": scale, "value": digits.to_bytes(size, "big", signed=True)}


U = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
NAN_OF_OTHER_BITS = struct.unpack(">d", bytes.fromhex("fff8000000000000"))[0]

# CQL type, type in PostgreSQL, a value that looks like the other, and the other.
SHARED: list[tuple[str, str, Any, Any]] = [
    ("time", "time", 1001, 1000),
    ("float", "real", -0.0, 0.0),
    ("double", "double precision", -0.0, 0.0),
    ("float", "double precision", -0.0, 0.0),
    ("double", "numeric", -0.0, 0.0),
    ("double", "jsonb", -0.0, 0.0),
    ("double", "double precision", NAN_OF_OTHER_BITS, float("nan")),
    ("double", "text", NAN_OF_OTHER_BITS, float("nan")),
    ("decimal", "numeric", number(1, -1), number(10)),
    ("decimal", "numeric(9, 2)", number(10, 1), number(100, 2)),
    ("decimal", "numeric(9)", number(10, 1), number(1)),
    ("varint", "numeric", {"scale": 0, "value": b"\x00\x01"}, number(1)),
    ("varint", "numeric", {"scale": 0, "value": b"\xff\xff"}, number(-1)),
    ("decimal", "text", {"scale": 0, "value": b"\x00\x01"}, number(1)),
    ("text", "uuid", U.upper(), U),
    ("text", "uuid", U.replace("-", ""), U),
    ("frozen<list<double>>", "jsonb", [1.0, -0.0], [1.0, 0.0]),
    ("frozen<map<int, float>>", "jsonb", [{"key": 1, "value": -0.0}], [{"key": 1, "value": 0.0}]),
    ("frozen<map<text, decimal>>", "jsonb", {"a": number(1, -1)}, {"a": number(10)}),
    ("tuple<int, double>", "jsonb", {"f0": None, "f1": -0.0}, {"f0": None, "f1": 0.0}),
]


@pytest.mark.parametrize(("text", "kind", "shared", "other"), SHARED)
def test_a_value_that_looks_like_another_is_refused(
    text: str, kind: str, shared: Any, other: Any
) -> None:
    """Of two values of a partition key that one type of PostgreSQL holds alike one is refused."""
    in_key(parse(text), kind, other)
    with pytest.raises(SharedValue):
        in_key(parse(text), kind, shared)


@pytest.mark.parametrize(
    ("text", "kind", "one", "other"),
    [
        ("time", "bigint", 1001, 1000),
        ("time", "text", 1001, 1000),
        ("double", "text", -0.0, 0.0),
        ("float", "text", -0.0, 0.0),
        ("decimal", "text", number(1, -1), number(10)),
        ("decimal", "numeric", number(10, 1), number(100, 2)),
        ("decimal", "text", number(10, 1), number(100, 2)),
        ("decimal", "jsonb", number(1, -1), number(10)),
        ("text", "text", "A", "a"),
        ("frozen<list<time>>", "jsonb", [1001], [1000]),
        ("frozen<list<double>>", "text", [-0.0], [0.0]),
        ("frozen<list<decimal>>", "jsonb", [number(10, 1)], [number(100, 2)]),
    ],
)
def test_types_that_hold_all_values(text: str, kind: str, one: Any, other: Any) -> None:
    """What the rules name as the way out tells the values apart."""
    assert in_key(parse(text), kind, one) != in_key(parse(text), kind, other)


@pytest.mark.parametrize("text", ["float", "double"])
def test_what_is_not_a_number_is_one_key(text: str) -> None:
    """Keys of several changes of such a row are equal, though no two such values are."""
    cql = parse(text)
    one, other = ((in_key(cql, postgres_type(cql), float("nan")),) for _ in range(2))
    assert one == other
    assert len({one, other}) == 1


@pytest.mark.parametrize("text", ["float", "double", "decimal", "varint"])
def test_clustering_columns_are_compared_by_value(text: str) -> None:
    """What ScyllaDB itself takes for one row in a clustering column is not refused there."""
    value = NAN_OF_OTHER_BITS if text in ("float", "double") else number(1, -(text == "decimal"))
    in_key(parse(text), postgres_type(parse(text)), value, of_partition=False)


@pytest.mark.parametrize(
    "text",
    ["int", "bigint", "text", "uuid", "timestamp", "date", "blob", "boolean", "inet", "timeuuid"],
)
def test_the_usual_keys_have_no_rule(text: str) -> None:
    """Keys of the usual types are written as they are, and nothing is said of them."""
    kind = postgres_type(parse(text))
    convert = cast(parse(text), None).convert
    assert key_rule(parse(text), kind, of_partition=True) is None
    assert key_converter(parse(text), kind, convert, of_partition=True) is convert


# Values close enough to look alike, and the types of which there are such.
_zeros = st.sampled_from([0.0, -0.0, 1.0, -1.0])
_uuids = st.sampled_from([f"{{{U}}}", U, U.upper(), U.replace("-", ""), "no uuid"])
CLOSE: dict[str, st.SearchStrategy[Any]] = {
    "time": st.integers(0, 3000),
    "float": _zeros,
    "double": _zeros,
    "decimal": st.builds(number, st.integers(-100, 100), st.integers(-2, 2)),
    "varint": st.builds(number, st.integers(-300, 300)),
    "text": _uuids,
    "ascii": _uuids,
    **{
        name: cql_values.values(CqlType(name)).map(lambda v: v.avro)
        for name in ("int", "blob", "boolean", "uuid", "inet", "date", "timestamp")
    },
}


@given(st.data(), st.sampled_from(sorted(CLOSE)), st.integers(0, 2))
def test_no_two_values_of_a_key_have_one_form(data: st.DataObject, name: str, depth: int) -> None:
    """Values of a partition key that differ differ in PostgreSQL, in every type that there is for
    them, and inside of collections.
    """
    cql, close = CqlType(name), CLOSE[name]
    for _ in range(depth):
        cql, close = CqlType("list", (cql,), frozen=True), st.lists(close, min_size=1, max_size=2)
    kind = data.draw(st.sampled_from([postgres_type(cql), *rules_of(cql)]))
    one, other = data.draw(close), data.draw(close)
    assume(repr(one) != repr(other))
    # A text in a key is no document.
    assume(not (name in ("text", "ascii") and kind == "jsonb" and not depth))
    try:
        forms = [in_key(cql, kind, value) for value in (one, other)]
    except UnstorableValue:
        return
    assert forms[0] != forms[1]
