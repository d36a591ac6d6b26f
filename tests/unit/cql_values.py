"""CQL types and values as the driver writes them, each with the Avro form that it must get."""

import ipaddress
import math
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from cassandra import cqltypes
from cassandra.util import Date, Duration, OrderedMapSerializedKey, Time
from hypothesis import strategies as st

from cdcd.model.cqltype import CqlType

PROTOCOL = 4


class Value(NamedTuple):
    """A value as the driver takes it, and its Avro form."""

    driver: Any
    avro: Any


def twos_complement(number: int) -> bytes:
    """The shortest big-endian two's complement of a number."""
    length = 1
    while not -(1 << 8 * length - 1) <= number < 1 << 8 * length - 1:
        length += 1
    return number.to_bytes(length, "big", signed=True)


def _decimal(unscaled: int, scale: int) -> Value:
    digits = tuple(map(int, str(abs(unscaled))))
    written = Decimal((int(unscaled < 0), digits, -scale))
    return Value(written, {"scale": scale, "value": twos_complement(unscaled)})


def _duration(months: int, days: int, nanoseconds: int) -> Value:
    avro = {"months": months, "days": days, "nanoseconds": nanoseconds}
    return Value(Duration(months, days, nanoseconds), avro)


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Value]:
    return strategy.map(lambda v: Value(v, v))


_huge = st.integers(-(2**200), 2**200)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ascii = st.text(st.characters(max_codepoint=127), max_size=8)
_inet = st.one_of(
    st.ip_addresses(v=4).map(lambda a: Value(str(a), str(a))),
    st.sampled_from(["::", "::1", "2001:db8::ff", "fe80::1:2:3:4"]).map(lambda a: Value(a, a)),
)

ATOMIC: dict[str, st.SearchStrategy[Value]] = {
    "ascii": _same(_ascii),
    "text": _same(_text),
    "tinyint": _same(_signed(8)),
    "smallint": _same(_signed(16)),
    "int": _same(_signed(32)),
    "bigint": _same(_signed(64)),
    "float": _same(st.floats(width=32, allow_nan=False)),
    "double": _same(st.floats(allow_nan=False)),
    "boolean": _same(st.booleans()),
    "blob": _same(st.binary(max_size=8)),
    "uuid": st.uuids().map(lambda u: Value(u, str(u))),
    "timeuuid": st.uuids(version=1).map(lambda u: Value(u, str(u))),
    "inet": _inet,
    # The driver takes milliseconds, too: the full range, which datetime does not have.
    "timestamp": _same(_signed(64)),
    "date": _signed(32).map(lambda d: Value(Date(d), d)),
    "time": st.integers(0, 86_399_999_999_999).map(lambda n: Value(Time(n), n)),
    "varint": _huge.map(lambda n: Value(n, {"scale": 0, "value": twos_complement(n)})),
    "decimal": st.builds(_decimal, _huge, _signed(32)),
    "duration": st.one_of(
        st.builds(_duration, *[st.integers(0, 2**31 - 1)] * 2, st.integers(0, 2**63 - 1)),
        st.builds(_duration, *[st.integers(-(2**31), 0)] * 2, st.integers(-(2**63), 0)),
    ),
}

_field_names = st.lists(
    st.text("aZ_9é-$ \"'", min_size=1, max_size=5), min_size=1, max_size=3, unique=True
)


def _udt(names: list[str], args: list[CqlType]) -> CqlType:
    types = (args * len(names))[: len(names)]
    # A type's name stands for its fields: within a keyspace they cannot differ.
    name = "u_" + sha256(repr((names, [str(t) for t in types])).encode()).hexdigest()
    return CqlType("udt", tuple(types), frozen=True, fields=tuple(names), udt=name)


def _nested(inner: st.SearchStrategy[CqlType]) -> st.SearchStrategy[CqlType]:
    hashable = st.sampled_from(["int", "text", "uuid", "bigint", "ascii"]).map(CqlType)
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda a: CqlType("list", (a,), frozen=True)),
        hashable.map(lambda a: CqlType("set", (a,), frozen=True)),
        st.builds(lambda k, v: CqlType("map", (k, v), frozen=True), inner, inner),
        some.map(lambda args: CqlType("tuple", tuple(args), frozen=True)),
        st.builds(_udt, _field_names, some),
        st.builds(
            lambda a, n: CqlType("vector", (a,), frozen=True, dimension=n),
            inner,
            st.integers(1, 3),
        ),
    )


atomic_types = st.sampled_from(sorted(ATOMIC)).map(CqlType)
types = st.recursive(atomic_types, _nested, max_leaves=5)


def names_of(cql: CqlType) -> tuple[str, ...]:
    """The names of a tuple's or UDT's fields on the wire."""
    return cql.fields or tuple(f"f{n}" for n in range(len(cql.args)))


def values(cql: CqlType) -> st.SearchStrategy[Value]:
    """Values of a type; fields of tuples and UDTs may be null."""
    if cql.name in ATOMIC:
        return ATOMIC[cql.name]
    parts = [values(a) for a in cql.args]
    if cql.name in ("list", "vector"):
        sizes = [cql.dimension] * 2 if cql.name == "vector" else [0, 3]
        return st.lists(parts[0], min_size=sizes[0], max_size=sizes[1]).map(
            lambda found: Value([v.driver for v in found], [v.avro for v in found])
        )
    if cql.name == "set":
        unique: Callable[[Value], Any] = lambda v: v.driver  # noqa: E731  typed, as mypy wants it
        return st.lists(parts[0], max_size=3, unique_by=unique).map(
            lambda found: Value([v.driver for v in found], [v.avro for v in found])
        )
    if cql.name == "map":
        pairs = st.lists(st.tuples(*parts), max_size=3, unique_by=lambda p: repr(p[0].avro))
        return pairs.map(lambda found: _map(cql, found))
    fields = st.tuples(*[st.none() | p for p in parts])
    return fields.map(
        lambda found: Value(
            tuple(None if v is None else v.driver for v in found),
            {n: None if v is None else v.avro for n, v in zip(names_of(cql), found, strict=True)},
        )
    )


def _map(cql: CqlType, pairs: list[tuple[Value, Value]]) -> Value:
    written = OrderedMapSerializedKey(driver_type(cql.args[0]), PROTOCOL)
    for key, value in pairs:
        written._insert(key.driver, value.driver)
    if cql.args[0].name in ("text", "ascii"):
        return Value(written, {k.avro: v.avro for k, v in pairs})
    return Value(written, [{"key": k.avro, "value": v.avro} for k, v in pairs])


def driver_type(cql: CqlType) -> Any:
    """The driver's class for a type."""
    args = [driver_type(a) for a in cql.args]
    if cql.name == "udt":
        cqltypes.UserType.evict_udt_class("ks", cql.udt)
        fields = [f"f{n}" for n in range(len(args))]  # the driver wants Python names
        return cqltypes.UserType.make_udt_class("ks", cql.udt, fields, args)
    if cql.name == "vector":
        return cqltypes.VectorType.apply_parameters([args[0], cql.dimension], None)
    if args:
        kinds = {"list": cqltypes.ListType, "set": cqltypes.SetType, "map": cqltypes.MapType}
        return kinds.get(cql.name, cqltypes.TupleType).apply_parameters(args)
    return cqltypes.lookup_casstype(cqltypes._casstypes[_CASSANDRA[cql.name]].cassname)


_CASSANDRA = {
    "ascii": "AsciiType",
    "text": "UTF8Type",
    "tinyint": "ByteType",
    "smallint": "ShortType",
    "int": "Int32Type",
    "bigint": "LongType",
    "float": "FloatType",
    "double": "DoubleType",
    "boolean": "BooleanType",
    "blob": "BytesType",
    "uuid": "UUIDType",
    "timeuuid": "TimeUUIDType",
    "inet": "InetAddressType",
    "timestamp": "TimestampType",
    "date": "SimpleDateType",
    "time": "TimeType",
    "varint": "IntegerType",
    "decimal": "DecimalType",
    "duration": "DurationType",
}


def serialized(cql: CqlType, value: Any) -> bytes:
    """The bytes that the driver sends for a value."""
    raw: bytes = driver_type(cql).to_binary(value, PROTOCOL)
    return raw


def same(left: Any, right: Any) -> bool:
    """Equality that knows -0.0 and 0.0 apart."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, whichever way it is written."""
    return ipaddress.ip_address(text)


SOME_UUID = UUID("6ecd8c99-4036-403d-bf84-cf8400f67836")
