"""Serialised CQL values to their Avro form, from the raw bytes that the server sends.

Raw bytes keep what Python's own types would lose: timestamps before year 1 and past 9999, dates of
the full 32 bits, nanoseconds, the scale of decimals. The layouts are those of the CQL binary
protocol, version 4, section 6. A decoder takes the bytes of one value that is not null.
"""

import socket
import struct
from collections.abc import Callable
from functools import lru_cache

from cdcd.model.cqltype import CqlType

Decoder = Callable[[bytes], object]

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_FLOAT = struct.Struct(">f")
_DOUBLE = struct.Struct(">d")

# CQL counts days from 2^31 before 1970-01-01, so that they sort as unsigned.
DATE_OFFSET = 2**31

# Bytes of the types that a vector packs without a length in front (ScyllaDB's and Cassandra's
# `valueLengthIfFixed`).
_FIXED_LENGTH = {
    "bigint": 8,
    "boolean": 1,
    "double": 8,
    "float": 4,
    "int": 4,
    "timestamp": 8,
    "timeuuid": 16,
    "uuid": 16,
}


def uuid_text(raw: bytes) -> str:
    """Canonical text of 16 bytes."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def _inet(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _date(raw: bytes) -> int:
    return int.from_bytes(raw, "big") - DATE_OFFSET


def _varint(raw: bytes) -> dict[str, object]:
    return {"scale": 0, "value": raw}


def _decimal(raw: bytes) -> dict[str, object]:
    return {"scale": _INT32.unpack_from(raw)[0], "value": raw[4:]}


def _unsigned_vint(raw: bytes, at: int) -> tuple[int, int]:
    """One unsigned variable-length integer and the offset behind it.

    The number of leading one bits of the first byte counts the bytes that follow.
    """
    first = raw[at]
    extra = 8 - (first ^ 0xFF).bit_length()
    value = first & (0xFF >> extra)
    for byte in raw[at + 1 : at + 1 + extra]:
        value = value << 8 | byte
    return value, at + 1 + extra


def _duration(raw: bytes) -> dict[str, object]:
    at, parts = 0, []
    for _ in range(3):
        value, at = _unsigned_vint(raw, at)
        parts.append(value >> 1 ^ -(value & 1))  # zigzag
    return {"months": parts[0], "days": parts[1], "nanoseconds": parts[2]}


def _single(unpack: Callable[[bytes], tuple[object, ...]]) -> Decoder:
    return lambda raw: unpack(raw)[0]


# Types whose value is a number of fixed size.
_NUMBERS: dict[str, struct.Struct] = {
    "tinyint": struct.Struct(">b"),
    "smallint": _INT16,
    "int": _INT32,
    "bigint": _INT64,
    "float": _FLOAT,
    "double": _DOUBLE,
    "timestamp": _INT64,
    "time": _INT64,
}

_ATOMIC: dict[str, Decoder] = {
    **{name: _single(layout.unpack) for name, layout in _NUMBERS.items()},
    "ascii": bytes.decode,
    "text": bytes.decode,
    "boolean": lambda raw: raw != b"\x00",
    "blob": lambda raw: raw,
    "uuid": uuid_text,
    "timeuuid": uuid_text,
    "inet": _inet,
    "date": _date,
    "varint": _varint,
    "decimal": _decimal,
    "duration": _duration,
}

# Types whose zero-length value is an ordinary value. For the others the protocol allows an "empty"
# value that no literal can write; it is read as null.
_EMPTY_IS_A_VALUE = frozenset({"ascii", "text", "blob"})


def empty_is_a_value(cql: CqlType) -> bool:
    """Whether zero bytes are a value of the type, and not the empty one that is read as null."""
    return cql.name in _EMPTY_IS_A_VALUE or cql.name not in _ATOMIC


def inline_decoder(cql: CqlType) -> tuple[str, Callable[[bytes], object]]:
    """Straight-line code's decoding of bytes that are not the empty value: what is to be put behind
    a call of the function, and that.
    """
    if cql.name in _NUMBERS:
        return "[0]", _NUMBERS[cql.name].unpack
    return "", _ATOMIC.get(cql.name) or decoder(cql)


@lru_cache(maxsize=4096)
def decoder(cql: CqlType) -> Decoder:
    """The decoder of a type. Raises ValueError for a type that cannot be read (counter)."""
    if cql.name in _EMPTY_IS_A_VALUE:
        return _ATOMIC[cql.name]
    if cql.name in _ATOMIC:
        decode = _ATOMIC[cql.name]
        return lambda raw: decode(raw) if raw else None
    if cql.name in ("list", "set"):
        return _sequence(decoder(cql.args[0]))
    if cql.name == "map":
        return _map(cql)
    if cql.name in ("tuple", "udt"):
        return _fields(cql)
    if cql.name == "vector":
        return _vector(cql)
    raise ValueError(f"type {cql} is not supported")


def field_names(cql: CqlType) -> tuple[str, ...]:
    """Names of a tuple's or UDT's fields; a tuple's are f0, f1 and so on."""
    return cql.fields or tuple(f"f{i}" for i in range(len(cql.args)))


def has_text_keys(cql: CqlType) -> bool:
    """Whether a map's keys can be the names of a JSON object."""
    return cql.args[0].name in ("text", "ascii")


def _slices(raw: bytes, at: int) -> list[bytes | None]:
    """The length-prefixed values from `at` to the end; a negative length is null."""
    found: list[bytes | None] = []
    end = len(raw)
    while at < end:
        (length,) = _INT32.unpack_from(raw, at)
        at += 4
        if length < 0:
            found.append(None)
        else:
            found.append(raw[at : at + length])
            at += length
    return found


def _sequence(element: Decoder) -> Decoder:
    def decode(raw: bytes) -> list[object]:
        return [None if e is None else element(e) for e in _slices(raw, 4)]

    return decode


def _map(cql: CqlType) -> Decoder:
    key, value = decoder(cql.args[0]), decoder(cql.args[1])
    as_object = has_text_keys(cql)

    def decode(raw: bytes) -> object:
        parts = _slices(raw, 4)
        pairs = [
            (key(k or b""), None if v is None else value(v))
            for k, v in zip(parts[::2], parts[1::2], strict=True)
        ]
        return dict(pairs) if as_object else [{"key": k, "value": v} for k, v in pairs]

    return decode


def _fields(cql: CqlType) -> Decoder:
    names = field_names(cql)
    decoders = [decoder(a) for a in cql.args]

    def decode(raw: bytes) -> dict[str, object]:
        parts = _slices(raw, 0)
        # A value written before a field was added ends early: the field is null.
        parts += [None] * (len(names) - len(parts))
        return {
            n: None if p is None else d(p)
            for n, d, p in zip(names, decoders, parts[: len(names)], strict=True)
        }

    return decode


def _vector(cql: CqlType) -> Decoder:
    element = decoder(cql.args[0])
    fixed = fixed_length(cql.args[0])

    def decode(raw: bytes) -> list[object]:
        if fixed:
            return [element(raw[i : i + fixed]) for i in range(0, len(raw), fixed)]
        found, at = [], 0
        while at < len(raw):
            length, at = _unsigned_vint(raw, at)
            found.append(element(raw[at : at + length]))
            at += length
        return found

    return decode


def fixed_length(cql: CqlType) -> int:
    """Bytes that every value of the type has, or 0."""
    if cql.name == "vector":
        return cql.dimension * fixed_length(cql.args[0])
    return _FIXED_LENGTH.get(cql.name, 0)
