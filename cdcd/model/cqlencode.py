"""Avro forms back to serialised CQL values: the inverse of `cdcd.model.cqlvalue`.

Keys travel through Kafka in their Avro form, and a refresh binds them again.
"""

import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import DATE_OFFSET, field_names, fixed_length, has_text_keys

Encoder = Callable[[Any], bytes]

_INT32 = struct.Struct(">i")
_NULL = _INT32.pack(-1)


def _uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _inet(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _date(days: int) -> bytes:
    return (days + DATE_OFFSET).to_bytes(4, "big")


def _unsigned_vint(value: int) -> bytes:
    """As many leading one bits as bytes follow the first, then the value."""
    for extra in range(8):
        if value < 1 << 7 * (extra + 1):
            mark = 0xFF00 >> extra & 0xFF
            raw = value.to_bytes(extra + 1, "big")
            return bytes([raw[0] | mark]) + raw[1:]
    return b"\xff" + value.to_bytes(8, "big")


def _duration(value: dict[str, int]) -> bytes:
    parts = (value["months"], value["days"], value["nanoseconds"])
    return b"".join(_unsigned_vint(n << 1 if n >= 0 else ~(n << 1)) for n in parts)


_ATOMIC: dict[str, Encoder] = {
    "ascii": str.encode,
    "text": str.encode,
    "tinyint": struct.Struct(">b").pack,
    "smallint": struct.Struct(">h").pack,
    "int": _INT32.pack,
    "bigint": struct.Struct(">q").pack,
    "float": struct.Struct(">f").pack,
    "double": struct.Struct(">d").pack,
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "blob": lambda value: value,
    "uuid": _uuid,
    "timeuuid": _uuid,
    "inet": _inet,
    "timestamp": struct.Struct(">q").pack,
    "date": _date,
    "time": struct.Struct(">q").pack,
    "varint": lambda value: value["value"],
    "decimal": lambda value: _INT32.pack(value["scale"]) + value["value"],
    "duration": _duration,
}


@lru_cache(maxsize=4096)
def encoder(cql: CqlType) -> Encoder:
    """The encoder of a type. Raises ValueError for a type that cannot be written (counter)."""
    if cql.name in _ATOMIC:
        return _ATOMIC[cql.name]
    if cql.name in ("list", "set"):
        element = encoder(cql.args[0])
        return lambda value: _INT32.pack(len(value)) + b"".join(_sized(element, e) for e in value)
    if cql.name == "map":
        return _map(cql)
    if cql.name in ("tuple", "udt"):
        names = field_names(cql)
        parts = [encoder(a) for a in cql.args]
        return lambda value: b"".join(
            _sized(part, value[name]) for name, part in zip(names, parts, strict=True)
        )
    if cql.name == "vector":
        return _vector(cql)
    raise ValueError(f"type {cql} is not supported")


def _sized(encode: Encoder, value: Any) -> bytes:
    if value is None:
        return _NULL
    raw = encode(value)
    return _INT32.pack(len(raw)) + raw


def _map(cql: CqlType) -> Encoder:
    key, element = encoder(cql.args[0]), encoder(cql.args[1])

    def encode(value: Any) -> bytes:
        pairs = value.items() if has_text_keys(cql) else [(e["key"], e["value"]) for e in value]
        body = b"".join(_sized(key, k) + _sized(element, v) for k, v in pairs)
        return _INT32.pack(len(value)) + body

    return encode


def _vector(cql: CqlType) -> Encoder:
    element = encoder(cql.args[0])
    if fixed_length(cql.args[0]):
        return lambda value: b"".join(element(e) for e in value)

    def encode(value: Any) -> bytes:
        raws = [element(e) for e in value]
        return b"".join(_unsigned_vint(len(raw)) + raw for raw in raws)

    return encode
