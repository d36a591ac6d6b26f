"""Types and canonical values by chance, the edges of each type among them."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.independent.cql import Cql, Udts, parse

# PostgreSQL's bounds, where they are narrower than the type's own.
TIMESTAMPS = st.integers(-210_866_803_200_000, 9_224_318_015_999_999)
DATES = st.integers(-2_440_588, 2_145_042_905)
# Text of PostgreSQL has no NUL; the protocol's UTF-8 has no surrogates.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def _bits(number: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (number - 1)), 2 ** (number - 1) - 1
    return st.sampled_from([low, high, 0, -1, 1]) | st.integers(low, high)


def _is_kept(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """The stand-in makes an IPv4 address in IPv6 form the IPv4 address, as Java does."""
    return isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is None


def _floats(width: int) -> st.SearchStrategy[str]:
    found = st.floats(width=32 if width == 32 else 64, allow_nan=False, allow_infinity=False)
    return found.map(repr)


_days = st.integers(0, 2**31 - 1)
_durations = st.tuples(_days, _days, st.integers(0, 2**63 - 1))
_big = st.sampled_from([127, 128, -128, -129, 2**2000, -(2**2000)]) | st.integers()
_moments = st.sampled_from([0, -1, -62_135_596_800_000, 253_402_300_800_000])

ATOMIC: Mapping[str, st.SearchStrategy[Any]] = {
    "ascii": st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=5),
    "text": st.sampled_from(["", "\U0001f419", "\u017c\u00f3\u0142\u0107"])
    | st.text(LETTERS, max_size=5),
    "tinyint": _bits(8),
    "smallint": _bits(16),
    "int": _bits(32),
    "bigint": _bits(64),
    "varint": _big,
    "decimal": st.tuples(_big, st.sampled_from([16_000, -16_000]) | st.integers(-40, 40)),
    "float": _floats(32),
    "double": _floats(64),
    "boolean": st.booleans(),
    "blob": st.sampled_from([b"", b"\x80", bytes(range(256))]) | st.binary(max_size=5),
    "uuid": st.binary(min_size=16, max_size=16).map(bytes.hex),
    "timeuuid": st.uuids(version=1).map(lambda u: u.hex),
    "inet": st.ip_addresses().filter(_is_kept).map(lambda a: a.packed.hex()),
    "timestamp": _moments | TIMESTAMPS,
    "date": st.sampled_from([0, -719_162, -719_529, 2_932_897]) | DATES,
    "time": st.sampled_from([0, 1, 999, 86_399_999_999_999]) | st.integers(0, 86_399_999_999_999),
    "duration": st.booleans().flatmap(
        lambda minus: _durations.map(lambda d: tuple(-n for n in d) if minus else d)
    ),
}
# Values that stand alone in a column only: jsonb does not have them.
TOP = {"float": ["nan", "inf", "-inf"], "double": ["nan", "inf", "-inf"]}

UDTS: Udts = {
    "pair": [("a", "int"), ("Odd Name", "text")],
    "nested": [("p", "frozen<pair>"), ("l", "frozen<list<frozen<pair>>>"), ("d", "duration")],
}
_atomic = st.sampled_from(sorted(ATOMIC))
# What the servers do not take as an element or key that is ordered.
_ordered = st.sampled_from(sorted(set(ATOMIC) - {"duration"}))


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        inner.map(lambda t: f"frozen<list<{t}>>"),
        _ordered.map(lambda t: f"frozen<set<{t}>>"),
        st.builds("frozen<map<{}, {}>>".format, _ordered, inner),
        several.map(lambda t: f"frozen<tuple<{t}>>"),
        st.builds("vector<{}, {}>".format, inner, st.integers(1, 3)),
        st.sampled_from([f"frozen<{name}>" for name in UDTS]),
    )


nested = st.recursive(_atomic, _wrapped, max_leaves=4)
# Types whose elements are cells of their own.
multicell = st.one_of(
    nested.map(lambda t: f"list<{t}>"),
    _ordered.map(lambda t: f"set<{t}>"),
    st.builds("map<{}, {}>".format, _ordered, nested),
    st.sampled_from(sorted(UDTS)),
)


def values(cql: Cql, *, top: bool = False) -> st.SearchStrategy[Any]:
    """Canonical values of a type; `top` for those of a column."""
    if cql.name in ATOMIC:
        found = ATOMIC[cql.name]
        return found | st.sampled_from(TOP[cql.name]) if top and cql.name in TOP else found
    parts = [values(a) for a in cql.args]
    if cql.name == "tuple":
        return st.tuples(*(st.none() | p for p in parts))
    if cql.name == "udt":
        found = st.tuples(*(st.none() | p for p in parts))
        return found.map(lambda v: tuple(zip(cql.fields, v, strict=True)))
    if cql.name == "vector":
        return st.lists(parts[0], min_size=cql.size, max_size=cql.size).map(tuple)
    if cql.name == "map":
        pairs = st.lists(st.tuples(*parts), max_size=3, unique_by=lambda p: _same(p[0]))
        return pairs.map(tuple)
    unique = _same if cql.name == "set" else None
    return st.lists(parts[0], max_size=3, unique_by=unique).map(tuple)


def _same(value: Any) -> Any:
    """Equal for what the servers or PostgreSQL may take for one value: 0.0 and -0.0, 1 and 1.0."""
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
        unscaled, scale = value
        while unscaled and unscaled % 10 == 0:
            unscaled, scale = unscaled // 10, scale - 1
        return (unscaled, scale) if unscaled else 0
    return value.lstrip("-") if isinstance(value, str) else value


def parsed(text: str) -> Cql:
    """The type of a text."""
    return parse(text, UDTS)
